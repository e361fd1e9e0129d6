"""`make run CENTER=slurm` for tests: the demo campus with a cluster of its own, and what looks into both."""

import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cluster import build, layout
from deploy.cluster.layout import Layout
from labs.adapters.slurmrestd import Job, SignedTokens, SlurmRest
from tests import campus as campuses
from tests.campus import Campus
from tests.cluster.conftest import free_row_of_ports, keep_logs, need_cluster
from tests.labs.test_faults_for_real import Books
from tests.visitor import Student


@pytest.fixture(scope="module")
def its_cluster() -> Iterator[Layout]:
    """Built as `make cluster` does it, and first of all without a platform."""
    need_cluster()
    folder = Path(tempfile.mkdtemp(prefix="chancai-journey-", dir="/tmp"))
    try:
        built = layout.new(folder, f"cj{secrets.token_hex(2)}", free_row_of_ports(), 12)
        build.up(built, print)
        yield built
    finally:
        keep_logs(built)
        build.down(built, print)


@pytest.fixture(scope="module")
def its_campus(its_cluster: Layout) -> Iterator[Campus]:
    """`make run CENTER=slurm`."""
    with campuses.room() as room:
        options = ("--port", "0", "--center", "slurm", "--cluster-folder", str(its_cluster.folder))
        (room / "var").mkdir(mode=0o711)
        started = campuses.launch(room / "var", *options)
        started.var_dir = room / "var" / "slurm"
        try:
            yield campuses.wait_until_ready(started)
        finally:
            started.interrupt()
            started.wait()


@pytest.fixture(scope="module")
def slurm(its_cluster: Layout) -> Iterator[SlurmRest]:
    client = SlurmRest(its_cluster.rest_url, SignedTokens(its_cluster.jwt_key))
    yield client
    client.close()


@pytest.fixture(scope="module")
def ledger(its_campus: Campus) -> Iterator[Books]:
    ledger = Books(its_campus)
    yield ledger
    ledger.close()


@pytest.fixture(scope="module")
def student(its_campus: Campus) -> Iterator[Student]:
    with Student(its_campus) as student:
        yield student


@pytest.fixture(scope="module")
def lab(student: Student) -> tuple[str, str]:
    return student.enroll()


def job_of(slurm: SlurmRest, session: str) -> Job:
    return next(job for job in slurm.jobs("slurm") if job.name == f"lab-{session.replace('-', '')}")
