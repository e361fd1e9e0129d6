"""Walk a route as somebody: send the request, undo what it did, and say what they got."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from flask import Flask
from werkzeug.test import TestResponse

from app.access_matrix import Action, Outcome, Walker
from app.db import db
from tests.architecture.examples import example
from tests.architecture.world import World

UNSEEN = {"HEAD", "OPTIONS"}  # HEAD is GET without its body; OPTIONS tells nothing of anything
CONVERTER = re.compile(r"<[^:>]*:")  # <uuid:run_id> is shown as <run_id>
NOT_STATEMENTS = ("SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN", "COMMIT")


@dataclass(frozen=True)
class Route:
    name: str  # "POST /labs/<session_id>/stop"
    endpoint: str

    @property
    def method(self) -> str:
        return self.name.partition(" ")[0]

    @property
    def path(self) -> str:
        return self.name.partition(" ")[2]

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"<(\w+)>", self.path)

    @property
    def is_api(self) -> bool:
        return self.path.startswith("/api/v1/")


def routes(app: Flask) -> list[Route]:
    """Every address that the application answers, with every method."""
    found = {
        Route(f"{method} {CONVERTER.sub('<', rule.rule)}", rule.endpoint)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - UNSEEN
    }
    return sorted(found, key=lambda route: route.name)


def actions(app: Flask) -> dict[str, Action]:
    """The declared matrix, by route."""
    sections = app.extensions["access_matrix"]
    return {route: action for section in sections for action in section.actions for route in action.routes}


@dataclass
class Answer:
    """What somebody got, and which statements it took."""

    response: TestResponse
    statements: Counter[str] = field(default_factory=Counter)

    @property
    def outcome(self) -> Outcome:
        if self.status == 401 or self.response.headers.get("Location", "").startswith("/sign-in?next="):
            return Outcome.SIGN_IN
        return {403: Outcome.FORBIDDEN, 404: Outcome.HIDDEN}.get(self.status, Outcome.ALLOWED)

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def is_fault(self) -> bool:
        return self.status >= 500


class Walk:
    """Sends requests into a world that stays as it is."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.app = world.app
        self._browser = world.app.test_client(use_cookies=False)
        interface: Any = world.app.session_interface
        self._signer = interface.get_signing_serializer(world.app)

    def as_walker(self, route: Route, walker: Walker, **changes: Any) -> Answer:
        """As a browser in which this walker signed in; who has an expired token sends that instead."""
        if walker is Walker.EXPIRED:
            return self.with_token(route, self.world.token(Walker.STUDENT, days=-1), walker, **changes)
        key = self.world.keys.get(walker)
        return self._send(route, walker, {"sign_in": key} if key else {}, {}, **changes)

    def with_token(self, route: Route, token: str, walker: Walker, **changes: Any) -> Answer:
        return self._send(route, walker, {}, {"Authorization": f"Bearer {token}"}, **changes)

    def _send(
        self,
        route: Route,
        walker: Walker,
        session: dict[str, Any],
        headers: dict[str, str],
        ids: dict[str, str] | None = None,
    ) -> Answer:
        sent = example(self.world, self.world.person_ids.get(walker), route.name)
        kept = session | sent.session
        if kept:
            headers = headers | {"Cookie": f"{self.app.config['SESSION_COOKIE_NAME']}={self._signer.dumps(kept)}"}
        path = self._address(route, {**self.world.ids, **sent.ids, **(ids or {})})
        db.session.commit()
        connection: Any = db.engines[None]
        undo = connection.begin_nested()
        try:
            if sent.arrange is not None:
                sent.arrange()
                db.session.commit()
            with _statements() as seen:
                response = self._browser.open(
                    path,
                    method=route.method,
                    headers={"Accept-Language": "en", **sent.headers, **headers},
                    json=sent.json,
                    data=sent.form if sent.body is None else sent.body,
                    query_string=sent.query,
                    buffered=True,
                )
        finally:
            undo.rollback()
        return Answer(response, seen)

    def _address(self, route: Route, ids: dict[str, Any]) -> str:
        path = route.path
        for name in route.parameters:
            assert name in ids, f"{route.name}: add an example of {name} to World._ids in tests/architecture/world.py"
            path = path.replace(f"<{name}>", str(ids[name]))
        return path


@contextmanager
def _statements() -> Iterator[Counter[str]]:
    """Count what reaches the database, by kind."""
    seen: Counter[str] = Counter()

    def watch(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        kind = statement.split(None, 1)[0].upper()
        if kind not in NOT_STATEMENTS:
            seen[kind] += 1

    sa.event.listen(sa.Engine, "before_cursor_execute", watch)
    try:
        yield seen
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", watch)
