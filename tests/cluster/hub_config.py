"""The hub of a Slurm center, with one more service that may do what the platform's own may not, and no patience."""

import os
from pathlib import Path

c = get_config()  # type: ignore[name-defined]  # noqa: F821  (given by traitlets)
load_subconfig(str(Path(__file__).parents[2] / "deploy" / "hub" / "slurm_config.py"))  # type: ignore[name-defined]  # noqa: F821

from deploy.hub import reports  # noqa: E402  (findable since the line above)

reports.SECONDS_BETWEEN_ROUNDS = 1.0
c.Spawner.poll_interval = 1
c.Spawner.start_timeout = 40
c.JupyterHub.services = [*c.JupyterHub.services, {"name": "tester", "api_token": os.environ["TESTER_TOKEN"]}]
c.JupyterHub.load_roles = [
    *c.JupyterHub.load_roles,
    {
        "name": "tester",
        "services": ["tester"],
        "scopes": ["admin:users", "servers", "list:users", "tokens", "admin:server_state", "users:activity"],
    },
]
