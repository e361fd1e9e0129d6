"""Takes in what a scheduler's accounting says was run, and keeps what makes no sense for the operators.

Idempotent by (center, job, segment): windows overlap, come twice and out of order without harm. The cursor moves in a
transaction of its own, after what was read is committed.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from accounts.services import notices
from app import audit, clock
from app.access import SYSTEM, Actor, require
from app.db import db
from app.ids import uuid7
from app.statements import copy_in
from labs import policy
from labs.models import AccountingCursor, AccountingReject, Center, JobSegment, RejectState
from labs.queries import evidence as queries
from labs.services import operators
from labs.slurm_accounting import BadRow, Columns, Segment, as_columns, lines, piles

OVERLAP = timedelta(minutes=15)  # read again each time: slurmctld tells slurmdbd when it can
WIDE = timedelta(hours=26)  # read again now and then, for what a slurmdbd that was away heard much later
WIDELY_EVERY = timedelta(hours=1)
SLICE = timedelta(hours=2)  # of one call: slurmrestd has no pages
FIRST = timedelta(days=7)  # of the past, when a center is read for the first time
TELL_AFTER = timedelta(minutes=10)
STILL_OPEN = 100  # segments without an end that are asked for one by one, in a pass
COLUMNS = ("center_id", *Segment._fields)
CHANGING = ("state", "started_at", "ended_at", "suspended_seconds", "exit_status", "nodes")
MAY_CHANGE = [Segment._fields.index(name) for name in CHANGING]

notices.describe(
    "accounting-is-silent",
    _("The accounting of %(center)s does not answer"),
    _("What its scheduler ran is not known since %(since_at)s: %(why)s"),
    label=_("The accounting of a center does not answer"),
)
notices.describe(
    "accounting-makes-no-sense",
    _("Rows of the accounting of %(center)s make no sense"),
    _("%(count)s rows were kept aside. Look at them, and dismiss them or let them be tried again."),
    label=_("Rows of a center's accounting make no sense"),
)


@dataclass(frozen=True)
class Window:
    """What is to be read of a center's accounting: in slices, the last of them open to the present."""

    since: datetime
    until: datetime
    is_wide: bool

    def slices(self) -> list[tuple[datetime, datetime]]:
        found, since = [], self.since
        while since < self.until:
            until = min(since + SLICE, self.until)
            found.append((since, until))
            since = until
        return found


@dataclass
class Taken:
    """What became of the rows of one answer. `work_ids` are all that it spoke of, in hexadecimal digits."""

    new: int = 0
    changed: int = 0
    same: int = 0
    foreign: int = 0  # jobs that are not ours
    rejected: int = 0
    work_ids: set[str] = field(default_factory=set)
    keys: list["Key"] = field(default_factory=list)

    @property
    def job_ids(self) -> set[int]:
        return {job_id for job_id, _submitted in self.keys}


# --- the cursor -----------------------------------------------------------------------------------------------------


def window(center_id: UUID) -> Window:
    """What to read next: from some time before the cursor, and now and then from long before it."""
    now, cursor = clock.now(), _cursor(center_id)
    is_wide = cursor.read_widely_at is None or now - cursor.read_widely_at >= WIDELY_EVERY
    since = min(cursor.read_until, now) - OVERLAP
    return Window(min(since, now - WIDE) if is_wide else since, now, is_wide)


def move(center_id: UUID, until: datetime) -> None:
    """What lies before this moment was read, and is committed."""
    cursor = _cursor(center_id, lock=True)
    cursor.read_until = max(cursor.read_until, until)
    cursor.answered_at, cursor.silent_since, cursor.why, cursor.told_at = clock.now(), None, None, None


def finished(center_id: UUID, done: Window) -> None:
    if done.is_wide:
        _cursor(center_id, lock=True).read_widely_at = done.until


def silent(center_id: UUID, why: str) -> None:
    """It does not answer; after some time operators hear of it, once."""
    cursor, now = _cursor(center_id, lock=True), clock.now()
    cursor.silent_since, cursor.why = cursor.silent_since or now, why
    if cursor.told_at is None and now - cursor.silent_since >= TELL_AFTER:
        cursor.told_at = now
        since = cursor.silent_since
        operators.tell(
            "accounting-is-silent",
            f"{center_id}:accounting:{since.isoformat()}",
            url="/operations/accounting",
            center=cursor.center.slug,
            since_at=since,
            why=why,
        )


def _cursor(center_id: UUID, *, lock: bool = False) -> AccountingCursor:
    first = clock.now() - FIRST
    fresh = insert(AccountingCursor).values(center_id=center_id, read_until=first).on_conflict_do_nothing()
    db.session.execute(fresh)
    found = select(AccountingCursor).where(AccountingCursor.center_id == center_id)
    if lock:
        found = found.with_for_update(of=AccountingCursor)
    return db.session.scalars(found.execution_options(populate_existing=True)).one()


# --- rows -----------------------------------------------------------------------------------------------------------


