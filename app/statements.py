"""Statements on hot paths: put into words once, and sent in as few round trips as they can be.

Plain SQLAlchemy first; this is for what a benchmark has named. Values and rows are those that the session would take
and give, errors are SQLAlchemy's.
"""

from collections import namedtuple
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import orjson
import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from app.config import READS
from app.db import Base, db

_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]


class Read:
    """A read that many requests ask: put into words once, and run by itself where it needs no transaction.

    It sees what was committed, not what the session is about to. Beside a statement of the session it costs half the
    round trips, and a third of the time in Python; rows are named tuples of the values that the session would give.
    """

    def __init__(self, statement: sa.Select[*tuple[Any, ...]]) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        self._statement, self._text, self._constants = statement, compiled.string, dict(compiled.params)
        columns = statement.selected_columns
        names = [column.key or "_" for column in columns]
        self._row: Any = _row_with(names)
        converters = [column.type.dialect_impl(_DIALECT).result_processor(_DIALECT, None) for column in columns]
        self._converters = [(n, convert) for n, convert in enumerate(converters) if convert is not None]

    def __call__(self, **values: object) -> list[Any]:
        try:
            rows = self._rows(self._constants | values)
        except psycopg.Error:  # closed by the server, most likely; where it stays so, the engine says it in its words
            return self._asked_again(values)
        return [self._made(row) for row in rows]

    def question(self, **values: object) -> tuple["Question", dict[str, Any]]:
        """The same, to be asked in the session's transaction with others; `made` makes rows of the answer."""
        return Question.of(self._text), self._constants | values

    def made(self, rows: list[tuple[Any, ...]]) -> list[Any]:
        return [self._made(row) for row in rows]

    def _rows(self, values: dict[str, object]) -> list[tuple[Any, ...]]:
        connection = db.engines[READS].raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute(self._text, values)
            return list(cursor.fetchall())
        finally:
            connection.close()

    def _asked_again(self, values: dict[str, object]) -> list[Any]:
        db.engines[READS].dispose()
        with db.engines[READS].connect() as connection:
            return [self._row(*row) for row in connection.execute(self._statement, values)]

    def _made(self, row: tuple[Any, ...]) -> Any:
        if not self._converters:
            return self._row._make(row)
        made = list(row)
        for number, convert in self._converters:
            made[number] = convert(made[number])
        return self._row._make(made)


def _row_with(names: list[str]) -> Any:
    return namedtuple("Row", names, rename=True)


def insert_rows(table: type[Base], rows: list[dict[str, Any]]) -> None:
    """Insert many rows by one statement with one parameter, a JSON text: cheaper than a parameter for each value.

    All rows name the same columns; what a default would fill must be among them.
    """
    if rows:
        db.session.execute(_insertion(table, tuple(rows[0])), {"rows": orjson.dumps(rows).decode()})


@cache
def _insertion(table: type[Base], columns: tuple[str, ...]) -> sa.TextClause:
    name, listed = table.__tablename__, ", ".join(columns)
    return sa.text(
        f"INSERT INTO {name} ({listed}) SELECT {listed} FROM json_populate_recordset(NULL::{name}, CAST(:rows AS json))"  # noqa: S608
    )


class Question:
    """A statement of the session's transaction that may share its round trip with others."""

    def __init__(self, text: str) -> None:
        self.text = sa.text(text).compile(dialect=_DIALECT).string

    @classmethod
    def of(cls, compiled: str) -> "Question":
        """Of a text that has the driver's own placeholders already."""
        question = cls.__new__(cls)
        question.text = compiled
        return question


def insertion(table: type[Base], rows: list[dict[str, Any]], *, where: str = "true") -> tuple[Question, dict[str, Any]]:
    """`insert_rows` as a question; `where` is ours, and asks each row whether it is to be inserted."""
    return _conditional(table, tuple(rows[0]) if rows else ("id",), where), {"rows": orjson.dumps(rows).decode()}


@cache
def _conditional(table: type[Base], columns: tuple[str, ...], where: str) -> Question:
    return Question(f"{_insertion(table, columns).text} AS row WHERE {where} RETURNING id")


def ask(*questions: tuple[Question, dict[str, Any]]) -> list[list[tuple[Any, ...]]]:
    """Let the session's transaction run these in their order, in one round trip (libpq's pipeline); rows of each.

    Where one fails, those after it do not run.
    """
    connection = db.session.connection()
    raw: Any = connection.connection.driver_connection
    try:
        with raw.pipeline():
            cursors = [raw.execute(question.text, values) for question, values in questions]
        return [cursor.fetchall() for cursor in cursors]
    except psycopg.Error as error:
        is_gone = raw.closed or raw.broken
        if is_gone:
            connection.invalidate(error)
        raise sa.exc.DBAPIError.instance(  # what the session would have raised
            questions[0][0].text,
            None,
            error,
            psycopg.Error,
            hide_parameters=True,
            connection_invalidated=is_gone,
            dialect=_DIALECT,
        ) from error


def copy_in(table: type[Base], columns: Sequence[str], pieces: Iterable[str]) -> None:
    """Let the session's transaction COPY rows into a table: whole lines of COPY's text format, some in each piece.

    The server takes in one piece while the next is being made.
    """
    listed = ", ".join(f'"{column}"' for column in columns)
    raw: Any = db.session.connection().connection.driver_connection
    try:
        with raw.cursor() as cursor, cursor.copy(f'COPY "{table.__tablename__}" ({listed}) FROM STDIN') as copy:
            for piece in pieces:
                copy.write(piece)
    except psycopg.Error as error:
        raise sa.exc.DBAPIError.instance("COPY", None, error, psycopg.Error) from error
