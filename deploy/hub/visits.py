"""Who is let into another's lab goes straight in: the platform has asked both sides, and the hub need not ask again."""

from collections.abc import Iterable
from typing import Any

from jupyterhub import scopes
from jupyterhub.apihandlers.auth import OAuthAuthorizeHandler

_needs_confirmation = OAuthAuthorizeHandler.needs_oauth_confirm


def needs_confirmation(handler: Any, user: Any, client: Any, requested: Iterable[str]) -> bool:
    """Not for a lab that only learns who the visitor is; the hub has looked before whether they may go in."""
    least = {*scopes.identify_scopes(), *scopes.access_scopes(client)}
    return not set(requested) <= least and bool(_needs_confirmation(handler, user, client, requested))


def install() -> None:
    OAuthAuthorizeHandler.needs_oauth_confirm = needs_confirmation