def take_in(center_id: UUID, rows: Sequence[Any]) -> Taken:
    """Write down what rows of the accounting say; those that cannot be believed are kept aside.

    A segment that has ended stays so, whatever an older answer says; of two ends the one that came later counts.
    What is new goes straight into the table, by COPY; what is known is compared, and put there anew where it changed.
    """
    taken, bad = Taken(), []
    _cursor(center_id, lock=True)  # one import of a center at a time
    known, start = _known(center_id, rows), f"{center_id.hex}\t"
    changed: dict[Key, Segment] = {}

    def pieces() -> Iterator[str]:
        for columns, wrong, foreign in piles(rows, int(clock.now().timestamp())):
            bad.extend(wrong)
            taken.foreign += foreign
            fresh = _fresh(columns, known, changed)
            taken.new += len(fresh[0])
            taken.keys += zip(columns[0], columns[1], strict=True)
            taken.work_ids.update(columns[2])
            yield lines(start, fresh)

    copy_in(JobSegment, COLUMNS, pieces())
    _replace(center_id, changed, start)
    taken.changed, taken.same = len(changed), len(set(taken.keys)) - taken.new - len(changed)
    taken.rejected = _keep_aside(center_id, bad)
    _accept(center_id, taken.keys)
    return taken


Key = tuple[int, int]  # the job and when the segment was submitted
Told = tuple[Any, ...]  # what may still change of a segment


def _fresh(columns: Columns, known: dict[Key, Told], changed: dict[Key, Segment]) -> Columns:
    """The segments that were not known; those that were and are not the same any more go into `changed`."""
    keys = list(zip(columns[0], columns[1], strict=True))
    if known.keys().isdisjoint(keys) and len(set(keys)) == len(keys):
        may_change = (columns[number] for number in MAY_CHANGE)
        known.update(zip(keys, zip(*may_change, strict=True), strict=True))
        return columns
    return as_columns(_sifted(map(Segment._make, zip(*columns, strict=True)), known, changed))


def _sifted(segments: Iterable[Segment], known: dict[Key, Told], changed: dict[Key, Segment]) -> Iterator[Segment]:
    for segment in segments:
        key = segment.job_id, segment.submitted_at
        if key not in known:
            known[key] = _may_change(segment)
            yield segment
        elif _is_news(known[key], segment):
            known[key] = _may_change(segment)
            changed[key] = segment


_KNOWN = """
SELECT job_id, extract(epoch FROM submitted_at)::bigint, state, extract(epoch FROM started_at)::bigint,
    extract(epoch FROM ended_at)::bigint, suspended_seconds, exit_status, nodes
FROM job_segment WHERE center_id = :center AND """
_IN_A_ROW = text(_KNOWN + "job_id BETWEEN :first AND :last")
_APART = text(_KNOWN + "job_id = ANY(CAST(:jobs AS bigint[]))")


def _known(center_id: UUID, rows: Iterable[Any]) -> dict[Key, Told]:
    """What is known of these jobs, or of some more where they stand close together, as they mostly do."""
    numbers = {row["job_id"] for row in rows if type(row) is dict and type(row.get("job_id")) is int}
    jobs = [number for number in numbers if 0 < number < 2**62]
    if not jobs:
        return {}
    first, last = min(jobs), max(jobs)
    if last - first < 4 * len(jobs):
        found = db.session.execute(_IN_A_ROW, {"center": center_id, "first": first, "last": last})
    else:  # one that runs for months stands far from the others
        found = db.session.execute(_APART, {"center": center_id, "jobs": jobs})
    return {(row[0], row[1]): tuple(row[2:]) for row in found}


def _may_change(segment: Segment) -> Told:
    return tuple(segment[number] for number in MAY_CHANGE)


def _is_news(was: Told, segment: Segment) -> bool:
    return not (was[2] is not None and segment.ended_at is None) and was != _may_change(segment)


def _replace(center_id: UUID, changed: Mapping[Key, Segment], start: str) -> None:
    if not changed:
        return
    jobs, moments = zip(*changed, strict=True)
    db.session.execute(
        text(
            "DELETE FROM job_segment s"
            " USING unnest(CAST(:jobs AS bigint[]), CAST(:moments AS bigint[])) AS n(job, moment)"
            " WHERE s.center_id = :center AND s.job_id = n.job AND s.submitted_at = to_timestamp(n.moment)"
        ),
        {"center": center_id, "jobs": list(jobs), "moments": list(moments)},
    )
    copy_in(JobSegment, COLUMNS, [lines(start, as_columns(changed.values()))])


# --- what makes no sense --------------------------------------------------------------------------------------------


