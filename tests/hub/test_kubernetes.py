"""Labs on Kubernetes, without a cluster: the pod that KubeSpawner makes of the platform's own answer, for every flavor.

The manifests are checked against the schema that Kubernetes publishes; what a cluster does with them is not tried here.
"""

import base64
import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import kubernetes_validate
import pytest
import yaml
from kubernetes_asyncio.client import ApiClient
from kubespawner import spawner as kubespawner
from traitlets.config import Config

from app.db import db
from deploy.hub import kubernetes_settings
from deploy.hub.admission import Spec, read_answer
from deploy.hub.hooks import StartRefused
from deploy.hub.kubernetes_settings import parse
from deploy.hub.kubernetes_spawner import KubernetesSpawner
from deploy.hub.settings import BadSettings
from labs.models import CenterKind
from tests.hub.loops import in_a_loop
from tests.labs.conftest import campus as campus
from tests.labs.test_internal import ask

VERSION = "1.34"
ASCEND = "huawei.com/Ascend910"
USER, SERVER = "0" * 31 + "a", "lab-" + "1" * 32
PAGE = Path(__file__).parents[2] / "docs" / "operators" / "kubernetes.md"
SIZES = [
    {"cores": 1.0, "memory_mb": 1024},
    {"cores": 0.5, "memory_mb": 512, "price_micro": 0, "is_rescue": True},
    {"cores": 2.0, "memory_mb": 2048},
    {"cores": 2.5, "memory_mb": 6144},
    {"cores": 4.0, "memory_mb": 4096},
    {"cores": 4.0, "memory_mb": 16384, "accelerators": 1, "accelerator_kind": "Ascend 910B", "partition": "ascend"},
    {"cores": 64.0, "memory_mb": 262144, "accelerators": 8, "accelerator_kind": "Ascend 910B", "partition": "ascend"},
]


class Offline(KubernetesSpawner):
    """One that knows its server's name without the hub's database."""

    name = SERVER


@pytest.fixture
def nodes(tmp_path):
    pools = {
        "ascend": {
            "accelerator": ASCEND,
            "node_selector": {"accelerator": "ascend-910"},
            "tolerations": [{"key": ASCEND, "operator": "Exists", "effect": "NoSchedule"}],
            "priority_class": "labs-ascend",
        }
    }
    return parse({"image": "registry.example/chancai-lab:1", "labs_dir": str(tmp_path), "pools": pools})


@pytest.fixture
def spawner(monkeypatch, nodes):
    """The class as the hub has it, with neither a cluster nor a hub behind it."""
    monkeypatch.setattr(kubespawner, "load_config", lambda *a, **k: None)
    monkeypatch.setattr(kubespawner, "shared_client", lambda *a, **k: None)
    monkeypatch.setattr(KubernetesSpawner, "settings", nodes, raising=False)
    config = Config()
    config.KubeSpawner.extra_labels = {"hub.jupyter.org/network-access-hub": "true", "team": "chart"}
    config.KubeSpawner.pod_name_template = "{servername}"
    made = Offline(config=config, _mock=True, namespace="labs")
    made.user.name, made.user.id = USER, 7
    made.pod_name = SERVER
    monkeypatch.setattr(kubespawner.Spawner, "get_env", lambda self: {"JUPYTERHUB_API_TOKEN": "secret"})
    monkeypatch.setattr(kubespawner.Spawner, "get_args", lambda self: [])
    return made


def pod_of(spawner, spec):
    """The manifest as it would be sent to the cluster."""
    spawner.granted = spec

    async def render():
        spawner.prepare(spec)
        spawner.take(spec)
        async with ApiClient() as api:
            return api.sanitize_for_serialization(await spawner.get_pod_manifest())

    return in_a_loop(render())


def spec(**values):
    ends = (datetime.now(UTC) + timedelta(minutes=60)).isoformat()
    return Spec(**{"session": "s-1", "cores": 1.0, "memory_mb": 1024, "lease_ends_at": ends} | values)


