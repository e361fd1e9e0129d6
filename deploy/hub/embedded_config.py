"""The hub of a center on one host: hub, proxy and labs side by side, from pip packages only.

python -m jupyterhub -f deploy/hub/embedded_config.py      (docs/hub.md lists the environment)
"""

import logging
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

c = get_config()  # type: ignore[name-defined]  # noqa: F821  (given by traitlets)
load_subconfig(str(HERE / "jupyterhub_config.py"))  # type: ignore[name-defined]  # noqa: F821

from deploy.hub import bubblewrap, settings  # noqa: E402  (findable since the line above)
from deploy.hub.admission import Platform  # noqa: E402
from deploy.hub.proxies import SavingProxy  # noqa: E402
from deploy.hub.reports import Reporter  # noqa: E402
from deploy.hub.spawners import LabSpawner, best_spawner  # noqa: E402

hub = settings.read()

# Three ports, all on this host
c.JupyterHub.bind_url = f"http://{hub.bind_host}:{hub.bind_port}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{hub.api_port}"
c.JupyterHub.proxy_class = SavingProxy
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{hub.proxy_api_port}"
c.ConfigurableHTTPProxy.command = [sys.executable, "-I", str(HERE / "labproxy.py")]
c.ConfigurableHTTPProxy.pid_file = str(hub.hub_dir / "proxy.pid")

# Labs end with the hub, however it ends
c.JupyterHub.cleanup_servers = True
c.JupyterHub.cleanup_proxy = True

state = hub.hub_dir / "labs"
hub.homes_dir.mkdir(parents=True, exist_ok=True)
bubblewrap.make_etc(state / "etc")
spawner, reason = best_spawner(hub.spawner)
if reason:
    logging.getLogger("chancai.hub").warning(
        "Labs are NOT isolated: %s. Every lab can read every home and every secret of this account. "
        "Use this on a computer of your own only.",
        reason,
    )
c.JupyterHub.spawner_class = spawner
c.LabSpawner.homes_dir = str(hub.homes_dir)
c.LabSpawner.state_dir = str(state)
LabSpawner.reporter = Reporter(Platform(hub.platform_url, hub.center, hub.admission_secret))
c.LabSpawner.interrupt_timeout = 5
c.LabSpawner.term_timeout = 5
