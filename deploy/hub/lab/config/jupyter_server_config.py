"""What every lab's JupyterLab does not do: look for news or updates, install extensions, or keep the person waiting."""

from pathlib import Path

c = get_config()  # type: ignore[name-defined]  # noqa: F821  (given by traitlets)

c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"
c.LanguageServerManager.autodetect = False  # would ask npm, where there is one, at every start
c.ServerApp.open_browser = False
c.ServerApp.terminals_enabled = True
c.ServerApp.max_body_size = 1 << 30
c.ServerApp.max_buffer_size = 1 << 30
c.FileContentsManager.delete_to_trash = False  # the trash would fill the home unseen

# The platform's own part of a lab, see ../chancai_lab
c.ServerApp.jpserver_extensions = {"chancai_lab": True}
c.ServerApp.authorizer_class = "chancai_lab.guests.OwnerOnly"
c.LabApp.extra_labextensions_path = [str(Path(__file__).resolve().parents[1] / "labextensions")]
