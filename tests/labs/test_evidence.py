"""What a scheduler's accounting says is taken in once, though it comes twice, late or out of order, and is followed."""

import itertools
from datetime import timedelta
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import clock as time
from app.access import SYSTEM, PlatformRole
from app.db import db, transaction
from labs import ledger, slurm_accounting
from labs.adapters.slurmrestd import Slurm, SlurmUnreachable
from labs.jobs import accounting as job
from labs.models import AccountingCursor, AccountingReject, CenterKind, JobSegment, LedgerTransaction, RejectState
from labs.models import SessionState as State
from labs.months import Month
from labs.queries import evidence as queries
from labs.services import accounting, evidence, periods
from labs.slurm_accounting import BadRow, piles, read
from tests.make import as_actor

numbers = itertools.count(100)


def epoch(moment):
    return int(moment.timestamp())


def row(name, started_at=None, ended_at=None, *, submitted_at=None, state="COMPLETED", job_id=None, user="u1", **more):
    """A row as slurmrestd 22.05 gives it, as far as it is read."""
    submitted_at = submitted_at or started_at
    return {
        "job_id": job_id or next(numbers),
        "name": name,
        "user": user,
        "account": "chancai",
        "qos": "lab",
        "partition": "labs",
        "nodes": "n1",
        "state": {"current": state, "reason": "None"},
        "exit_code": {"status": "SUCCESS", "return_code": 0},
        "time": {
            "submission": epoch(submitted_at),
            "start": epoch(started_at) if started_at else None,
            "end": epoch(ended_at) if ended_at else 0,
            "suspended": 0,
            "elapsed": 0,
        },
        "tres": {"allocated": [{"type": "cpu", "count": 2}, {"type": "mem", "count": 500}]},
    } | more


class Books:
    """slurmrestd as the job sees it: the rows that it has by now."""

    def __init__(self):
        self.rows, self.asked, self.away = [], [], False

    def accounting(self, _account, since, until=None):
        self.asked.append((since, until))
        if self.away:
            raise SlurmUnreachable("accounting", "slurmdbd is away")
        return [one for one in self.rows if self._is_in(one["time"], epoch(since), until)]

    def accounting_of(self, _account, job_id):
        return [one for one in self.rows if one["job_id"] == job_id]

    def _is_in(self, times, since, until):
        begins, ends = times["start"] or times["submission"], times["end"] or 2**40
        return ends >= since and (until is None or begins <= epoch(until))


@pytest.fixture
def slurm(app, campus):
    books = Books()
    campus.center.kind = CenterKind.SLURM
    db.session.commit()
    app.extensions["slurms"]["embedded"] = Slurm(books, "slurm")
    yield books
    app.extensions["slurms"].clear()


def import_(campus):
    return campus.run("import_accounting")


def settled(campus, clock, minutes=30):
    """A lab that ran so long, as the hub had it: (session, when it was ready)."""
    session = campus.running()
    ready = session.ready_at
    clock.shift(timedelta(minutes=minutes))
    with transaction():
        session = campus.again(session.id)
        session.last_running_at = time.now()
        evidence.sessions.end(session.id, time.now(), "student")
    clock.shift(timedelta(minutes=1))
    return campus.again(session.id), ready


def charged(campus, session):
    session = campus.again(session.id)
    return session.seconds_used, session.charged_micro, campus.purse()


MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("minutes", [10, 29, 31, 33])
def test_a_lab_is_charged_for_the_time_that_accounting_says(campus, slurm, clock, minutes):
    session, ready = settled(campus, clock)
    slurm.rows = [row(session.server_name, ready - timedelta(seconds=4), ready + minutes * MINUTE)]
    clock.shift(20 * MINUTE)
    assert [one.kind for one in queries.differences()] == ["no-evidence"]

    import_(campus)

    seconds, micro, purse = charged(campus, session)
    assert seconds == minutes * 60
    assert micro == minutes * 60 * 1_000_000 // 3600
    assert purse == (100_000_000 - micro, 0, micro)
    assert queries.differences() == []
    assert ledger.audit() == []


@pytest.mark.parametrize(("minutes", "is_told"), [(28, True), (32, True), (29.5, False)])
def test_the_person_hears_of_a_charge_that_was_set_right(campus, slurm, clock, minutes, is_told):
    session, ready = settled(campus, clock)
    slurm.rows = [row(session.server_name, ready, ready + minutes * MINUTE)]

    import_(campus)
    import_(campus)

    told = sa.text("SELECT facts FROM notice WHERE person_id = :p AND kind = 'lab-charge-set-right'")
    found = db.session.execute(told, {"p": campus.student.id}).scalars().all()
    assert [(one["charged_seconds"], one["ran_seconds"]) for one in found] == [(1800, minutes * 60)] * is_told


