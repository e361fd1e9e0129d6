"""The settings of the embedded campus, for commands typed by hand while it runs: `chancai jobs once reconcile`."""

import json
import os
from collections.abc import MutableMapping
from pathlib import Path

from app.embedded.secrets import write_private
from app.embedded.var import CHECKOUT, Var

NAME = "environment.json"


def keep(var: Var, settings: dict[str, str]) -> None:
    write_private(var.secrets / NAME, json.dumps(settings, indent=2) + "\n")


def adopt(env: MutableMapping[str, str] = os.environ) -> None:
    """Take over what `chancai run` last used, unless DATABASE_URL, or its file, says that somebody chose otherwise."""
    if not env.get("DATABASE_URL") and not env.get("DATABASE_URL_FILE"):
        adopt_from(Var(Path(env.get("VAR_DIR") or CHECKOUT / "var")), env)


def adopt_from(var: Var, env: MutableMapping[str, str]) -> None:
    kept = var.secrets / NAME
    if kept.exists():
        for name, value in json.loads(kept.read_text()).items():
            env.setdefault(name, value)