def nobody_s(center_id: UUID, work_ids: Iterable[str]) -> int:
    """Keep aside what bears the name of a session or batch job that this center never had."""
    found = db.session.execute(
        text(
            "SELECT to_jsonb(s) FROM job_segment s"
            " WHERE s.center_id = :center AND s.work_id = ANY(CAST(:ids AS uuid[]))"
            " AND NOT EXISTS (SELECT FROM lab_session l WHERE l.id = s.work_id AND l.center_id = s.center_id)"
        ),
        {"center": center_id, "ids": list(work_ids)},
    )
    unknown = BadRow("nobody-s", "no session or batch job of this center has that name")
    return _keep_aside(center_id, [(row, unknown) for row in found.scalars()])


def dismiss(actor: Actor, reject_id: UUID) -> AccountingReject:
    """An operator has looked at a row, and it is to be forgotten."""
    require(policy.may_operate(actor))
    return _decide(actor, reject_id, RejectState.DISMISSED)


def try_again(actor: Actor, reject_id: UUID) -> AccountingReject:
    """Let the next import read the row once more: the program knows more now, or the lab is there by now."""
    require(policy.may_operate(actor))
    return _decide(actor, reject_id, RejectState.AGAIN)


def retry(center_id: UUID) -> Taken:
    """Read once more what operators wanted read once more; what still makes no sense is open again, with why."""
    wanted = db.session.scalars(
        select(AccountingReject)
        .where(AccountingReject.center_id == center_id, AccountingReject.state == RejectState.AGAIN)
        .order_by(AccountingReject.id)
        .with_for_update(of=AccountingReject, skip_locked=True)
    ).all()
    total = Taken()
    for row in wanted:
        row.state = RejectState.OPEN
        if row.why == "nobody-s":
            work_id = UUID(row.raw["work_id"])
            total.work_ids.add(work_id.hex)
            row.state = RejectState.OPEN if _is_nobody_s(center_id, work_id) else RejectState.ACCEPTED
            continue
        db.session.flush()
        total.work_ids |= take_in(center_id, [row.raw.get("row", row.raw)]).work_ids
    db.session.flush()
    return total


def _is_nobody_s(center_id: UUID, work_id: UUID) -> bool:
    known = text("SELECT EXISTS (SELECT FROM lab_session WHERE id = :id AND center_id = :center)")
    return not db.session.scalar(known, {"id": work_id, "center": center_id})


def _decide(actor: Actor, reject_id: UUID, state: RejectState) -> AccountingReject:
    row = queries.reject(reject_id, lock=True)
    if row.state is not state and row.state is not RejectState.ACCEPTED:
        row.state, row.decided_at, row.decided_by = state, clock.now(), actor.person_id
        audit.record(actor, f"accounting-reject.{state}", row, center=row.center.slug, why=row.why)
        db.session.flush()
    return row


def _keep_aside(center_id: UUID, bad: Sequence[tuple[Any, BadRow]]) -> int:
    """Keep rows that make no sense, each once; return how many are new."""
    if not bad:
        return 0
    rows = [
        {
            "id": uuid7(),
            "created_at": clock.now(),
            "center_id": center_id,
            "sha256": _fingerprint(row, problem),
            "raw": row if isinstance(row, dict) else {"row": row},
            "why": problem.code,
            "detail": problem.detail[:500],
            "state": RejectState.OPEN,
        }
        for row, problem in bad
    ]
    statement = insert(AccountingReject).values(list({row["sha256"]: row for row in rows}.values()))
    once = statement.on_conflict_do_nothing(index_elements=["center_id", "sha256"]).returning(AccountingReject.id)
    new = db.session.scalars(once).all()
    if new:
        center = db.session.get_one(Center, center_id)
        audit.record(SYSTEM, "center.accounting-rejects", center, rows=len(new))
        operators.tell(
            "accounting-makes-no-sense",
            f"{center_id}:rejects:{clock.now().date()}",
            url="/operations/accounting",
            center=center.slug,
            count=len(new),
        )
    return len(new)


def _fingerprint(row: Any, problem: BadRow) -> str:
    """A row comes again with every window, and says how long its job has run by then."""
    told = _key(row)
    known: Any = [problem.code, *told] if told else row
    return hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()


def _key(row: Any) -> tuple[Any, Any] | None:
    """The job and its segment, as far as a row that makes no sense says so; one of our own is told by its columns."""
    if not isinstance(row, dict):
        return None
    job_id = row.get("job_id")
    times = row.get("time")
    submitted = times.get("submission") if isinstance(times, dict) else row.get("submitted_at")
    return (job_id, submitted) if isinstance(job_id, int) and isinstance(submitted, int | str) else None


def _accept(center_id: UUID, keys: Iterable[Key]) -> None:
    """What made no sense makes sense by now: the row came again, and whole."""
    waiting = db.session.scalars(
        select(AccountingReject).where(
            AccountingReject.center_id == center_id,
            AccountingReject.state.in_((RejectState.OPEN, RejectState.AGAIN)),
            AccountingReject.why != "nobody-s",
        )
    )
    rows = waiting.all()
    known = set(keys) if rows else set()
    for row in rows:
        if _key(row.raw) in known:
            row.state = RejectState.ACCEPTED
