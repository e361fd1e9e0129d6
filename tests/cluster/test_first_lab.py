"""A lab on a real Slurm, from the order to the end, through our own spawner."""

import httpx
import pytest

from deploy.cluster.layout import Layout
from labs.adapters.slurmrestd import SlurmRest
from tests.cluster.conftest import ClusterCampus, eventually
from tests.hub.conftest import name_of_server, name_of_user

pytestmark = pytest.mark.cluster


def test_a_lab_runs_as_a_job_and_ends(campus: ClusterCampus, cluster: Layout, slurm: SlurmRest) -> None:
    user, server = name_of_user(), name_of_server()

    url = campus.lab(user, server, accelerators=2, slurm={"minutes": 7})

    job = next(job for job in slurm.jobs("slurm") if job.name == server)
    assert job.state == "RUNNING"
    assert job.user in cluster.lab_accounts
    assert (job.account, job.minutes) == ("chancai", 7)
    token = campus.tester.mint_token(user, [f"access:servers!server={user}/{server}"], 600)
    answer = httpx.get(f"{url}api/status", headers={"Authorization": f"token {token.secret}"}, trust_env=False)
    assert answer.status_code == 200, answer.text

    campus.client.remove(user, server)

    eventually(lambda: campus.client.server(user, server) is None)
    ended = slurm.job("slurm", job.id)
    assert ended
    assert ended.has_ended
    eventually(lambda: (user, server) in campus.platform.ended)
    assert not list(cluster.rooms.iterdir())
