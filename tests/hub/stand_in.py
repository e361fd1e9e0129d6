"""A platform for the hub's own tests: signs people in by a cookie, admits what was ordered, hears what labs do.

It keeps to the same addresses and answers as the real platform, which can stand in its place.
"""

import base64
import hashlib
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, jsonify, redirect, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import Unauthorized
from werkzeug.serving import make_server


class StandIn:
    """`orders` maps a server's name to the spec it gets, once; `news` to what is taken down into its lab."""

    def __init__(self, center: str, client_id: str, client_secret: str, admission_secret: str) -> None:
        self.center = center
        self.client = (client_id, client_secret)
        self.admission_secret = admission_secret
        self.orders: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.ended: list[tuple[str, str]] = []
        self.reports: dict[str, list[dict[str, Any]]] = {}  # by server, the newest last
        self.pages: list[int] = []  # how many labs each report had
        self.news: dict[str, dict[str, Any]] = {}
        self.answer: Callable[[], ResponseReturnValue] | None = None
        self.codes: dict[str, tuple[str, str, str]] = {}
        self.tokens: dict[str, str] = {}
        self._port = 0
        self.listen()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def listen(self) -> None:
        self._server = make_server("127.0.0.1", self._port, self._app(), threaded=True)
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Nobody answers for a while."""
        self.stop()
        yield
        self.listen()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def order(self, server: str, **spec: Any) -> None:
        """Take an order for one start of this server."""
        defaults = {"cores": 1.0, "memory_mb": 1024, "accelerators": 0, "session": server.removeprefix("lab-")}
        more = {"lease_ends_at": None, "display_name": "Lab", "language": "en", "timezone": "Asia/Shanghai"}
        self.orders[server] = {**defaults, **more, "default_path": None, "environment": {}, "files": [], **spec}

    def _app(self) -> Flask:
        app = Flask("stand-in")
        app.add_url_rule("/oauth/authorize", view_func=self.authorize)
        app.add_url_rule("/oauth/token", view_func=self.token, methods=["POST"])
        app.add_url_rule("/oauth/userinfo", view_func=self.userinfo)
        app.add_url_rule("/internal/admission", view_func=self.admission, methods=["POST"])
        app.add_url_rule("/internal/ended", view_func=self.hear, methods=["POST"])
        app.add_url_rule("/internal/labs", view_func=self.labs, methods=["POST"])
        app.add_url_rule("/", "home", lambda: "home of the platform")
        return app

    # Sign-on

    def authorize(self) -> ResponseReturnValue:
        person = request.cookies.get("person")
        asked = request.args
        if not person or asked["client_id"] != self.client[0] or asked["code_challenge_method"] != "S256":
            return "sign in first", 401
        code = secrets.token_urlsafe(16)
        self.codes[code] = (person, asked["code_challenge"], asked["redirect_uri"])
        return redirect(asked["redirect_uri"] + "?" + urlencode({"code": code, "state": asked["state"]}))

    def token(self) -> ResponseReturnValue:
        sent = request.authorization
        if not sent or (sent.username, sent.password) != self.client:
            return jsonify(error="invalid_client"), 401
        person, challenge, redirect_uri = self.codes.pop(request.form["code"])
        digest = hashlib.sha256(request.form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != challenge:
            return jsonify(error="invalid_grant"), 400
        if request.form["redirect_uri"] != redirect_uri:
            return jsonify(error="invalid_grant"), 400
        token = secrets.token_urlsafe(16)
        self.tokens[token] = person
        return jsonify(access_token=token, token_type="Bearer", expires_in=3600, scope="openid profile")

    def userinfo(self) -> ResponseReturnValue:
        person = self.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if person is None:
            return jsonify(error="invalid_token"), 401
        return jsonify(sub=person, name="Somebody", preferred_username=person, groups=["students"])

    # Admission

    def admission(self) -> ResponseReturnValue:
        user, server = self._told()
        self.asked.append((user, server))
        if self.answer:
            return self.answer()
        spec = self.orders.pop(server, None)
        if spec is None:
            return jsonify(allow=False, code="not-ordered", reason="This lab was not ordered, or was started already.")
        return jsonify(allow=True, spec=spec)

    def hear(self) -> ResponseReturnValue:
        self.ended.append(self._told())
        return Response(status=204)

    def labs(self) -> ResponseReturnValue:
        rows = self._body()["labs"]
        self.pages.append(len(rows))
        for row in rows:
            self.reports.setdefault(row["server"], []).append(row)
        nothing = {"owner": "", "lease_ends_at": None, "keep_alive_until": None, "notices": []}
        return jsonify(labs={row["server"]: self.news.get(row["server"], nothing) for row in rows}, skipped=0)

    def _told(self) -> tuple[str, str]:
        body = self._body()
        return body["user"], body["server"]

    def _body(self) -> dict[str, Any]:
        if request.headers["Authorization"] != f"Bearer {self.admission_secret}":
            raise Unauthorized
        body: dict[str, Any] = request.get_json()
        assert body["center"] == self.center
        return body
