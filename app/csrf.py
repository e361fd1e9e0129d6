"""Refuse unsafe requests that another site sent with our visitor's cookie. No tokens needed.

Browsers say where a request comes from (Fetch Metadata, or at least Origin: RFC 6454). A request
that carries our cookie and neither header is refused too.
"""

from urllib.parse import urlsplit

from flask import Flask, request
from flask_babel import lazy_gettext as _

from app.errors import Forbidden

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class CrossSiteRequest(Forbidden):
    code = "cross-site-request"
    title = _("This request did not come from our own page")
    advice = _("Open the page again on this site and repeat what you did.")


def init_app(app: Flask) -> None:
    app.before_request(_refuse_cross_site)


def _refuse_cross_site() -> None:
    sent = request.authorization
    if request.method in SAFE or (sent is not None and sent.type == "bearer"):  # never sent by accident; Basic may be
        return
    if not request.cookies:  # nothing of the visitor's is used
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        if site not in ("same-origin", "none"):
            raise CrossSiteRequest
    elif origin is None or urlsplit(origin).netloc != request.host:
        raise CrossSiteRequest
