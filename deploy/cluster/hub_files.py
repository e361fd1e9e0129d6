"""What the hub of this cluster is told of it."""

import json
import os
import pwd
from pathlib import Path

from deploy.cluster.books import ACCOUNT
from deploy.cluster.layout import LAB_PORTS, NODES, Layout


def slurm_file(layout: Layout) -> Path:
    """The file for SLURM_FILE, written anew; docs/cluster.md says what stands in it."""
    file = layout.etc / "hub-slurm.json"
    settings = {
        "rest_url": layout.rest_url,
        "jwt_key_file": str(layout.hub_jwt_key),
        "rooms_dir": str(layout.rooms),
        "homes_dir": str(layout.homes),
        "accounts": layout.lab_accounts,
        "account": ACCOUNT,
        "lab_ip": "127.0.0.1",
        "lab_ports": LAB_PORTS,
        "nodes": dict.fromkeys(NODES, "127.0.0.1"),
    }
    file.write_text(json.dumps(settings, indent=2))
    owner = pwd.getpwnam(layout.hub_account)
    os.chown(file, owner.pw_uid, owner.pw_gid)
    return file
