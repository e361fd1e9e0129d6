"""What a hub on Kubernetes is told of its cluster, in the file that KUBERNETES_FILE names.

docs/operators/kubernetes.md says what stands in it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from deploy.hub.settings import BadSettings


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Nodes of a kind; flavors name theirs as `partition`. `accelerator` is the resource of its device plugin."""

    accelerator: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: list[dict[str, Any]] = field(default_factory=list)
    priority_class: str = ""
    image: str = ""  # empty: the center's


@dataclass(frozen=True, kw_only=True)
class KubernetesSettings:
    """`claim` is a volume that many pods may write to; the hub sees it at `labs_dir`, with the group of labs."""

    image: str
    labs_dir: str
    claim: str = "chancai-labs"
    uid: int = 10001  # of labs, and their group; never the hub's own
    extension_minutes: int = 8 * 60  # a pod's deadline cannot be moved back, so it leaves room for longer leases
    tmp_mb: int = 2048
    priority_class: str = ""
    pools: Mapping[str, Pool] = field(default_factory=dict)

    @property
    def rooms(self) -> Path:
        return Path(self.labs_dir, "rooms")

    @property
    def homes(self) -> Path:
        return Path(self.labs_dir, "homes")

    def pool(self, name: str) -> Pool:
        """The pool of that name; the center's plain one has none. Raises `KeyError`."""
        return self.pools[name] if name else self.pools.get("", Pool())


def read(environment: Mapping[str, str] = os.environ) -> KubernetesSettings:
    """The settings, or a sentence that says what is wrong with them."""
    path = environment.get("KUBERNETES_FILE")
    if not path:
        raise BadSettings("KUBERNETES_FILE is not set")
    try:
        body = json.loads(Path(path).read_text())
    except OSError as error:
        raise BadSettings(f"KUBERNETES_FILE {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadSettings(f"KUBERNETES_FILE {path} is not JSON") from error
    try:
        return parse(body)
    except (TypeError, ValueError) as error:
        raise BadSettings(f"KUBERNETES_FILE {path}: {error}") from error


def parse(body: Any) -> KubernetesSettings:
    """Raises `TypeError` or `ValueError`, with what is wrong."""
    known = {one.name for one in fields(KubernetesSettings)}
    if not isinstance(body, dict) or set(body) - known:
        raise ValueError(f"an object with {', '.join(sorted(known))} only")
    pools = {name: Pool(**pool) for name, pool in (body.get("pools") or {}).items()}
    settings = KubernetesSettings(**{**body, "pools": pools})
    if not Path(settings.labs_dir).is_absolute():
        raise ValueError("labs_dir must be an absolute path")
    if settings.uid < 1 or settings.uid == os.geteuid():
        raise ValueError("uid must be neither root's nor the hub's own")
    return settings
