"""A hub that is killed comes back, finds the jobs that went on without it, and can still end them."""

import httpx
import pytest

from labs.adapters.slurmrestd import SlurmRest
from tests.cluster.conftest import ClusterCampus, eventually
from tests.hub.conftest import name_of_server, name_of_user

pytestmark = pytest.mark.cluster


def test_a_killed_hub_finds_its_labs_again(campus: ClusterCampus, slurm: SlurmRest) -> None:
    user, server, gone = name_of_user(), name_of_server(), name_of_server()
    url = campus.lab(user, server)
    campus.lab(user, gone)
    token = campus.tester.mint_token(user, [f"access:servers!server={user}/{server}"], 600)
    ids = {job.name: job.id for job in slurm.jobs("slurm")}

    campus.kill()
    slurm.cancel("slurm", ids[gone])  # ended while nobody looked
    campus.start()

    found = eventually(lambda: campus.client.server(user, server))
    assert found.state == "running"
    job = slurm.job("slurm", ids[server])
    assert job
    assert job.is_running
    headers = {"Authorization": f"token {token.secret}"}
    eventually(
        lambda: httpx.get(f"{url}api/status", headers=headers, trust_env=False).status_code == 200,
    )
    eventually(lambda: (lost := campus.client.server(user, gone)) is None or lost.state == "stopped")
    campus.client.remove(user, server)
    eventually(lambda: (ended := slurm.job("slurm", ids[server])) is not None and ended.has_ended)
    eventually(lambda: (user, server) in campus.platform.ended)
