"""The doctor at a Slurm center: a real cluster that is well, and what is wrong with one."""

import json
import subprocess
from dataclasses import replace

import pytest

from app.config import HubSettings
from app.embedded.doctor import Finding, Level
from deploy.cluster import hub_files, parts
from deploy.cluster.layout import Layout
from labs import examining
from labs.examining import Cluster, Subject, Wanted
from labs.models import CenterKind
from tests.cluster.conftest import ClusterCampus, eventually

pytestmark = pytest.mark.cluster

FITS = Wanted("npu-1", 2, 4096, "labs", "npu:ascend:1")


def cluster_of(layout: Layout) -> Cluster:
    return examining.clusters("", [f"slurm={hub_files.slurm_file(layout)}"])["slurm"]


def asked(cluster: Cluster, *flavors: Wanted) -> list[Finding]:
    hub = HubSettings(
        center="slurm", api_url="", public_url="", token="", client_id="", client_secret="", admission_secret=""
    )
    return list(examining._slurm(Subject("slurm", CenterKind.SLURM, hub, "", flavors, cluster)))


def test_a_slurm_center_that_is_well(campus: ClusterCampus, cluster: Layout) -> None:
    hub = HubSettings(**json.loads(campus.hubs_file.read_text())[0])
    subject = Subject("slurm", CenterKind.SLURM, hub, campus.platform.url, (FITS,), cluster_of(cluster))

    findings = examining.examine(subject)

    ill = [finding for finding in findings if finding.level is not Level.OK and "files for" not in finding.what]
    assert ill == []
    assert any("4 are up" in finding.found for finding in findings)
    assert any("Slurm 22.05" in finding.found for finding in findings)


@pytest.mark.parametrize(
    ("flavor", "said"),
    [
        (replace(FITS, partition="gone"), "no partition gone"),
        (replace(FITS, gres="npu:other:1"), "has npu:other"),
        (replace(FITS, gres="npu:ascend:9"), "large enough"),
        (replace(FITS, cores=1000), "large enough"),
        (replace(FITS, memory_mb=10_000_000), "large enough"),
    ],
)
def test_flavors_that_no_node_can_run(cluster: Layout, flavor: Wanted, said: str) -> None:
    findings = asked(cluster_of(cluster), FITS, flavor)

    ill = [finding for finding in findings if finding.level is Level.ERROR]
    assert len(ill) == 1
    assert said in ill[0].found


def test_accounts_and_qualities_that_are_not_there(cluster: Layout) -> None:
    findings = asked(replace(cluster_of(cluster), account="nobody", qos="nothing"))

    remedies = [finding.remedy for finding in findings if finding.level is Level.ERROR]
    assert remedies == ["sacctmgr add account nobody", "sacctmgr add qos nothing"]


def test_a_key_of_another_cluster_or_a_rest_that_is_not_there(cluster: Layout, tmp_path) -> None:
    key = tmp_path / "jwt.key"
    key.write_bytes(b"x" * 48)
    for wrong in ({"jwt_key_file": str(key)}, {"rest_url": "http://127.0.0.1:1"}, {"api": "v0.0.1"}):
        findings = asked(replace(cluster_of(cluster), **wrong))
        assert [finding.level for finding in findings] == [Level.ERROR], wrong


def test_a_node_that_is_drained_is_named(cluster: Layout) -> None:
    def tell(state: str, *more: str) -> None:
        command = ["scontrol", "update", "NodeName=n2", f"State={state}", *more]
        subprocess.run(command, env=parts.environment(cluster), check=True)

    tell("DRAIN", "Reason=test")
    try:
        findings = eventually(lambda: [one for one in asked(cluster_of(cluster)) if one.found.startswith("n2 is")])
    finally:
        tell("RESUME")

    assert findings[0].level is Level.WARNING
    assert "scontrol update NodeName=n2 State=RESUME" in findings[0].remedy
