"""Faults done to a real Slurm under the demo campus: no lab runs unpaid, nothing is charged that did not run.

After each, what differs returns to nothing by itself: drift, audit, and jobs of labs without a paid session.
"""

import time
from collections.abc import Iterator

import psutil
import pytest

from deploy.cluster import build, front, parts
from deploy.cluster.layout import NODES, Layout
from labs.adapters.slurmrestd import Job, SlurmError, SlurmRest
from labs.models import LabSession
from labs.queries.drift import DriftKind, drift
from tests.campus import Campus, until
from tests.cluster.demo import its_campus, its_cluster, job_of, lab, ledger, slurm, student
from tests.labs.test_faults_for_real import Books, _is_paid
from tests.visitor import Student

__all__ = ["its_campus", "its_cluster", "lab", "ledger", "slurm", "student"]
pytestmark = [pytest.mark.cluster, pytest.mark.campus]
NOTICED_WITHIN = 5.0  # seconds: the hub looks at its jobs every three


class Floor:
    """The cluster, the campus on it, and a student who has a lab."""

    def __init__(
        self, cluster: Layout, ledger: Books, slurm: SlurmRest, student: Student, lab: tuple[str, str]
    ) -> None:
        self.cluster, self.ledger, self.slurm, self.student, self.lab = cluster, ledger, slurm, student, lab

    def running(self) -> str:
        self.ledger.let_a_minute_pass()
        return self.student.running(*self.lab)

    def job(self, session: str) -> Job:
        return job_of(self.slurm, session)

    def scontrol(self, *words: str) -> str:
        return parts.run(self.cluster, "scontrol", *words)

    def has_ended(self, session: str, within: float = 60) -> dict[str, object]:
        until(lambda: self.student.state(session) in ("settled", "voided"), within)
        return self.student.session(session)

    def is_charged_rightly(self, session: str) -> None:
        """For no longer than its job ran, and at the price of its flavor."""
        job, shown = self.job(session), self.student.session(session)
        assert job.has_ended
        assert job.started_at
        assert job.ended_at
        ran = (job.ended_at - job.started_at).total_seconds()
        assert 0 < shown["seconds_used"] <= ran + NOTICED_WITHIN
        assert shown["charged_micro"] == shown["price_micro"] * shown["seconds_used"] // 3600

    def unpaid(self) -> list[str]:
        """Labs that run in Slurm and that nobody pays for."""
        try:
            jobs = [job.name for job in self.slurm.jobs("slurm") if job.name.startswith("lab-") and job.is_running]
        except SlurmError as error:
            return [str(error)]
        with self.ledger.app.app_context():
            from app.db import db

            paid = {f"lab-{row.id.hex}" for row in db.session.query(LabSession) if _is_paid(row)}
            db.session.remove()
        return [name for name in jobs if name not in paid]

    def becomes_right(self) -> None:
        self.ledger.become_right()
        until(lambda: not self.unpaid(), 30)

    def quotas_drift(self) -> int:
        with self.ledger.app.app_context():
            from app.db import db

            found = drift().counts.get("slurm", {}).get(DriftKind.QUOTAS, 0)
            db.session.remove()
        return found


@pytest.fixture
def floor(
    its_cluster: Layout, its_campus: Campus, ledger: Books, slurm: SlurmRest, student: Student, lab: tuple[str, str]
) -> Iterator[Floor]:
    floor = Floor(its_cluster, ledger, slurm, student, lab)
    for session in student.live():
        student.stop(session)
    yield floor
    for part in ("slurmdbd", "slurmctld", *NODES):  # what a failed test has left dead
        build.start_again(its_cluster, part)
    for node in NODES:
        if _is_drained(floor, node):
            floor.scontrol("update", f"nodename={node}", "state=resume")
    build.up(its_cluster, print)
    floor.becomes_right()


def _is_drained(floor: Floor, node: str) -> bool:
    return "DRAIN" in floor.scontrol("-o", "show", "node", node)


def test_scancel_from_outside_settles_the_lab(floor: Floor) -> None:
    session = floor.running()

    parts.run(floor.cluster, "scancel", str(floor.job(session).id))

    assert floor.has_ended(session)["state"] == "settled"
    floor.is_charged_rightly(session)


def test_a_drained_node_keeps_its_lab_and_gets_no_other(floor: Floor) -> None:
    session = floor.running()
    node = floor.job(session).node
    floor.scontrol("update", f"nodename={node}", "state=drain", "reason=test")
    time.sleep(NOTICED_WITHIN)

    assert floor.student.state(session) == "running"
    floor.student.stop(session)
    floor.is_charged_rightly(session)
    other = floor.running()
    assert floor.job(other).node != node
    floor.student.stop(other)


