"""The accounts, qualities of service and associations that a fresh cluster starts with.

Only the trunk: what the platform's budgets and partners become is pushed later, and hangs below `chancai`.
"""

from deploy.cluster import parts
from deploy.cluster.layout import Layout

ACCOUNT = "chancai"
QOS = {
    "lab": "MaxWall=12:00:00 Flags=DenyOnLimit Priority=10",
    "batch": "MaxWall=04:00:00 Flags=DenyOnLimit Priority=5",
}


def write(layout: Layout) -> None:
    """Safe to repeat: what is there already stays as it is."""
    have = parts.run(layout, "sacctmgr", "-n", "-P", "show", "qos", "format=name").split()
    for name, limits in QOS.items():
        if name not in have:
            _sacctmgr(layout, "add", "qos", name, *limits.split())
    if ACCOUNT not in parts.run(layout, "sacctmgr", "-n", "-P", "show", "account", "format=account").split():
        _sacctmgr(layout, "add", "account", ACCOUNT, "Description=Chancai", "Organization=Chancai")
    known = parts.run(layout, "sacctmgr", "-n", "-P", "show", "user", "format=user").split()
    missing = [name for name in layout.lab_accounts if name not in known]
    if missing:
        allowed = [f"Account={ACCOUNT}", f"QOS={','.join(QOS)}", "DefaultQOS=lab"]
        _sacctmgr(layout, "add", "user", ",".join(missing), *allowed)

    if layout.keeper_account not in known:
        _sacctmgr(layout, "add", "user", layout.keeper_account, f"Account={ACCOUNT}", "AdminLevel=Administrator")


def _sacctmgr(layout: Layout, *words: str) -> None:
    parts.run(layout, "sacctmgr", "-i", "-Q", *words)
