"""What takes part when two accounts become one. Each domain registers what it keeps about a person.

A part says what would move and what stands against it, moves it, and moves it back. Most parts are a column of a
table (`register`); what is more than that is a `Part` of its own (see labs and courses). Nothing here knows them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, cast
from uuid import UUID

import sqlalchemy as sa
from flask_babel import LazyString
from sqlalchemy import Table

from app.db import Base, db

Text: TypeAlias = str | LazyString


@dataclass(frozen=True)
class Obstacle:
    """Why two accounts cannot become one yet, and what to do about it."""

    code: str
    text: Text


@dataclass(frozen=True)
class Outlook:
    """What a part would do: how many rows move, how many stay because the other account has the same already."""

    moves: int = 0
    stays: int = 0
    obstacles: tuple[Obstacle, ...] = ()


class Part(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def title(self) -> Text: ...

    def look(self, merged_id: UUID, kept_id: UUID) -> Outlook:
        """Say what would happen. Writes nothing."""
        ...

    def move(self, merged_id: UUID, kept_id: UUID) -> Any:
        """Do it; return what `undo` needs, as JSON."""
        ...

    def undo(self, merged_id: UUID, kept_id: UUID, moved: Any) -> None: ...


PARTS: dict[str, Part] = {}
WARNINGS: "list[Callable[[UUID], Text | None]]" = []
LOCKS: list[Callable[[UUID], None]] = []


def table_of(model: type[Base]) -> Table:
    return cast(Table, model.__table__)


def register(model: type[Base], column: str, title: Text, *, one_of: Sequence[Sequence[str]] = ()) -> None:
    """Let the rows of a table follow their person. `one_of` names columns of which a person has one row at the most:
    where both accounts have one, the merged account keeps its own."""
    table = table_of(model)
    name = f"{table.name}.{column}"
    PARTS[name] = Column(name, title, table, column, tuple(tuple(columns) for columns in one_of))


def register_part(part: Part) -> None:
    PARTS[part.name] = part


def warn(about: Callable[[UUID], Text | None]) -> None:
    """Let the preview mention what stays with the merged account."""
    WARNINGS.append(about)


def lock_with(lock: Callable[[UUID], None]) -> None:
    """Keep a person from starting something while a merge looks and moves."""
    LOCKS.append(lock)


@dataclass(frozen=True)
class Column:
    """Rows that follow their person."""

    name: str
    title: Text
    table: Table
    column: str
    one_of: tuple[tuple[str, ...], ...] = field(default=())

    def look(self, merged_id: UUID, kept_id: UUID) -> Outlook:
        counted = sa.select(sa.func.count()).select_from(self.table).where(self._person == merged_id)
        total = db.session.scalar(counted) or 0
        moves = db.session.scalar(counted.where(self._is_free(kept_id))) or 0
        return Outlook(moves, total - moves)

    def move(self, merged_id: UUID, kept_id: UUID) -> list[dict[str, str]]:
        return [self._named(row) for row in self._change(merged_id, kept_id, sa.true())]

    def undo(self, merged_id: UUID, kept_id: UUID, moved: list[dict[str, str]]) -> None:
        """Move back what is still with the person who kept it; what was removed since stays removed."""
        for row in moved:
            self._change(kept_id, merged_id, sa.and_(*(self.table.c[name] == value for name, value in row.items())))

    @property
    def _person(self) -> sa.ColumnElement[UUID]:
        return self.table.c[self.column]

    @property
    def _key(self) -> list[sa.ColumnElement[Any]]:
        """What names a row, whoever has it."""
        return [column for column in self.table.primary_key.columns if column.name != self.column]

    def _named(self, row: sa.Row[Any]) -> dict[str, str]:
        return {name: str(value) for name, value in row._mapping.items()}

    def _change(self, from_id: UUID, to_id: UUID, which: sa.ColumnElement[bool]) -> Sequence[sa.Row[Any]]:
        statement = (
            sa.update(self.table)
            .where(self._person == from_id, self._is_free(to_id), which)
            .values({self.column: to_id})
            .returning(*self._key)
        )
        return db.session.execute(statement).all()

    def _is_free(self, person_id: UUID) -> sa.ColumnElement[bool]:
        """That this person has no row of the same kind yet."""
        conditions = []
        for columns in self.one_of:
            other = self.table.alias()
            same = [other.c[name].is_not_distinct_from(self.table.c[name]) for name in columns]
            conditions.append(~sa.exists().where(other.c[self.column] == person_id, *same))
        return sa.and_(sa.true(), *conditions)
