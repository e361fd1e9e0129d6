"""The hub of a center on Kubernetes: loaded by the configuration of the published JupyterHub chart, after its own.

load_subconfig("/opt/chancai/deploy/hub/kubernetes_config.py")      (docs/operators/kubernetes.md)
"""

from pathlib import Path

HERE = Path(__file__).resolve().parent

c = get_config()  # type: ignore[name-defined]  # noqa: F821  (given by traitlets)
load_subconfig(str(HERE / "jupyterhub_config.py"))  # type: ignore[name-defined]  # noqa: F821

from deploy.hub import kubernetes_settings, settings  # noqa: E402  (findable since the line above)
from deploy.hub.admission import Platform  # noqa: E402
from deploy.hub.kubernetes_spawner import KubernetesSpawner  # noqa: E402
from deploy.hub.proxies import SavingProxy  # noqa: E402
from deploy.hub.reports import Reporter  # noqa: E402

hub = settings.read()
del c.JupyterHub["db_url"]  # the chart knows where its database lies; what stands here is merged over its settings

# The chart runs the proxy as a pod of its own, and says where; pods go on without the hub, which finds them again
c.JupyterHub.proxy_class = SavingProxy
c.JupyterHub.cleanup_servers = False
c.JupyterHub.cleanup_proxy = False

KubernetesSpawner.settings = kubernetes_settings.read()
KubernetesSpawner.reporter = Reporter(Platform(hub.platform_url, hub.center, hub.admission_secret))
c.JupyterHub.spawner_class = KubernetesSpawner
c.KubeSpawner.pod_name_template = "{servername}"  # lab-<session>: whoever looks at the cluster finds the lab
c.KubeSpawner.storage_pvc_ensure = False
c.KubeSpawner.delete_stopped_pods = True
