"""Reads the rows of Slurm's accounting (slurmdbd by slurmrestd 22.05): only those of our jobs, and only those that
make sense. A hundred thousand come at once, so a row is a tuple of plain values, in the order of their table."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache, lru_cache
from itertools import islice
from typing import Any, NamedTuple

OURS = re.compile(r"(lab|batch)-([0-9a-f]{32})").fullmatch
SECONDS_AHEAD = 24 * 3600  # a cluster's clock may be wrong by so much, and not more
NULL = "\\N"
PILE = 5000  # rows
EARLIEST = 946_684_800  # 2000


class Segment(NamedTuple):
    """One segment of a job. Moments are seconds since 1970; None: not yet, or never."""

    job_id: int
    submitted_at: int
    work_id: str  # 32 hexadecimal digits, from the job's name
    is_batch: bool
    user: str
    account: str
    qos: str
    partition: str
    nodes: str
    state: str
    started_at: int | None
    ended_at: int | None
    suspended_seconds: int
    exit_status: int
    cores: int
    memory_mb: int


class BadRow(Exception):
    """A row that cannot be believed. `code` is stable: no-field, no-number, ends-before-start, in-the-future."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def read(row: Any, now: int) -> Segment | None:
    """What the row says; None where it is about a job that is not ours. `now` is in seconds since 1970."""
    try:
        name = row["name"]
        ours = OURS(name)
        if ours is None:
            return None
        times, status, job_id = row["time"], row["exit_code"], row["job_id"]
        cores, memory_mb = _taken(row["tres"]["allocated"])
        segment = Segment(
            job_id,
            times["submission"],
            ours[2],
            ours[1] == "batch",
            row["user"] or "",
            row["account"] or "",
            row["qos"] or "",
            row["partition"] or "",
            row["nodes"] or "",
            row["state"]["current"],
            times["start"] or None,
            times["end"] or None,
            times["suspended"],
            _status(status),
            cores,
            memory_mb,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadRow("no-field", f"{type(error).__name__}: {error}") from error
    _check(segment, now + SECONDS_AHEAD)
    return segment


def _check(segment: Segment, latest: int) -> None:
    job_id, submitted, started, ended = segment[0], segment[1], segment[10], segment[11]
    if type(job_id) is not int or job_id <= 0:
        raise BadRow("no-number", f"job_id is {job_id!r}")
    for what, moment in (("submission", submitted), ("start", started or submitted), ("end", ended or submitted)):
        if type(moment) is not int:
            raise BadRow("no-number", f"{what} is {moment!r}")
        if not EARLIEST <= moment <= latest:
            raise BadRow("in-the-future" if moment > latest else "long-ago", f"{what} is {moment}")
    for value in segment[12:]:
        if type(value) is not int or value < 0:
            raise BadRow("no-number", f"suspended, exit code, cores or memory is {value!r}")
    if ended is not None and ended < (started or submitted):
        raise BadRow("ends-before-start", f"{ended} is before {started or submitted}")
    for text in segment[4:10]:
        if type(text) is not str or "\0" in text:
            raise BadRow("no-field", f"a name is {text!r}")


def _taken(resources: Any) -> tuple[int, int]:
    """Cores and memory in MB."""
    cores = memory_mb = 0
    for one in resources:
        kind = one["type"]
        if kind == "cpu":
            cores = one["count"] or 0
        elif kind == "mem":
            memory_mb = one["count"] or 0
    return cores, memory_mb


def _status(code: Any) -> int:
    """As wait(2) gives it."""
    signal = code.get("signal")
    number = signal.get("signal_id", 0) if isinstance(signal, dict) else 0
    return ((code["return_code"] or 0) << 8) | (number or 0)


Columns = list[Any]  # of segments: for each field of `Segment` a list
Bad = list[tuple[Any, BadRow]]


def piles(rows: Iterable[Any], now: int) -> Iterator[tuple[Columns, Bad, int]]:
    """`read` for every row: a pile at a time, column by column; a pile with a bad row in it, row by row.

    Of each pile: the segments of our jobs as columns, the rows that cannot be believed, how many were about others.
    """
    iterator = iter(rows)
    while pile := list(islice(iterator, PILE)):
        try:
            columns = _pile(pile, now)
            yield columns, [], len(pile) - len(columns[0])
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            yield _one_by_one(pile, now)


def _one_by_one(pile: list[Any], now: int) -> tuple[Columns, Bad, int]:
    segments: list[Segment] = []
    bad: Bad = []
    for row in pile:
        try:
            segment = read(row, now)
        except BadRow as problem:
            bad.append((row, problem))
        else:
            if segment is not None:
                segments.append(segment)
    return as_columns(segments), bad, len(pile) - len(segments) - len(bad)


def as_columns(segments: Iterable[Segment]) -> Columns:
    return [list(column) for column in zip(*segments, strict=True)] or [[] for _name in Segment._fields]


def _pile(pile: list[Any], now: int) -> Columns:
    """Raises something where any row is bad, or is not of the usual shape."""
    names = list(map(OURS, [row["name"] for row in pile]))
    if None in names:
        pile, names = [row for row, name in zip(pile, names, strict=True) if name], [name for name in names if name]
    times, taken = [row["time"] for row in pile], [row["tres"]["allocated"] for row in pile]
    if {one[0]["type"] for one in taken} - {"cpu"} or {one[1]["type"] for one in taken} - {"mem"}:
        raise ValueError("other resources come first")
    columns: Columns = [
        [row["job_id"] for row in pile],
        [time["submission"] for time in times],
        [name[2] for name in names if name],
        [name[1] == "batch" for name in names if name],
        *([row[word] or "" for row in pile] for word in ("user", "account", "qos", "partition", "nodes")),
        [row["state"]["current"] for row in pile],
        [time["start"] or None for time in times],
        [time["end"] or None for time in times],
        [time["suspended"] for time in times],
        [code["return_code"] << 8 if len(code) == 2 else _status(code) for code in [row["exit_code"] for row in pile]],
        [one[0]["count"] for one in taken],
        [one[1]["count"] for one in taken],
    ]
    if not _are_believed(columns, now + SECONDS_AHEAD):
        raise ValueError("one of them is not to be believed")
    return columns


def _are_believed(columns: Columns, latest: int) -> bool:
    """What `_check` asks of a segment, of whole columns."""
    jobs, submitted, started, ended = columns[0], columns[1], columns[10], columns[11]
    begun, done = [moment for moment in started if moment], [moment for moment in ended if moment]
    return (
        all(set(map(type, column)) <= {int} for column in (jobs, submitted, begun, done, *columns[12:]))
        and all(set(map(type, words)) <= {str} and "\0" not in "".join(words) for words in map(set, columns[4:10]))
        and min(jobs, default=1) > 0
        and all(min(column, default=latest) >= EARLIEST for column in (submitted, begun, done))
        and all(max(column, default=latest) <= latest for column in (submitted, begun, done))
        and all(min(column, default=0) >= 0 for column in columns[12:])
        and not any(
            end is not None and end < (start or given)
            for given, start, end in zip(submitted, started, ended, strict=True)
        )
    )


# How segments stand in COPY's text format. A moment is put together from texts that are there already.

_SPECIAL = re.compile(r"[\\\t\n\r]").search
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
DAY = 24 * 3600


def lines(start: str, columns: Columns) -> str:
    """Segments as lines for COPY, each after the same start."""
    told = list(columns)
    for number in (1, 10, 11):
        told[number] = _moments(told[number])
    for number in range(4, 10):
        if _SPECIAL("".join(set(told[number]))):
            told[number] = [word.translate(_ESCAPES) for word in told[number]]
    return "".join(map((start + "\t".join(["%s"] * len(told)) + "\n").__mod__, zip(*told, strict=True)))


def _moments(column: Iterable[int | None]) -> list[str]:
    seconds = _seconds_of_a_day()
    days = {day: _day(day) for day in {at // DAY for at in column if at is not None}}
    return [NULL if at is None else days[at // DAY] + seconds[at % DAY] for at in column]


@cache
def _seconds_of_a_day() -> list[str]:
    return [f" {at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}+00" for at in range(DAY)]


@lru_cache(4096)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * DAY, UTC).strftime("%Y-%m-%d")
