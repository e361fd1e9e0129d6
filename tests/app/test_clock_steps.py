"""The clock was set: who watches it believes nothing until everybody was told, and each step is told once."""

import threading
from datetime import timedelta

import pytest
import time_machine

from app import clock, clock_steps
from app.audit import AuditEntry
from app.clock_steps import Watch
from app.db import db
from app.jobs import Job, Worker
from tests.campus import until

HOURS = timedelta(hours=3)


@pytest.fixture
def told():
    return []


@pytest.fixture
def watch(committed, told):
    return Watch([told.append])


@pytest.fixture(autouse=True)
def _believe_it_again():
    yield
    clock.doubt(None)


def stepped(by):
    """The clock of this host, set by so much; what only counts goes on."""
    return time_machine.travel(clock_steps.datetime.now(clock_steps.UTC) + by, tick=True)


def near(found, wanted):
    return abs(found - wanted) < timedelta(seconds=2)


@pytest.mark.campus  # the clock must run
@pytest.mark.parametrize("by", [HOURS, -HOURS])
def test_a_step_is_noticed_and_told_once(watch, told, by):
    assert not watch.step()

    with stepped(by):
        assert near(watch.step(), by)
        watch.follow()
        assert not watch.step()

    assert [near(step, by) for step in told] == [True]


@pytest.mark.campus
def test_nobody_reads_the_time_between_the_step_and_the_telling(watch):
    clock.doubt(watch.check)
    clock.now()

    with stepped(HOURS):
        with pytest.raises(clock.ClockStepped):
            clock.now()
        watch.follow()
        clock.now()


@pytest.mark.campus
def test_a_small_step_is_let_be_until_it_adds_up(watch):
    with stepped(timedelta(seconds=3)):
        assert not watch.step()
        with stepped(timedelta(seconds=3)):
            assert near(watch.step(), timedelta(seconds=6))


@pytest.mark.campus
@pytest.mark.parametrize("by", [HOURS, -HOURS])
def test_a_step_while_no_worker_ran_is_told_to_the_next_one_once(watch, told, by):
    with stepped(by):
        later = Watch([told.append])
        assert near(later.step(), by)
        later.follow()

        assert not Watch([told.append]).step()

    assert len(told) == 1
    assert db.session.query(AuditEntry).filter_by(action="host.clock").count() == 2


@pytest.mark.campus
def test_after_a_boot_nothing_is_known_of_before(watch, told, tmp_path, monkeypatch):
    boot = tmp_path / "boot_id"
    boot.write_text("6c7f8c9e-0a52-4a6e-8d0e-1d7a0c8f1b11\n")
    monkeypatch.setattr(clock_steps, "BOOT", boot)

    with stepped(HOURS):
        assert not Watch([told.append]).step()


@pytest.mark.campus
def test_what_could_not_be_told_is_told_again(committed, told):
    def fails_once(step):
        told.append(step)
        if len(told) == 1:
            raise RuntimeError("the database is away")

    watch = Watch([fails_once])
    with stepped(HOURS):
        with pytest.raises(RuntimeError):
            watch.follow()
        assert watch.step()
        watch.follow()
        assert not watch.step()

    assert len(told) == 2


@pytest.mark.campus
@pytest.mark.parametrize("by", [HOURS, -HOURS])
def test_a_worker_goes_on_at_once_whatever_the_clock_was_set_to(app, committed, told, by):
    """A scheduler that had planned by the old clock would sleep for three hours."""
    runs = []

    def often():
        clock.now()
        runs.append(1)
        return 0

    worker = Worker(app, [Job(often, every=timedelta(milliseconds=200))], [told.append])
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        until(lambda: len(runs) > 2, 10)
        with stepped(by):
            until(lambda: bool(told), 10)
            known = len(runs)
            until(lambda: len(runs) > known + 5, 10)
    finally:
        worker.stop()
        thread.join(15)

    assert near(told[0], by)
