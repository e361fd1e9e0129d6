"""Static files under URLs that change with their content, so that browsers keep them for a year.

`asset("chancai.css")` in a template gives `/static/chancai.css?v=<hash>`. Text is gzipped once per process.
"""

import gzip
import hashlib
import mimetypes
from functools import lru_cache
from pathlib import Path

from flask import Flask, Response, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.security import safe_join

from app.access import public

FOLDER = Path(__file__).parent / "static"
YEAR = 365 * 24 * 60 * 60
TEXT = ("text/", "application/javascript", "image/svg+xml")


def init_app(app: Flask) -> None:
    app.add_url_rule("/static/<path:path>", "assets", serve)
    app.jinja_env.globals["asset"] = asset


def asset(path: str) -> str:
    """The URL of a file in app/static/, good for ever because it names the content."""
    return url_for("assets", path=path, v=_read(path).digest)


@public
def serve(path: str) -> Response:
    file = _read(path)
    response = Response(file.content, content_type=file.content_type)
    if file.packed and request.accept_encodings["gzip"]:
        response.set_data(file.packed)
        response.content_encoding = "gzip"
    response.vary.add("Accept-Encoding")
    if request.args.get("v") == file.digest:
        response.cache_control.public = True
        response.cache_control.max_age = YEAR
        response.cache_control.immutable = True
    else:
        response.cache_control.no_cache = True
    response.set_etag(file.digest, weak=True)
    response.make_conditional(request)
    return response


class _File:
    def __init__(self, path: Path) -> None:
        self.content = path.read_bytes()
        self.digest = hashlib.sha256(self.content).hexdigest()[:12]
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        is_text = kind.startswith(TEXT)
        self.content_type = f"{kind}; charset=utf-8" if is_text else kind
        self.packed = gzip.compress(self.content, 9, mtime=0) if is_text else None


def _read(path: str) -> _File:
    found = safe_join(str(FOLDER), path)
    if found is None or not Path(found).is_file():
        raise NotFound
    return _load(found, Path(found).stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _load(path: str, mtime_ns: int) -> _File:
    return _File(Path(path))