def spec_of(client, campus, size):
    """What the platform's own answer says of a lab of this size."""
    campus.center.kind = CenterKind.KUBERNETES
    flavor = campus.make.flavor(campus.center, **size)
    db.session.commit()
    session = campus.launch(60, flavor_id=flavor.id, template_id=campus.make.template([flavor]).id)
    campus.run("start_sessions")
    return read_answer(ask(client, campus.again(session.id)).json), session


@pytest.mark.parametrize("size", SIZES, ids=[f"{s['cores']:g}c-{s.get('accelerators', 0)}x" for s in SIZES])
def test_every_size_becomes_a_pod_that_kubernetes_would_take(client, campus, spawner, size):
    granted, session = spec_of(client, campus, size)

    pod = pod_of(spawner, granted)

    kubernetes_validate.validate({"apiVersion": "v1", "kind": "Pod"} | pod, VERSION, strict=True)
    (lab,) = pod["spec"]["containers"]
    memory = str(size["memory_mb"] << 20)
    devices = {ASCEND: str(size["accelerators"])} if size.get("accelerators") else {}
    for kind in ("limits", "requests"):
        given = dict(lab["resources"][kind])
        assert (float(given.pop("cpu")), str(given.pop("memory"))) == (size["cores"], memory)
        assert given == devices
    assert pod["metadata"]["labels"]["chancai-session"] == str(session.id)
    assert pod["spec"].get("nodeSelector", {}) == ({"accelerator": "ascend-910"} if devices else {})
    assert bool(pod["spec"].get("tolerations")) is bool(devices)


def test_a_pod_has_no_privilege_and_no_way_to_get_one(spawner):
    pod = pod_of(spawner, spec())["spec"]
    (lab,) = pod["containers"]

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    inside = lab["securityContext"]
    assert inside["allowPrivilegeEscalation"] is False
    assert inside["runAsNonRoot"] is True
    assert inside["readOnlyRootFilesystem"] is True
    assert inside["capabilities"] == {"drop": ["ALL"]}
    assert inside.get("privileged") in (None, False)
    assert inside["runAsUser"] == 10001
    assert pod["enableServiceLinks"] is False
    for name in ("hostNetwork", "hostPID", "hostIPC", "serviceAccountName", "initContainers"):
        assert not pod.get(name), name
    assert all("hostPath" not in volume for volume in pod["volumes"])


def test_it_sees_its_person_s_home_and_its_own_room_and_nothing_else(spawner, nodes):
    pod = pod_of(spawner, spec())["spec"]

    mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert set(mounts) == {"/home/lab", "/run/lab", "/tmp", "/dev/shm"}
    assert mounts["/home/lab"]["subPath"] == f"homes/{USER}"
    assert re.fullmatch(rf"rooms/{SERVER}-[0-9a-f]{{32}}", mounts["/run/lab"]["subPath"])
    assert (nodes.homes / USER).stat().st_mode & 0o7777 == 0o2770
    claims = [v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v]
    assert claims == ["chancai-labs"]
    assert all("sizeLimit" in v["emptyDir"] for v in pod["volumes"] if "emptyDir" in v)


def test_the_lesson_waits_in_its_room(client, campus, spawner, nodes):
    granted, _session = spec_of(client, campus, SIZES[0])
    pod_of(spawner, granted)

    (row,) = json.loads((spawner.room / "lesson.json").read_text())

    assert row == {"path": "first-lesson/lesson.ipynb", "base64": base64.b64encode(b"{}").decode()}
    assert spawner.room.parent == nodes.rooms
    spawner.clear_state()
    assert list(nodes.rooms.iterdir()) == []


def test_it_ends_when_the_platform_has_forgotten_it_and_not_before_its_longest_lease(spawner):
    deadline = pod_of(spawner, spec())["spec"]["activeDeadlineSeconds"]

    assert 60 * 60 + 8 * 3600 < deadline <= 60 * 60 + 8 * 3600 + 120
    assert pod_of(spawner, spec())["spec"]["restartPolicy"] == "Never"


def test_the_chart_s_labels_stay_so_that_its_network_policies_hold(spawner):
    labels = pod_of(spawner, spec())["metadata"]["labels"]

    assert labels["hub.jupyter.org/network-access-hub"] == "true"
    assert labels["team"] == "chart"
    assert labels["component"] == "singleuser-server"
    assert "hub.jupyter.org/network-access-singleuser" not in labels