def test_old_bookings_stay_as_they_are(campus, slurm, clock):
    session, ready = settled(campus, clock)
    before = db.session.execute(sa.text("SELECT * FROM ledger_entry ORDER BY id")).all()
    slurm.rows = [row(session.server_name, ready, ready + 10 * MINUTE)]

    import_(campus)

    after = db.session.execute(sa.text("SELECT * FROM ledger_entry ORDER BY id")).all()
    assert after[: len(before)] == before
    command = db.session.scalars(sa.select(LedgerTransaction).order_by(LedgerTransaction.id.desc())).first()
    assert command.command == "revise"
    assert "600 s" in command.reason


def test_a_closed_month_stays_as_it_is(campus, slurm, clock):
    clock.move_to("2026-03-31T14:00:00+00:00")
    session, ready = settled(campus, clock)
    clock.move_to("2026-04-02T08:00:00+00:00")
    month = Month(2026, 3)
    with transaction():
        periods.close(SYSTEM, month)
    slurm.rows = [row(session.server_name, ready, ready + 10 * MINUTE)]

    import_(campus)

    command = db.session.scalars(sa.select(LedgerTransaction).where(LedgerTransaction.command == "revise")).one()
    assert command.created_at >= month.ends_at
    assert charged(campus, session)[0] == 600
    assert ledger.audit() == []
    clock.move_to("2026-05-02T08:00:00+00:00")
    with transaction():
        periods.close(SYSTEM, Month(2026, 4))
    from labs.services import verifying

    assert verifying.verify(SYSTEM) == []


def test_what_the_budget_cannot_pay_is_owed(campus, slurm, clock):
    session, ready = settled(campus, clock)
    left = campus.purse()[0]
    other = campus.make.budget(1)
    with transaction():
        ledger.transfer(campus.budget_id, other.id, left, key="all away")
    slurm.rows = [row(session.server_name, ready, ready + 34 * MINUTE)]

    import_(campus)

    purse = db.session.execute(
        sa.text("SELECT available, used, overrun FROM purse WHERE budget_id = :b"), {"b": campus.budget_id}
    ).one()
    more = 34 * 60 * 1_000_000 // 3600 - 500_000
    assert tuple(purse) == (0, 500_000 + more, more)
    assert ledger.audit() == []
    slurm.rows[0]["time"]["end"] = epoch(ready + 20 * MINUTE)
    import_(campus)
    assert charged(campus, session)[0] == 1200
    assert ledger.audit() == []


def test_a_gift_stays_a_gift(campus, slurm, clock):
    session, ready = settled(campus, clock)
    with transaction():
        ledger.correct(session.hold_id, 200_000, "slow disk", key="gift")
    slurm.rows = [row(session.server_name, ready, ready + 6 * MINUTE)]

    import_(campus)

    hold = campus.again(session.id).hold
    assert (hold.posted_micro, hold.corrected_micro) == (200_000, 200_000)
    assert ledger.audit() == []
    import_(campus)
    assert queries.differences() == []


def test_nobody_pays_for_more_than_the_grace(campus, slurm, clock):
    session, ready = settled(campus, clock)
    slurm.rows = [row(session.server_name, ready, ready + 10 * 60 * MINUTE)]
    clock.shift(11 * 60 * MINUTE)

    import_(campus)

    assert charged(campus, session)[0] == 65 * 60  # the lease of an hour, and five minutes to stop


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_segments_of_a_requeued_job_add_up_in_any_order(campus, slurm, clock, order):
    session, ready = settled(campus, clock)
    rows = [
        row(session.server_name, ready, ready + 5 * MINUTE, job_id=7, state="REQUEUED"),
        row(session.server_name, ready + 8 * MINUTE, ready + 12 * MINUTE, job_id=7, submitted_at=ready + 5 * MINUTE),
        row(session.server_name, ready + 11 * MINUTE, ready + 15 * MINUTE, job_id=8),
    ]

    for number in order:
        with transaction():
            accounting.take_in(campus.center.id, [rows[number]])
    clock.shift(60 * MINUTE)
    import_(campus)
    slurm.rows = rows
    import_(campus)

    assert charged(campus, session)[0] == (5 + 4 + 3) * 60  # what overlaps counts once
    assert db.session.scalar(sa.select(sa.func.count()).select_from(JobSegment)) == 3


