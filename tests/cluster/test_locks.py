"""Nobody starts or changes anything but the platform, and the cluster's quota is the last word."""

import contextlib
import json
import secrets

import httpx
import psutil
import pytest

from deploy.cluster import parts
from deploy.cluster.layout import Layout
from labs.adapters.slurmrestd import SlurmRest
from tests.cluster.conftest import ClusterCampus, eventually
from tests.hub.conftest import name_of_server, name_of_user

pytestmark = pytest.mark.cluster


def token_inside(campus: ClusterCampus, server: str) -> str:
    """What a student finds in the environment of a terminal in their lab."""
    for process in campus.processes_of(server):
        with contextlib.suppress(psutil.Error):
            if token := process.environ().get("JUPYTERHUB_API_TOKEN"):
                return token
    raise AssertionError("the lab does not run")


def test_a_lab_s_own_token_starts_and_changes_nothing(campus: ClusterCampus, slurm: SlurmRest) -> None:
    user, server, other = name_of_user(), name_of_server(), name_of_server()
    campus.lab(user, server)
    campus.platform.order(other)
    state = campus_state(campus, user, server)
    mine = httpx.Client(headers={"Authorization": f"token {token_inside(campus, server)}"}, trust_env=False)
    jobs = {job.id for job in slurm.jobs("slurm")}
    change = {"port": 1, "job_id": 1, "account": "root", "cmd": "id", "exec_prefix": "touch /tmp/marker;"}
    hub, servers = campus.api_url, f"{campus.api_url}/users/{user}/servers"

    answers = {
        mine.post(f"{hub}/batchspawner", json=change).status_code,
        mine.post(f"{servers}/{other}", json={}).status_code,
        mine.post(f"{servers}/{server}", json={"user_options": change}).status_code,
        mine.patch(f"{servers}/{server}", json={"user_options": change}).status_code,
        mine.put(f"{servers}/{server}", json={"user_options": change}).status_code,
        mine.post(f"{hub}/users/{user}/tokens", json={}).status_code,
    }

    assert answers <= {403, 404}, answers
    assert mine.get(f"{hub}/user").status_code == 200  # the token itself is a good one
    assert campus_state(campus, user, server) == state
    assert {job.id for job in slurm.jobs("slurm")} == jobs
    mine.close()
    campus.client.remove(user, server)


def test_a_student_starts_and_changes_nothing_at_the_hub(campus: ClusterCampus, slurm: SlurmRest) -> None:
    user, server = name_of_user(), name_of_server()
    campus.client.ensure_user(user)
    campus.platform.order(server)  # even one that was ordered is for the platform to start
    token = campus.tester.mint_token(user, ["inherit"], 600)
    student = httpx.Client(headers={"Authorization": f"token {token.secret}"}, trust_env=False)
    address = f"{campus.api_url}/users/{user}/servers/{server}"

    answers = [
        student.post(address, json={}).status_code,
        student.put(address, json={}).status_code,
        student.patch(address, json={"user_options": {"account": "root"}}).status_code,
        student.post(f"{campus.api_url}/users/{user}/tokens", json={}).status_code,
    ]

    assert set(answers) <= {403, 404}, answers
    assert student.get(f"{campus.api_url}/user").status_code == 200  # the token itself is a good one
    assert (user, server) not in campus.platform.asked
    assert not [job for job in slurm.jobs("slurm") if job.name == server]
    student.close()


def test_the_hub_runs_without_root_and_starts_nothing_of_slurm_s(campus: ClusterCampus, cluster: Layout) -> None:
    assert campus.process
    hub = psutil.Process(campus.process.pid)

    assert 0 not in hub.uids()
    assert hub.username() == cluster.hub_account
    assert {one.name() for one in hub.children(recursive=True)} <= {"python", "python3", "python3.11"}


def test_a_job_that_would_wait_for_its_quota_is_cancelled_and_refused(
    campus: ClusterCampus, cluster: Layout, slurm: SlurmRest
) -> None:
    narrow(cluster)
    first, second, server, refused = name_of_user(), name_of_user(), name_of_server(), name_of_server()
    campus.lab(first, server, slurm={"account": "narrow"})
    campus.platform.order(refused, slurm={"account": "narrow"})

    campus.client.start(second, refused, {"session": refused.removeprefix("lab-")}, "Lab")
    steps = list(campus.client.progress(second, refused))

    assert steps[-1].failed
    assert "quota" in steps[-1].message
    assert "AssocGrpCpuLimit" in steps[-1].message
    proof = campus.client.evidence(second, refused)
    assert proof
    assert (proof.runs, proof.is_final, proof.code) == (False, True, "cluster-quota")
    job = next(job for job in slurm.jobs("slurm") if job.name == refused)
    assert job.state == "CANCELLED"
    assert job.started_at is None or job.started_at == job.ended_at
    campus.client.remove(first, server)


def test_a_limit_of_the_quality_of_service_refuses_at_once(campus: ClusterCampus, slurm: SlurmRest) -> None:
    user, server = name_of_user(), name_of_server()
    campus.platform.order(server, slurm={"minutes": 13 * 60})

    campus.client.start(user, server, {"session": server.removeprefix("lab-")}, "Lab")
    steps = list(campus.client.progress(user, server))

    assert steps[-1].failed
    assert "The cluster refused this lab" in steps[-1].message
    proof = campus.client.evidence(user, server)
    assert proof
    assert (proof.is_final, proof.code) == (True, "cluster-refused")
    assert not [job for job in slurm.jobs("slurm") if job.name == server]


def test_an_account_that_the_cluster_does_not_know_yet_is_waited_for(
    campus: ClusterCampus, cluster: Layout, slurm: SlurmRest
) -> None:
    user, server = name_of_user(), name_of_server()
    account = f"b_{secrets.token_hex(16)}"
    campus.platform.order(server, slurm={"account": account})

    campus.client.start(user, server, {"session": server.removeprefix("lab-")}, "Lab")
    steps = campus.client.progress(user, server)
    seen = next(step for step in steps if "is being told" in step.message or step.failed)
    assert not seen.failed
    people = ",".join(cluster.lab_accounts)
    for words in (["account", account, "parent=chancai"], ["user", people, f"account={account}", "QOS=lab"]):
        parts.run(cluster, "sacctmgr", "-i", "-Q", "add", *words)

    assert list(steps)[-1].ready
    assert next(job for job in slurm.jobs("slurm") if job.name == server).account == account
    campus.client.remove(user, server)


def narrow(cluster: Layout) -> None:
    """An account with one core for everybody."""
    people = ",".join(cluster.lab_accounts)
    for words in (
        ["account", "narrow", "parent=chancai", "GrpTRES=cpu=1"],
        ["user", people, "account=narrow", "QOS=lab", "DefaultQOS=lab"],
    ):
        parts.run(cluster, "sacctmgr", "-i", "-Q", "add", *words)


def campus_state(campus: ClusterCampus, user: str, server: str) -> str:
    """What the hub knows of the server beyond its last activity."""
    headers = {"Authorization": f"token {campus.tester_token}"}
    address = f"{campus.api_url}/users/{user}/servers/{server}"
    body = httpx.get(address, headers=headers, trust_env=False).json()
    eventually(lambda: body["ready"])
    return json.dumps([body["state"], body["user_options"], body["url"], body["ready"]])