def test_the_server_is_ours_with_its_settings_and_language(spawner):
    (lab,) = pod_of(spawner, spec(language="zh_CN"))["spec"]["containers"]

    assert lab["args"][:6] == [
        "/opt/chancai/bin/python",
        "-I",
        "/opt/chancai/deploy/hub/lab/job.py",
        "0.0.0.0",
        "8888",
        "8888",
    ]
    assert json.loads(lab["args"][6]) == {"CORE": 0}
    assert "--LabApp.app_settings_dir=/opt/chancai/deploy/hub/lab/settings/zh_CN" in lab["args"]
    assert not any(str(Path(__file__).parents[2]) in str(word) for word in lab["args"])
    env = {row["name"]: row.get("value") for row in lab["env"]}
    assert (env["HOME"], env["CHANCAI_ROOM"], env["LANGUAGE"]) == ("/home/lab", "/run/lab", "zh_CN")
    assert lab["ports"] == [{"containerPort": 8888, "name": "notebook-port"}]


def test_a_start_that_was_not_admitted_makes_no_pod(spawner):
    async def start():
        await spawner.start()

    with pytest.raises(StartRefused):
        in_a_loop(start())


@pytest.mark.parametrize("values", [{"pool": "gpus"}, {"accelerators": 1}])
def test_nodes_that_the_center_has_not_are_refused_and_not_left_pending(spawner, values):
    with pytest.raises(StartRefused):
        pod_of(spawner, spec(**values))


def test_a_hub_that_comes_back_knows_its_rooms(spawner, nodes):
    pod_of(spawner, spec())
    state = spawner.get_state()
    room = spawner.room
    spawner._room = ""

    spawner.load_state(state)

    assert spawner.room == room
    assert spawner.may_be_asked()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"image": "x"},
        {"image": "x", "labs_dir": "labs"},
        {"image": "x", "labs_dir": "/labs", "uid": 0},
        {"image": "x", "labs_dir": "/labs", "uid": os.geteuid() or 0},
        {"image": "x", "labs_dir": "/labs", "unknown": 1},
        {"image": "x", "labs_dir": "/labs", "pools": {"a": {"unknown": 1}}},
    ],
)
def test_settings_that_make_no_sense_stop_the_hub(tmp_path, body):
    file = tmp_path / "kubernetes.json"
    file.write_text(json.dumps(body))

    with pytest.raises(BadSettings):
        kubernetes_settings.read({"KUBERNETES_FILE": str(file)})


@pytest.mark.parametrize("pool", ["../x", "a" * 64, 7, "a\nb"])
def test_a_pool_is_a_plain_name(pool):
    from deploy.hub.admission import Refused

    with pytest.raises(Refused):
        read_answer({"allow": True, "spec": {"session": "s", "cores": 1, "memory_mb": 1024, "pool": pool}})


# --- the operators' page -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files():
    """The files that the page says to write, by name: each block names its own in its first line."""
    blocks = re.findall(r"```(?:yaml|json|dockerfile)\n# (\S+)[^\n]*\n(.*?)```", PAGE.read_text(), re.S)
    return dict(blocks)


@pytest.fixture(scope="module")
def values(files):
    return yaml.safe_load(files["values.yaml"])


def test_the_page_s_values_give_the_hub_all_it_asks_for(values, files, tmp_path):
    from deploy.hub import settings as hub_settings

    env = {name: value for name, value in values["hub"]["extraEnv"].items() if isinstance(value, str)}
    mounted = {one["mountPath"]: one for one in values["hub"]["extraFiles"].values()}
    cluster = parse(mounted[env["KUBERNETES_FILE"]]["data"])
    assert cluster.labs_dir in {mount["mountPath"] for mount in values["hub"]["extraVolumeMounts"]}
    assert cluster.claim in {
        volume.get("persistentVolumeClaim", {}).get("claimName") for volume in values["hub"]["extraVolumes"]
    }
    assert cluster.claim == yaml.safe_load(files["labs-volume.yaml"])["metadata"]["name"]
    assert values["hub"]["podSecurityContext"]["fsGroup"] == cluster.uid
    hubs = tmp_path / "hubs.json"
    secret = {"token": "t" * 32, "client_id": "hub-k8s", "client_secret": "c" * 32, "admission_secret": "a" * 32}
    hubs.write_text(json.dumps([{"center": env["HUB_CENTER"]} | secret]))
    assert hub_settings.read(env | {"HUBS_FILE": str(hubs)}).center == env["HUB_CENTER"]
    assert env["HUBS_FILE"].startswith(
        next(m["mountPath"] for m in values["hub"]["extraVolumeMounts"] if m["name"] == "hubs")
    )


