"""Who may do what in a lab: its owner everything, a guest look at files, everybody else nothing.

The hub lets a guest in whom the owner agreed to (`shares`). What a guest asks for is refused unless it stands in
`MAY_READ`: many addresses of Jupyter's and its extensions' ask no authorizer, so the question is put where all of them
come by, when they ask who is there. `OwnerOnly`, the authorizer, says the same once more.
"""

import os
import re
import time
from typing import Any

from jupyter_server.auth import Authorizer, User
from jupyter_server.base.call_context import CallContext
from jupyterhub.singleuser import extension
from tornado.web import HTTPError

SECONDS_TO_BELIEVE = 15.0  # that a guest is still one; the hub is asked again after that
MOST_GUESTS_KEPT = 256
MAY_READ = re.compile(
    r"""
    ( lab | lab/tree/.* | lab/workspaces/.*        # JupyterLab itself, and what its pages load
    | lab/api/(settings|translations|themes|workspaces|listings)(/.*)? | lab/extensions/.* | static/.* | custom/.*
    | api | api/(me|status|kernels|sessions|terminals|kernelspecs|contents) | kernelspecs/.*
    | api/(contents|kernels|kernelspecs|config)/[^/].* | files/.* | lsp/status   # files, and what runs
    | chancai/news | logout
    )?""",
    re.VERBOSE | re.DOTALL,
)
READABLE = frozenset(
    {"api", "config", "contents", "files", "kernels", "kernelspecs", "sessions", "terminals", "lsp", "lab"}
)
HIDDEN_FROM_GUESTS = (
    "@jupyterlab/console-extension",
    "@jupyterlab/debugger-extension",
    "@jupyterlab/launcher-extension",
    "@jupyterlab/terminal-extension",
)


def is_owner(hub_user: dict[str, Any]) -> bool:
    return hub_user.get("kind") == "user" and hub_user.get("name") == os.environ["JUPYTERHUB_USER"]


def is_guest(user: Any) -> bool:
    return user is not None and not is_owner(user.hub_user)


def install() -> None:
    """Before the server starts: this is who it asks. JupyterHub lets no setting replace its own."""
    extension.JupyterHubIdentityProvider = OwnerAndGuests


class OwnerAndGuests(extension.JupyterHubIdentityProvider):
    """JupyterHub's own, which lets in whom the hub lets in; then the rest of the question."""

    _believed: dict[str, float] | None = None

    async def get_user(self, handler: Any) -> Any:
        user: Any = await super().get_user(handler)
        if user is None or is_owner(user.hub_user):
            return user
        if user.hub_user.get("kind") != "user":
            self._refuse(handler, "Only people may come in.")
        path = handler.request.path.removeprefix(handler.base_url)
        is_reading = handler.request.method in ("GET", "HEAD") and "Upgrade" not in handler.request.headers
        if not is_reading or not MAY_READ.fullmatch(path):
            self._refuse(handler, "This is somebody else's lab: you may look, and nothing else.")
        if not await self._is_still_welcome(handler):
            self._refuse(handler, "You may no longer look into this lab.")
        return user

    def _refuse(self, handler: Any, why: str) -> None:
        """As nobody, so that not even the page of the error is put together for a guest."""
        handler._jupyterhub_user = None
        raise HTTPError(403, why, reason="Forbidden")

    async def _is_still_welcome(self, handler: Any) -> bool:
        """JupyterHub believes an answer of the hub's for five minutes. That is too long for a guest."""
        token = self.hub_auth.get_token(handler)
        if not token:
            return False
        believed = self._believed = self._believed or {}
        now = time.monotonic()
        if believed.get(token, 0.0) > now:
            return True
        model = await self.hub_auth.user_for_token(token, use_cache=False, sync=False)
        if not model or not self.hub_auth.check_scopes(self.hub_auth.access_scopes, model):
            believed.pop(token, None)
            return False
        if len(believed) >= MOST_GUESTS_KEPT:
            believed.clear()
        believed[token] = now + SECONDS_TO_BELIEVE
        return True


class OwnerOnly(Authorizer):
    """Where a handler does ask: the owner may; a guest may read, and only what is known to be harmless."""

    def is_authorized(self, handler: Any, user: User, action: str, resource: str) -> bool:
        return not is_guest(user) or (action == "read" and resource in READABLE)


# What JupyterLab shows a guest


def show_as_read_only(server: Any) -> None:
    """To a guest, files are read-only and no notebook has a kernel to connect to, so JupyterLab does not try."""
    contents, sessions = server.contents_manager, server.session_manager
    get, list_sessions = contents.get, sessions.list_sessions
    page_config = server.web_app.settings.get("page_config_hook")

    async def get_to_look_at(*args: Any, **kwargs: Any) -> Any:
        model = get(*args, **kwargs)
        model = await model if hasattr(model, "__await__") else model
        return _read_only(model) if _asked_by_guest() else model

    async def sessions_to_see() -> Any:
        return [] if _asked_by_guest() else await list_sessions()

    def page_config_for(handler: Any, config: dict[str, Any]) -> dict[str, Any]:
        config = page_config(handler, config) if page_config else config
        if is_guest(handler.current_user):
            config["chancaiGuest"] = True
            config["disabledExtensions"] = [*config.get("disabledExtensions", []), *HIDDEN_FROM_GUESTS]
        return config

    contents.get, sessions.list_sessions = get_to_look_at, sessions_to_see
    server.web_app.settings["page_config_hook"] = page_config_for


def _asked_by_guest() -> bool:
    handler = CallContext.get(CallContext.JUPYTER_HANDLER)
    return handler is not None and is_guest(handler.current_user)


def _read_only(model: dict[str, Any]) -> dict[str, Any]:
    """As it is, but not to be written, and with nothing in it that runs by itself in the guest's browser."""
    model, content = {**model, "writable": False}, model.get("content")
    if model.get("type") == "directory" and content is not None:
        model["content"] = [{**entry, "writable": False} for entry in content]
    elif model.get("type") == "notebook" and content is not None:
        for cell in content.get("cells", []):
            cell.get("metadata", {}).pop("trusted", None)
    return model
