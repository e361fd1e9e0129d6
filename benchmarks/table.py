"""Keeps docs/benchmarks.md: a table for each benchmark, replaced by its next run; what people wrote stays."""

import datetime
import os
import platform
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEAD = """# What was measured

`make bench` measures all of it and replaces the tables; `make bench ONLY=startup` does one. Numbers of a machine shared
with others vary by half: compare what was measured in one sitting.
"""


@dataclass(frozen=True)
class Measurement:
    """A row: what was done, the number with its unit, and what one must know to judge it."""

    what: str
    result: str
    remark: str = ""


def write(name: str, rows: list[Measurement], page: Path = PAGE) -> None:
    """Put the table between its markers, at the end when there is none yet."""
    text = page.read_text() if page.exists() else HEAD
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    table = "\n".join([begin, f"`make bench ONLY={name}` on {machine()}", "", *_lines(rows), end])
    if begin in text and end in text:
        before, rest = text.split(begin, 1)
        text = before + table + rest.split(end, 1)[1]
    else:
        title = name.replace("_", " ").capitalize()
        text = f"{text.rstrip()}\n\n## {title}\n{table}\n"
    page.write_text(text)


def machine() -> str:
    cores = os.cpu_count() or 1
    today = datetime.datetime.now(datetime.UTC).date()
    return f"{today}: {platform.system()} {platform.machine()}, {cores} cores, Python {platform.python_version()}"


def _lines(rows: list[Measurement]) -> list[str]:
    head = ["| what | result | remark |", "| --- | --- | --- |"]
    return head + [f"| {row.what} | {row.result} | {row.remark} |" for row in rows]