def test_the_page_s_values_close_what_the_platform_decides(values):
    assert values["cull"]["enabled"] is False
    assert values["singleuser"]["storage"]["type"] == "none"
    assert values["singleuser"]["networkPolicy"]["enabled"] is True
    assert values["hub"]["networkPolicy"]["enabled"] is True
    assert values["singleuser"]["cloudMetadata"]["blockWithIptables"] is False  # it would need a privileged container
    assert values["scheduling"]["userPlaceholder"]["enabled"] is False
    (config,) = values["hub"]["extraConfig"].values()
    assert 'load_subconfig("/opt/chancai/deploy/hub/kubernetes_config.py")' in config
    assert values["singleuser"]["networkPolicy"]["egress"] == []
    assert values["singleuser"]["networkPolicy"]["egressAllowRules"] == {
        "cloudMetadataServer": False,
        "dnsPortsCloudMetadataServer": False,
        "dnsPortsKubeSystemNamespace": True,
        "dnsPortsPrivateIPs": False,
        "nonPrivateIPs": False,
        "privateIPs": False,
    }


def test_the_page_s_manifests_are_kubernetes_own(files):
    for name in ("namespace.yaml", "labs-volume.yaml", "quota.yaml"):
        for document in yaml.safe_load_all(files[name]):
            kubernetes_validate.validate(document, VERSION, strict=True)


def test_the_hub_s_configuration_loads_after_the_chart_s(tmp_path, monkeypatch, files):
    """As the chart does it: its own configuration first, then `load_subconfig`."""
    from traitlets.config.loader import PyFileConfigLoader

    hubs, cluster, config = (tmp_path / name for name in ("hubs.json", "kubernetes.json", "chart_config.py"))
    hubs.write_text(
        json.dumps(
            [
                {"center": "k8s", "token": "t" * 32, "client_id": "h", "client_secret": "c" * 32}
                | {"admission_secret": "a" * 32}
            ]
        )
    )
    cluster.write_text(json.dumps({"image": "x", "labs_dir": str(tmp_path)}))
    ours = Path(__file__).parents[2] / "deploy" / "hub" / "kubernetes_config.py"
    config.write_text(
        f'c = get_config()\nc.JupyterHub.db_url = "sqlite:////srv/jupyterhub/hub.sqlite"\nload_subconfig("{ours}")\n'
    )
    environment = {
        "HUB_CENTER": "k8s",
        "HUBS_FILE": str(hubs),
        "KUBERNETES_FILE": str(cluster),
        "HUB_DIR": str(tmp_path / "hub"),
        "HOMES_DIR": str(tmp_path / "homes"),
        "HUB_PUBLIC_URL": "https://labs.example.org",
        "PLATFORM_URL": "https://chancai.example.org",
        "HUB_BIND_PORT": "8000",
        "HUB_API_PORT": "8081",
        "HUB_PROXY_API_PORT": "8001",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(KubernetesSpawner, "settings", SimpleNamespace(), raising=False)

    loaded = PyFileConfigLoader(config.name, path=str(tmp_path)).load_config()

    assert loaded.JupyterHub.spawner_class is KubernetesSpawner
    assert loaded.JupyterHub.db_url == "sqlite:////srv/jupyterhub/hub.sqlite"
    assert loaded.JupyterHub.cleanup_servers is False
    assert KubernetesSpawner.settings.labs_dir == str(tmp_path)
    (platform,) = [role for role in loaded.JupyterHub.load_roles if role["name"] == "platform"]
    assert "admin:servers" not in platform["scopes"]