def test_an_older_answer_does_not_bring_a_job_back(campus, slurm, clock):
    session, ready = settled(campus, clock)
    ended = row(session.server_name, ready, ready + 10 * MINUTE, job_id=5)
    running = row(session.server_name, ready, None, job_id=5, state="RUNNING")

    with transaction():
        first = accounting.take_in(campus.center.id, [running])
    with transaction():
        second = accounting.take_in(campus.center.id, [running, ended, running])
    with transaction():
        third = accounting.take_in(campus.center.id, [running])

    assert (first.new, second.changed, third.same) == (1, 1, 1)
    assert db.session.scalars(sa.select(JobSegment.state)).all() == ["COMPLETED"]


def test_another_account_s_job_of_that_name_says_nothing(campus, slurm, clock):
    session, ready = settled(campus, clock)
    slurm.rows = [
        row(session.server_name, ready - MINUTE, ready + 10 * MINUTE),
        row(session.server_name, ready + 10 * MINUTE, ready + 30 * MINUTE, user="mallory"),
    ]

    import_(campus)

    assert charged(campus, session)[0] == 600


def test_a_lab_that_accounting_says_has_ended_is_ended_whatever_the_hub_shows(campus, slurm, clock):
    session = campus.running()
    ready = session.ready_at
    slurm.rows = [row(session.server_name, ready, None, state="RUNNING")]
    clock.shift(10 * MINUTE)
    campus.run("reconcile_centers")
    import_(campus)
    assert campus.again(session.id).state is State.RUNNING
    slurm.rows = [
        dict(
            slurm.rows[0], time=slurm.rows[0]["time"] | {"end": epoch(ready + 7 * MINUTE)}, state={"current": "TIMEOUT"}
        )
    ]

    import_(campus)

    session = campus.again(session.id)
    assert (session.state, session.seconds_used) == (State.SETTLED, 420)
    assert session.ended_at == ready + 7 * MINUTE
    assert ledger.audit() == []


@pytest.mark.now("2026-03-02T09:00:00.700+00:00")
def test_a_lab_that_ended_in_the_second_in_which_it_was_ready_is_ended(campus, slurm, clock):
    session = campus.running()
    ready = session.ready_at.replace(microsecond=0)
    slurm.rows = [row(session.server_name, ready - 4 * MINUTE, ready, state="CANCELLED")]

    import_(campus)

    session = campus.again(session.id)
    assert (session.state, session.seconds_used) == (State.SETTLED, 0)


def test_a_job_of_an_earlier_attempt_ends_nothing(campus, slurm, clock):
    session = campus.running()
    slurm.rows = [row(session.server_name, session.ready_at - 2 * MINUTE, session.ready_at - MINUTE, state="FAILED")]

    import_(campus)

    assert campus.again(session.id).state is State.RUNNING