def test_slurmctld_dies_and_comes_back(floor: Floor) -> None:
    session = floor.running()
    build.kill(floor.cluster, "slurmctld")
    time.sleep(2 * NOTICED_WITHIN)
    assert floor.student.state(session) == "running"  # silence says nothing of the lab

    build.start_again(floor.cluster, "slurmctld")

    assert floor.job(session).is_running
    assert floor.student.state(session) == "running"
    floor.student.stop(session)
    floor.is_charged_rightly(session)


def test_a_start_while_slurmctld_is_away_costs_nothing(floor: Floor) -> None:
    build.kill(floor.cluster, "slurmctld")
    floor.ledger.let_a_minute_pass()
    session = str(floor.student.launch(*floor.lab)["id"])

    shown = floor.has_ended(session, 150)

    assert (shown["state"], shown["charged_micro"]) == ("voided", 0)
    assert shown["failure_code"] == "cluster-silent", shown["failure"]
    build.start_again(floor.cluster, "slurmctld")
    floor.student.stop(floor.running())


def test_a_hub_that_is_killed_finds_its_lab_again(floor: Floor) -> None:
    session = floor.running()
    hub = build.kill(floor.cluster, "hub")
    assert hub
    platform = front._platform_of(floor.cluster)
    assert platform

    front.start(floor.cluster, platform)

    until(lambda: not floor.ledger.wrongs(), 60)
    assert floor.student.state(session) == "running"
    assert floor.job(session).is_running
    floor.student.stop(session)
    floor.is_charged_rightly(session)


def test_a_node_that_dies_ends_its_lab_and_leaves_nothing(floor: Floor) -> None:
    session = floor.running()
    job = floor.job(session)
    build.kill(floor.cluster, job.node)

    shown = floor.has_ended(session, 180)

    assert shown["state"] == "settled"
    runs = parts.run(floor.cluster, "sacct", "-a", "-X", "-D", "-n", "-P", "-j", str(job.id), "-o", "State,ElapsedRaw")
    first, *later = (row.split("|") for row in runs.splitlines())
    assert first[0] == "NODE_FAIL"
    assert all(row[0].startswith("CANCELLED") and row[1] == "0" for row in later)  # Slurm would have run it again
    assert 0 < shown["seconds_used"] <= int(first[1]) + NOTICED_WITHIN
    build.start_again(floor.cluster, job.node)
    until(lambda: not _processes_of(job.user), 90)


def _processes_of(user: str) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["username"]) if one.info["username"] == user]


def test_while_slurmdbd_is_away_labs_go_on_and_quotas_are_drift(floor: Floor) -> None:
    session = floor.running()
    build.kill(floor.cluster, "slurmdbd")
    until(lambda: floor.quotas_drift() == 1, 150)
    assert floor.student.state(session) == "running"
    other = floor.student.stop(session) or floor.running()  # a person whom the cluster knows needs no slurmdbd

    build.start_again(floor.cluster, "slurmdbd")

    until(lambda: floor.quotas_drift() == 0, 60)
    floor.student.stop(other)
    floor.is_charged_rightly(other)


def test_a_job_that_waits_for_ever_costs_nothing_and_can_be_left(floor: Floor) -> None:
    floor.scontrol("update", f"nodename={','.join(NODES)}", "state=drain", "reason=test")
    floor.ledger.let_a_minute_pass()
    session = str(floor.student.launch(*floor.lab)["id"])
    until(lambda: any(one.name.endswith(session.replace("-", "")) for one in floor.slurm.jobs("slurm")), 30)
    time.sleep(NOTICED_WITHIN)
    assert floor.job(session).is_pending
    assert floor.student.state(session) == "starting"

    floor.student.http.post(f"/api/v1/lab-sessions/{session}/stop")  # the hub ends a start when its patience does

    shown = floor.has_ended(session, 200)
    assert (shown["state"], shown["charged_micro"]) == ("voided", 0)
    until(lambda: floor.job(session).has_ended, 30)


def test_the_time_limit_ends_a_lab_and_it_is_settled(floor: Floor) -> None:
    """Slurm looks once in half a minute."""
    session = floor.running()
    time.sleep(15)  # else the hub, which hears of the lease only now, gives it what it was promised
    floor.scontrol("update", f"JobId={floor.job(session).id}", "TimeLimit=1")

    shown = floor.has_ended(session, 180)

    assert floor.job(session).state == "TIMEOUT"
    assert shown["state"] == "settled"
    floor.is_charged_rightly(session)
