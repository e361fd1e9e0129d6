"""The hub of a center on a Slurm cluster: hub and proxy on one host, labs as jobs on the cluster's nodes.

python -m jupyterhub -f deploy/hub/slurm_config.py      (docs/cluster.md lists the environment)
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

c = get_config()  # type: ignore[name-defined]  # noqa: F821  (given by traitlets)
load_subconfig(str(HERE / "jupyterhub_config.py"))  # type: ignore[name-defined]  # noqa: F821

from deploy.hub import settings, slurm_settings  # noqa: E402  (findable since the line above)
from deploy.hub.admission import Platform  # noqa: E402
from deploy.hub.proxies import SavingProxy  # noqa: E402
from deploy.hub.reports import Reporter  # noqa: E402
from deploy.hub.slurm_accounts import Accounts  # noqa: E402
from deploy.hub.slurm_spawner import SlurmSpawner  # noqa: E402

if os.geteuid() == 0:
    raise settings.BadSettings("This hub needs no root, and does not start as root. Give it an account of its own.")

hub = settings.read()
cluster = slurm_settings.read()

c.JupyterHub.bind_url = f"http://{hub.bind_host}:{hub.bind_port}"
c.JupyterHub.hub_bind_url = f"http://{os.environ.get('HUB_API_HOST', '127.0.0.1')}:{hub.api_port}"
c.JupyterHub.proxy_class = SavingProxy
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{hub.proxy_api_port}"
c.ConfigurableHTTPProxy.command = [sys.executable, "-I", str(HERE / "labproxy.py")]
c.ConfigurableHTTPProxy.pid_file = str(hub.hub_dir / "proxy.pid")

# Jobs go on without the hub, which finds them again
c.JupyterHub.cleanup_servers = False
c.JupyterHub.cleanup_proxy = True

SlurmSpawner.settings = cluster
SlurmSpawner.slurm = cluster.client()
SlurmSpawner.accounts = Accounts(hub.hub_dir / "accounts.json", cluster.accounts)
SlurmSpawner.reporter = Reporter(Platform(hub.platform_url, hub.center, hub.admission_secret))
c.JupyterHub.spawner_class = SlurmSpawner