def test_the_cursor_stays_where_a_crash_came_between_rows_and_cursor(campus, slurm, clock, monkeypatch):
    session, ready = settled(campus, clock)
    import_(campus)
    before = db.session.scalars(sa.select(AccountingCursor.read_until)).one()
    clock.shift(60 * MINUTE)
    slurm.rows = [row(session.server_name, ready, ready + 10 * MINUTE)]
    with monkeypatch.context() as broken:
        broken.setattr(accounting, "move", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            import_(campus)
    db.session.rollback()
    assert db.session.scalars(sa.select(AccountingCursor.read_until)).one() == before
    assert charged(campus, session)[0] == 1800

    import_(campus)

    assert charged(campus, session)[0] == 600
    assert db.session.scalars(sa.select(AccountingCursor.read_until)).one() == time.now()
    assert db.session.scalar(sa.select(sa.func.count()).select_from(JobSegment)) == 1


def test_a_crash_before_the_ledger_follows_is_made_good(campus, slurm, clock, monkeypatch):
    session, ready = settled(campus, clock)
    slurm.rows = [row(session.server_name, ready, ready + 10 * MINUTE)]
    with monkeypatch.context() as broken:
        broken.setattr(job, "_follow", lambda *_, **_more: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            import_(campus)
    clock.shift(120 * MINUTE)

    import_(campus)

    assert charged(campus, session)[0] == 600


def test_silence_moves_no_cursor_and_is_told_once(campus, slurm, clock, make):
    operator = make.platform(PlatformRole.OPERATOR)
    import_(campus)
    before = db.session.scalars(sa.select(AccountingCursor.read_until)).one()
    slurm.away = True

    for _minute in range(15):
        clock.shift(MINUTE)
        import_(campus)

    cursor = db.session.scalars(sa.select(AccountingCursor)).one()
    assert (cursor.read_until, cursor.silent_since) == (before, before + MINUTE)
    told = (
        db.session.execute(sa.text("SELECT kind FROM notice WHERE person_id = :p"), {"p": operator.id}).scalars().all()
    )
    assert told == ["accounting-is-silent"]
    slurm.away = False
    import_(campus)
    assert slurm.asked[-1][0] == before - accounting.OVERLAP
    assert db.session.scalars(sa.select(AccountingCursor.silent_since)).one() is None


def test_an_end_that_came_long_after_its_window_is_found(campus, slurm, clock):
    session, ready = settled(campus, clock)
    slurm.rows = [row(session.server_name, ready, None, state="RUNNING", job_id=3)]
    import_(campus)
    clock.shift(timedelta(days=3))
    slurm.rows = [row(session.server_name, ready, ready + 10 * MINUTE, job_id=3)]

    import_(campus)

    assert charged(campus, session)[0] == 600


def bad(one, **changes):
    """The row with a fault in it; `times` change its moments."""
    times = changes.pop("times", {})
    return one | {"time": one["time"] | times} | changes


FAULTS = {
    "no-number": {"job_id": "7"},
    "ends-before-start": {"times": {"end": 1_700_000_000, "start": 1_700_000_001, "submission": 1_600_000_000}},
    "in-the-future": {"times": {"end": 2**40}},
    "long-ago": {"times": {"submission": 1}},
    "no-field": {"time": None},
}


@pytest.mark.parametrize("why", FAULTS)
def test_a_row_that_makes_no_sense_is_kept_for_the_operator_once(campus, slurm, clock, make, why):
    operator = make.platform(PlatformRole.OPERATOR)
    session, ready = settled(campus, clock)
    good = row(session.server_name, ready, ready + 10 * MINUTE)
    faulty = bad(good, **FAULTS[why]) if why != "no-field" else good | {"time": None}
    other, ready = settled(campus, clock)
    slurm.rows = []
    for _twice in range(2):
        with transaction():
            accounting.take_in(campus.center.id, [faulty, row(other.server_name, ready, ready + 5 * MINUTE, job_id=1)])

    reject = db.session.scalars(sa.select(AccountingReject)).one()
    assert (reject.why, reject.state, reject.raw) == (why, RejectState.OPEN, faulty)
    clock.shift(60 * MINUTE)
    import_(campus)
    assert charged(campus, other)[0] == 300  # one bad row keeps no good one out
    told = (
        db.session.execute(sa.text("SELECT kind FROM notice WHERE person_id = :p"), {"p": operator.id}).scalars().all()
    )
    assert told == ["accounting-makes-no-sense"]
    with transaction():
        accounting.dismiss(as_actor(operator), reject.id)
    assert db.session.scalars(queries.rejects()).all() == []


def test_what_is_no_row_at_all_is_kept_too(campus, slurm):
    with transaction():
        accounting.take_in(campus.center.id, [None, "x", 7, {}, [], {"name": f"lab-{uuid4().hex}"}])

    assert db.session.scalar(sa.select(sa.func.count()).select_from(AccountingReject)) == 6


def test_other_people_s_jobs_are_none_of_our_business(campus, slurm):
    now = time.now()
    with transaction():
        taken = accounting.take_in(
            campus.center.id, [row("lab-results", now, now), row("batch-", now, now), row("x" * 40, now, now)]
        )

    assert (taken.foreign, taken.new, taken.rejected) == (3, 0, 0)


def test_a_row_that_came_half_and_comes_whole_is_no_reject_any_more(campus, slurm, clock):
    session, ready = settled(campus, clock)
    good = row(session.server_name, ready, ready + 10 * MINUTE)
    with transaction():
        accounting.take_in(campus.center.id, [bad(good, times={"end": 1_700_000_000})])
    with transaction():
        accounting.take_in(campus.center.id, [good])

    assert db.session.scalars(sa.select(AccountingReject.state)).all() == [RejectState.ACCEPTED]


def test_what_bears_the_name_of_no_session_is_told_and_tried_again(campus, slurm, clock, make):
    operator = as_actor(make.platform(PlatformRole.OPERATOR))
    session, ready = settled(campus, clock)
    slurm.rows = [
        row(f"lab-{UUID(int=5).hex}", ready, ready + 10 * MINUTE),
        row(session.server_name, ready, ready + 30 * MINUTE),
    ]

    import_(campus)

    reject = db.session.scalars(queries.rejects()).one()
    assert reject.why == "nobody-s"
    with transaction():
        accounting.try_again(operator, reject.id)
    import_(campus)
    assert db.session.scalars(queries.rejects()).one().id == reject.id  # it still is


def test_a_row_is_tried_again_by_the_next_import(campus, slurm, clock, make):
    """As after an upgrade that reads what the one before could not."""
    operator = as_actor(make.platform(PlatformRole.OPERATOR))
    session, ready = settled(campus, clock)
    good = row(session.server_name, ready, ready + 10 * MINUTE)
    db.session.add(AccountingReject(center_id=campus.center.id, sha256="0", raw=good, why="no-number", detail="x"))
    db.session.commit()
    reject = db.session.scalars(queries.rejects()).one()
    with transaction():
        accounting.try_again(operator, reject.id)

    import_(campus)

    assert db.session.scalars(sa.select(AccountingReject.state)).one() == RejectState.ACCEPTED
    assert charged(campus, session)[0] == 600


@pytest.mark.parametrize("text", ["n[1-2]\t", "back\\slash", "line\nline", "\\N", "\r", "'\"", "中文"])
def test_names_come_as_they_are(campus, slurm, text):
    now = time.now()
    with transaction():
        accounting.take_in(campus.center.id, [row(f"lab-{uuid4().hex}", now, now, nodes=text, account=text)])

    assert db.session.execute(sa.select(JobSegment.nodes, JobSegment.account)).one() == (text, text)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_comes_in_whatever_order_the_end_is_the_same(make, data):
    """Rows of some jobs at different moments of their lives, in any order, in answers cut anyhow, any of them twice."""
    base, center_id = 1_772_442_000, uuid4()
    lives = data.draw(st.dictionaries(st.tuples(st.integers(1, 4), st.integers(0, 2)), st.integers(0, 50), min_size=1))
    rows, final, apart = [], {}, data.draw(st.sampled_from([1, 1_000_000]))
    for (job_id, segment), length in lives.items():
        job_id *= apart
        submitted = base + segment * 100
        work = f"lab-{UUID(int=job_id).hex}"
        whole = raw(work, job_id, submitted, submitted + 1, submitted + 1 + length)
        rows += [raw(work, job_id, submitted, None, 0), raw(work, job_id, submitted, submitted + 1, 0), whole]
        final[job_id, submitted] = submitted + 1 + length
    sent = data.draw(st.permutations(rows + data.draw(st.lists(st.sampled_from(rows), max_size=10))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=4)))
    db.session.add(make.center(slug=f"c{uuid4().hex}", id=center_id))

    for start, end in itertools.pairwise([0, *cuts, len(sent)]):
        with transaction(), patch.object(slurm_accounting, "PILE", data.draw(st.integers(1, 5))):
            accounting.take_in(center_id, sent[start:end])

    found = db.session.scalars(sa.select(JobSegment).where(JobSegment.center_id == center_id))
    assert {(one.job_id, epoch(one.submitted_at)): epoch(one.ended_at) for one in found} == final


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_pile_is_read_as_its_rows_are(data):
    """Whatever a row holds, reading it among others says the same as reading it alone."""
    now = 1_772_442_000
    strange = st.sampled_from([None, 0, -1, "7", 2**70, True, [], {}, "a\0b", 1.5, now + 10**6])
    rows = []
    for number in range(data.draw(st.integers(1, 6))):
        name = data.draw(st.sampled_from([f"lab-{uuid4().hex}", "x", f"batch-{uuid4().hex}"]))
        one = raw(name, number + 1, now, now, now)
        where = data.draw(st.sampled_from([*one, "time.start", "time.end", "time.suspended", "time.submission", ""]))
        if where.startswith("time."):
            one["time"] = one["time"] | {where.removeprefix("time."): data.draw(strange)}
        elif where:
            one[where] = data.draw(strange)
        rows.append(one)

    alone, bad, foreign = [], [], 0
    for one in rows:
        try:
            segment = read(one, now)
        except BadRow as problem:
            bad.append((one, problem.code))
        else:
            alone, foreign = (alone, foreign + 1) if segment is None else ([*alone, segment], foreign)

    ((columns, wrong, others),) = piles(rows, now)

    assert (list(zip(*columns, strict=True)), [(one, p.code) for one, p in wrong], others) == (alone, bad, foreign)


def raw(name, job_id, submitted, start, end):
    return row(name, job_id=job_id, submitted_at=time.now()) | {
        "time": {"submission": submitted, "start": start, "end": end, "suspended": 0}
    }
