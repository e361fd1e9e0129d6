"""The hub and the keeper of the quotas, in front of the cluster, each as an account of its own.

They speak to a platform at one address. The secrets that the three share are made here, once; the platform reads them
from `hubs_file`.
"""

import json
import os
import pwd
import secrets
import sys
from pathlib import Path
from typing import Any

import httpx

from deploy.cluster import config, hub_files, parts
from deploy.cluster.layout import Layout

CENTER = "slurm"
CHECKOUT = Path(__file__).parents[2]
KEPT = ("token", "client_secret", "admission_secret")
PARTS = ("hub", "keeper")


def start(layout: Layout, platform_url: str) -> None:
    """Safe to repeat; with another platform than before, both are started anew."""
    if _platform_of(layout) != platform_url:
        stop(layout)
    write_hubs(layout, platform_url)
    _start_hub(layout, platform_url)
    _start_keeper(layout, platform_url)
    parts.wait_for(layout, "hub", lambda: answers(layout), 90)


def stop(layout: Layout) -> None:
    for name in PARTS:
        parts.stop(layout, name)


def answers(layout: Layout) -> bool:
    try:
        url = f"http://127.0.0.1:{layout.port_of('hub_api')}/hub/health"
        return httpx.get(url, trust_env=False, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def hubs_file(layout: Layout) -> Path:
    """For the platform's HUBS_FILE."""
    return layout.etc / "hubs.json"


def public_url(layout: Layout) -> str:
    """On another host name than the platform: cookies of one must not reach the other."""
    return f"http://localhost:{layout.port_of('hub')}"


def write_hubs(layout: Layout, platform_url: str) -> None:
    """The same for the platform (root), the hub, and the keeper; each can read its own copy."""
    known = _known(layout)
    hub = {
        "center": CENTER,
        "api_url": f"http://127.0.0.1:{layout.port_of('hub_api')}/hub/api",
        "public_url": public_url(layout),
        "client_id": f"hub-{CENTER}",
        "platform_url": platform_url,
        **{name: known.get(name) or secrets.token_hex(32) for name in KEPT},
    }
    text = json.dumps([hub], indent=2)
    for file, owner in (
        (hubs_file(layout), "root"),
        (_copy(layout, "hub"), layout.hub_account),
        (_copy(layout, "keeper"), layout.keeper_account),
    ):
        config.write_file(file, text, 0o600, owner)


def _copy(layout: Layout, part: str) -> Path:
    return layout.etc / f"{part}-hubs.json"


def _known(layout: Layout) -> dict[str, Any]:
    try:
        return dict(json.loads(hubs_file(layout).read_text())[0])
    except FileNotFoundError:
        return {}


def _platform_of(layout: Layout) -> str | None:
    return _known(layout).get("platform_url")


def _start_hub(layout: Layout, platform_url: str) -> None:
    home = layout.folder / "hub"
    parts.start(
        layout,
        "hub",
        *[sys.executable, "-m", "jupyterhub", "-f", str(CHECKOUT / "deploy" / "hub" / "slurm_config.py")],
        account=layout.hub_account,
        env={
            **_common(layout, "hub", platform_url),
            "HOME": str(home),
            "HUB_DIR": str(home / "hub"),
            "HOMES_DIR": str(layout.homes),
            "HUB_BIND_PORT": str(layout.port_of("hub")),
            "HUB_API_PORT": str(layout.port_of("hub_api")),
            "HUB_PROXY_API_PORT": str(layout.port_of("proxy_api")),
            "HUB_PUBLIC_URL": public_url(layout),
            "HUB_LOG_LEVEL": os.environ.get("HUB_LOG_LEVEL", "WARN"),
            "SLURM_FILE": str(hub_files.slurm_file(layout)),
        },
    )


def _start_keeper(layout: Layout, platform_url: str) -> None:
    command = [sys.executable, "-m", "deploy.hub.slurm_keeper"]
    parts.start(
        layout,
        "keeper",
        *command,
        account=layout.keeper_account,
        env={
            **_common(layout, "keeper", platform_url),
            "HOME": pwd.getpwnam(layout.keeper_account).pw_dir,
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )


def _common(layout: Layout, part: str, platform_url: str) -> dict[str, str]:
    return {
        "PLATFORM_URL": platform_url,
        "HUBS_FILE": str(_copy(layout, part)),
        "HUB_CENTER": CENTER,
        "PYTHONUNBUFFERED": "1",
    }
