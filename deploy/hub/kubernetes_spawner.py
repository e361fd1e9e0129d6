"""How a center on Kubernetes starts labs: each is a pod of KubeSpawner's, made from the platform's order alone.

A pod runs as nobody special: no root, no privilege to be gained, no token of the cluster's, a root file system that it
cannot write. Of the shared volume it sees its person's home and its own room, and no more. Its deadline ends only what
the platform forgot. The lesson and the news go by way of the room, as on a cluster with a shared file system.
"""

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kubespawner import KubeSpawner

from deploy.hub import slurm_room
from deploy.hub.admission import Spec
from deploy.hub.hooks import StartRefused
from deploy.hub.kubernetes_settings import KubernetesSettings, Pool
from deploy.hub.reports import Lab, Reporter
from deploy.hub.saving import SavingSpawner
from deploy.hub.spawners import server_arguments

HOME, ROOM, TMP = "/home/lab", "/run/lab", "/tmp"  # noqa: S108  (inside the pod)
INSIDE = "/opt/chancai/deploy/hub/lab"  # where the image of labs keeps our part of it
PYTHON = "/opt/chancai/bin/python"
PORT = 8888
SPARE_SECONDS = 120  # after the lease and whatever it can be extended by
LABEL = re.compile(r"[^A-Za-z0-9_.-]")
NETWORK = {  # the chart's policies let these through, and only these
    "hub.jupyter.org/network-access-hub": "true",
}


class KubernetesSpawner(KubeSpawner, SavingSpawner):  # KubeSpawner first: its uid and its settings are the pod's
    """`settings` are the hub's, for all of its labs."""

    settings: KubernetesSettings
    reporter: Reporter | None = None
    granted: Spec | None = None
    _room = ""

    # What JupyterHub asks of a spawner

    def start(self) -> "asyncio.Future[Any]":
        self._start_future = asyncio.ensure_future(self._start_admitted())
        return self._start_future

    async def _start_admitted(self) -> Any:
        if self.granted is None:
            raise StartRefused("this start was not admitted")
        await asyncio.to_thread(self.prepare, self.granted)
        self.take(self.granted)
        where = await self._start()
        self._was_asked_to_save = False
        self._report()
        return where

    def take(self, spec: Spec) -> None:
        """Everything about the pod follows from the order and the center's settings."""
        center, pool = self.settings, self._pool(spec)
        self.image = pool.image or center.image
        self.cmd = [PYTHON, "-I", f"{INSIDE}/job.py", "0.0.0.0", str(PORT), str(PORT)]  # noqa: S104  (of the pod)
        self.port = PORT
        self.set_trait("uid", center.uid)
        self.gid = self.fs_gid = center.uid
        self.cpu_limit = self.cpu_guarantee = spec.cores  # what is paid for is there
        self.mem_limit = self.mem_guarantee = spec.memory_mb << 20
        devices = {pool.accelerator: str(spec.accelerators)} if spec.accelerators else {}
        self.extra_resource_limits = self.extra_resource_guarantees = devices
        self.node_selector, self.tolerations = dict(pool.node_selector), list(pool.tolerations)
        self.priority_class_name = pool.priority_class or center.priority_class
        self.privileged = self.allow_privilege_escalation = False
        self.automount_service_account_token = False
        self.container_security_context = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        }
        self.pod_security_context = {
            "fsGroup": center.uid,
            "fsGroupChangePolicy": "OnRootMismatch",
            "runAsNonRoot": True,
            "runAsUser": center.uid,
            "runAsGroup": center.uid,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        self.extra_labels = {
            **self._labels_of_the_chart(),
            **NETWORK,
            "chancai-session": LABEL.sub("-", spec.session)[:63],
            "chancai-center-pool": LABEL.sub("-", spec.pool or "default")[:63],
        }
        self.extra_pod_config = {
            "activeDeadlineSeconds": self._deadline(spec),
            "restartPolicy": "Never",  # a lab that ended has ended; the platform says whether another one starts
            "enableServiceLinks": False,
        }
        self.volumes = [
            {"name": "labs", "persistentVolumeClaim": {"claimName": center.claim}},
            {"name": "tmp", "emptyDir": {"sizeLimit": f"{center.tmp_mb}Mi"}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{max(64, spec.memory_mb // 2)}Mi"}},
        ]
        self.volume_mounts = [
            {"name": "labs", "mountPath": HOME, "subPath": f"homes/{self.user.name}"},
            {"name": "labs", "mountPath": ROOM, "subPath": f"rooms/{self.room.name}"},
            {"name": "tmp", "mountPath": TMP},
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
        ]

    def prepare(self, spec: Spec) -> None:
        """Put the lesson where the lab finds it, and make a home for who has none. The volume's group is the labs'."""
        self.settings.rooms.mkdir(parents=True, exist_ok=True)
        self._room = slurm_room.make(self.settings.rooms, self.name, spec.files).name
        home = self.settings.homes / self.user.name
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o2770)

    async def stop(self, now: bool = False) -> None:
        await self.save_documents()
        await super().stop(now)

    def get_args(self) -> list[str]:
        spec = self.granted
        if spec is None:
            raise StartRefused("this start was not admitted")
        arguments = server_arguments(spec, {"CORE": 0}, "--ServerApp.port_retries=0", f"--ServerApp.root_dir={HOME}")
        limits, settings, *rest = arguments
        settings = f"--LabApp.app_settings_dir={INSIDE}/settings/{spec.language}"
        return [limits, settings, *rest, *super().get_args()]

    def get_env(self) -> dict[str, str]:
        spec = self.granted
        language = spec.language if spec else "en"
        return {
            **super().get_env(),
            "HOME": HOME,
            "LANG": "C.UTF-8",
            "LANGUAGE": language,
            "JUPYTER_CONFIG_PATH": f"{INSIDE}/config",
            "CHANCAI_ROOM": ROOM,
        }

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()
        if self._room:
            state |= {"room": self._room, "session": self.granted.session if self.granted else ""}
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """A hub that comes back: the pod went on without it."""
        super().load_state(state)
        if state.get("room"):
            self._room = str(state["room"])
            self.granted = Spec(session=state.get("session", ""), cores=1, memory_mb=64)
            self._report()

    def clear_state(self) -> None:
        super().clear_state()
        if self.reporter:
            self.reporter.remove(self.name)
        if self._room:
            slurm_room.remove(self.room)
        self._room = ""

    # What saving asks

    @property
    def room(self) -> Path:
        return self.settings.rooms / self._room

    def may_be_asked(self) -> bool:
        return bool(self._room)

    # Parts

    def _pool(self, spec: Spec) -> Pool:
        try:
            pool = self.settings.pool(spec.pool)
        except KeyError:
            raise StartRefused(f"This center has no nodes called {spec.pool}.") from None
        if spec.accelerators and not pool.accelerator:
            raise StartRefused("These nodes of the center have no accelerators.")
        return pool

    def _labels_of_the_chart(self) -> dict[str, str]:
        return dict(self.config.KubeSpawner.get("extra_labels") or {})

    def _deadline(self, spec: Spec) -> int:
        left = 3600.0
        if spec.lease_ends_at:
            left = (datetime.fromisoformat(spec.lease_ends_at) - datetime.now(UTC)).total_seconds()
        return max(60, int(left)) + self.settings.extension_minutes * 60 + SPARE_SECONDS

    def _report(self) -> None:
        if self.reporter:
            home = self.settings.homes / self.user.name
            self.reporter.add(Lab(self.name, home, self.room, self.settings.uid))
