"""Quotas that the platform wants, written to a real Slurm by its keeper's hand; and what they then do to labs."""

import secrets

import pytest

from deploy.cluster import parts
from deploy.cluster.layout import Layout
from labs.adapters.slurmrestd import SlurmRest
from labs.slurm_quotas import Account, Quality, Quotas
from tests.cluster.conftest import ClusterCampus, books
from tests.hub.conftest import name_of_server, name_of_user

pytestmark = pytest.mark.cluster


def some_quotas(cluster: Layout, minutes: int = 600) -> tuple[Quotas, str, str, str]:
    partner, budget, run = f"p_{secrets.token_hex(16)}", f"b_{secrets.token_hex(16)}", f"b_{secrets.token_hex(16)}"
    accounts = (
        Account(partner, "chancai", 250),
        Account(budget, partner, 200, {"cpu": 10 * minutes, "gres/npu": 60}),
        Account(run, budget, 20, {"cpu": minutes, "gres/npu": 0}),
    )
    members = frozenset((user, run) for user in cluster.lab_accounts)
    return Quotas(accounts, members, (Quality("lab", 485, 4),)), partner, budget, run


def test_quotas_are_written_once_and_what_is_changed_by_hand_is_set_right(cluster: Layout) -> None:
    quotas, partner, _budget, run = some_quotas(cluster)
    accounting = books(cluster)

    written, left, said = accounting.apply(quotas)

    assert (left, said) == ([], "")
    assert written >= 3 + len(cluster.lab_accounts)
    assert accounting.apply(quotas) == (0, [], "")  # nothing is written twice
    shown = parts.run(
        cluster, "sacctmgr", "-n", "-P", "show", "assoc", f"account={run}", "user=", "format=qos,defaultqos"
    )
    assert "batch,lab|lab" in shown

    for words in (
        f"modify account where name={run} set GrpTRESMins=cpu=999999 Fairshare=1",
        f"modify account where name={run} set Parent={partner}",
        f"delete user name={cluster.lab_accounts[0]} account={run}",
        "modify qos where name=lab set MaxJobsPerUser=-1 MaxWall=99:00:00",
    ):
        parts.run(cluster, "sacctmgr", "-i", "-Q", *words.split())
    assert accounting.apply(quotas) == (4, [], "")
    assert accounting.apply(quotas) == (0, [], "")


def test_a_budget_without_minutes_starts_no_lab(campus: ClusterCampus, cluster: Layout, slurm: SlurmRest) -> None:
    quotas, _partner, _budget, run = some_quotas(cluster, minutes=0)
    books(cluster).apply(quotas)
    user, server = name_of_user(), name_of_server()
    campus.platform.order(server, slurm={"account": run, "minutes": 10})

    campus.client.start(user, server, {"session": server.removeprefix("lab-")}, "Lab")
    steps = list(campus.client.progress(user, server))

    assert steps[-1].failed
    proof = campus.client.evidence(user, server)
    assert proof
    assert (proof.is_final, proof.code) == (True, "cluster-quota"), proof
    assert not [job for job in slurm.jobs("slurm") if job.name == server and not job.has_ended]


def test_a_member_of_yesterday_starts_no_lab(campus: ClusterCampus, cluster: Layout) -> None:
    quotas, _partner, _budget, run = some_quotas(cluster)
    books(cluster).apply(quotas)
    gone = cluster.lab_accounts[-1]
    assert books(cluster).apply(Quotas(quotas.accounts, quotas.members - {(gone, run)}, quotas.qualities))[1] == []

    assert (gone, run) not in books(cluster).now().members


def test_slurmrestd_reads_what_was_written(cluster: Layout, slurm: SlurmRest) -> None:
    """The other way to look, for whoever has no hand on the cluster's host."""
    quotas, _partner, budget, run = some_quotas(cluster)
    books(cluster).apply(quotas)

    answer = slurm._call("associations", "GET", "/associations", "slurm", of="slurmdb")

    found = next(row for row in answer.body["associations"] if row["account"] == run and not row["user"])
    assert (found["parent_account"], found["shares_raw"]) == (budget, 20)
    minutes = {row["type"]: row["count"] for row in found["max"]["tres"]["group"]["minutes"]}
    assert minutes == {"cpu": 600, "gres": 0}


def test_a_student_of_the_cluster_changes_no_quota(cluster: Layout) -> None:
    quotas, *_names = some_quotas(cluster)

    written, left, said = books(cluster, cluster.lab_accounts[0]).apply(quotas)

    assert written == 0
    assert left
    assert "Access/permission denied" in said
