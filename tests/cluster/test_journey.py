"""The demo campus on a real Slurm: a student's lab is a job under the right account, runs, is stopped, is charged."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.embedded.var import Var
from deploy.cluster import accounts, parts
from deploy.cluster.layout import Layout
from labs.adapters.slurmrestd import SlurmRest
from tests.campus import until
from tests.cluster.conftest import books
from tests.cluster.demo import its_campus, its_cluster, job_of, lab, ledger, slurm, student
from tests.labs.test_faults_for_real import Books
from tests.visitor import Student

__all__ = ["its_campus", "its_cluster", "lab", "ledger", "slurm", "student"]

pytestmark = [pytest.mark.cluster, pytest.mark.campus]


def test_a_student_s_lab_is_a_job_of_the_budget_runs_is_stopped_and_charged(
    student: Student, lab: tuple[str, str], slurm: SlurmRest, its_cluster: Layout, ledger: Books
) -> None:
    session = student.running(*lab)

    shown = student.session(session)
    job = job_of(slurm, session)
    assert job.state == "RUNNING"
    assert job.account == f"b_{shown['budget_id'].replace('-', '')}"
    assert job.user in its_cluster.lab_accounts
    assert job.minutes == shown["lease_minutes"] + 5
    row = parts.run(its_cluster, "squeue", "-h", "-j", str(job.id), "-o", "%q %P").split()
    assert row == ["lab", "labs"]
    inside = student.http.get(f"/labs/{session}/open", follow_redirects=True)
    assert inside.status_code == 200, inside.text[:300]

    student.stop(session)

    until(lambda: job_of(slurm, session).has_ended)
    settled = student.session(session)
    assert settled["state"] == "settled"
    assert settled["seconds_used"] >= 1
    ledger.become_right()


def test_more_time_for_a_lab_is_more_time_for_its_job(
    student: Student, lab: tuple[str, str], slurm: SlurmRest, ledger: Books
) -> None:
    session = student.running(*lab)
    before = job_of(slurm, session).minutes
    assert before

    answer = student.http.post(
        f"/api/v1/lab-sessions/{session}/extensions", json={"minutes": 20}, headers={"Idempotency-Key": "more"}
    )

    assert answer.status_code == 200, answer.text
    until(lambda: before + 20 <= (job_of(slurm, session).minutes or 0) <= before + 21, 30)
    student.stop(session)
    ledger.become_right()


def test_the_cluster_s_quotas_are_the_platform_s(its_cluster: Layout, ledger: Books) -> None:
    from labs.services import slurm_quotas

    with ledger.app.app_context():
        wanted = slurm_quotas.wanted("slurm")

    assert wanted
    now = books(its_cluster).now()
    assert {account.name: account for account in now.accounts} == {account.name: account for account in wanted.accounts}
    assert now.members == wanted.members
    assert len(now.accounts) >= 5


def test_hub_and_keeper_are_ordinary_accounts_and_the_secrets_are_theirs(its_cluster: Layout) -> None:
    for part, account in (("hub", its_cluster.hub_account), ("keeper", its_cluster.keeper_account)):
        process = parts.find(its_cluster, part)
        assert process
        assert process.username() == account
    for file in its_cluster.etc.glob("*hubs.json"):
        assert file.stat().st_mode & 0o077 == 0, file
        assert json.loads(file.read_text())[0]["center"] == "slurm"
    person = its_cluster.lab_accounts[0]
    assert accounts.exists(person)
    with contextlib.suppress(Exception):
        parts.run(its_cluster, "cat", str(its_cluster.etc / "hubs.json"), account=person)
        pytest.fail("a student reads the secrets of the hub")


@pytest.mark.parametrize(("root", "says"), [(False, "it needs root"), (True, "no apt-get")])
def test_without_root_or_apt_it_says_why(root: bool, says: str, tmp_path: Path) -> None:
    code = (
        "import sys; from deploy.cluster import packages\n"
        f"packages.os.geteuid = lambda: {0 if root else 1000}\n"
        "packages.missing = lambda: ['slurmctld']\n"
        "packages.shutil.which = lambda *a, **k: None\n"
        "from app.cli import main; sys.argv[1:] = ['run', '--center', 'slurm', '--var-dir', sys.argv[1]]; main()"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert f"There can be no Slurm cluster here: {says}" in done.stdout.replace(
        "slurmctld must be installed, and there is ", ""
    )
    assert Var(tmp_path / "slurm").running() is None
