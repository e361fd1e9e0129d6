"""Everything that is kept about one person, as a ZIP of JSON files, written while it is read.

Each domain registers its files; a file is a list of rows. Secrets and their digests are in none of them.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, cast
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZipFile

from sqlalchemy import Executable

from app.audit import plain
from app.db import db

Rows = Callable[[UUID], Iterator[Mapping[str, Any]]]
FILES: dict[str, Rows] = {}
AT_ONCE = 500  # rows read from the database at a time


def register(name: str, statement: Callable[[UUID], Executable]) -> None:
    """Put the rows of the statement, one object for each with its labels as names, into `name`.json."""
    FILES[name] = lambda person_id: read(statement(person_id))


def read(statement: Executable) -> Iterator[Mapping[str, Any]]:
    for row in db.session.execute(statement.execution_options(yield_per=AT_ONCE)):
        yield dict(row._mapping)


def archive(person_id: UUID) -> Iterator[bytes]:
    """The ZIP, piece by piece; no more of it is in memory than a few rows."""
    sink = _Sink()
    with ZipFile(cast(IO[bytes], sink), "w", ZIP_DEFLATED) as zip_file:
        for name, rows in FILES.items():
            with zip_file.open(f"{name}.json", "w") as file:
                file.write(b"[")
                for number, row in enumerate(rows(person_id)):
                    file.write((",\n" if number else "\n").encode() + _line(row))
                    yield sink.take()
                file.write(b"\n]\n")
            yield sink.take()
    yield sink.take()


def _line(row: Mapping[str, Any]) -> bytes:
    shown = {name: value if isinstance(value, dict) else plain(value) for name, value in row.items()}
    return json.dumps(shown, ensure_ascii=False).encode()


class _Sink:
    """Where the ZIP is written to, and taken from. It cannot be sought in, so ZIP's sizes follow the files."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
