"""Reads the rows of Slurm's accounting (slurmdbd by slurmrestd 22.05): only those of our jobs, and only those that
make sense. A hundred thousand come at once, so a row is a tuple of plain values, in the order of their table."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

OURS = re.compile(r"(lab|batch)-([0-9a-f]{32})").fullmatch
SECONDS_AHEAD = 24 * 3600  # a cluster's clock may be wrong by so much, and not more
NULL = "\\N"
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


# How a segment stands in COPY's text format. A moment is put together from texts that are there already.

_DAY_SECONDS = 24 * 3600
_SPECIAL = re.compile(r"[\\\t\n\r]").search
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def line(segment: Segment) -> str:
    """The segment as a line for COPY, with its newline."""
    words = "\t".join(segment[4:10])
    if words.count("\t") != 5 or _SPECIAL(words.replace("\t", "")):
        words = "\t".join(word.translate(_ESCAPES) for word in segment[4:10])
    started, ended = segment[10], segment[11]
    return (
        f"{segment[0]}\t{_moment(segment[1])}\t{segment[2]}\t{segment[3]:d}\t{words}"
        f"\t{_moment(started) if started else NULL}\t{_moment(ended) if ended else NULL}"
        f"\t{segment[12]}\t{segment[13]}\t{segment[14]}\t{segment[15]}\n"
    )


@lru_cache(200_000)
def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}+00"
