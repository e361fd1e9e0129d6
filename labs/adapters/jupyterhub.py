"""A typed client of JupyterHub's REST API (6 and later): users, named servers, progress, tokens, groups, activity.

Talk to the hub's own port (`http://127.0.0.1:8701/hub/api`), not through its proxy. Every call ends within its time,
every answer is checked, and every failure is a `HubError` that says which call, which status and what the hub said.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn
from urllib.parse import quote

import httpx

from labs.adapters import Evidence, HubBusy, HubFault, HubRefused, HubUnreachable, Progress, Server

PAGED = "application/jupyterhub-pagination+json"
LONGEST_ANSWER_BYTES = 64 * 1024 * 1024
LONGEST_MESSAGE = 300
LONGEST_WAIT_SECONDS = 2.0
ATTEMPTS = 3
BACKOFF_SECONDS = (0.1, 0.5)

LATER = frozenset({502, 503, 504})
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
REFUSED_BY_THE_HUB = "Spawn failed: HTTP 403"
CODE = re.compile(r"\[((?:cluster|lab)-[a-z-]{1,40})\]")  # what deploy/hub puts behind the reason of a refusal
MAY_SUCCEED_LATER = ("cluster-account", "cluster-silent")
UserState = Literal["active", "ready", "inactive"]


@dataclass(frozen=True)
class Timeout:
    """Seconds: to connect, between two pieces of an answer, for a whole call, and for a whole start to be watched."""

    connect: float = 3.0
    read: float = 10.0
    call: float = 20.0
    progress: float = 300.0

    def for_httpx(self) -> httpx.Timeout:
        return httpx.Timeout(self.read, connect=self.connect, pool=self.connect)


@dataclass(frozen=True)
class User:
    """A user of the hub; `servers` are those that run, start or stop."""

    name: str
    admin: bool = False
    groups: tuple[str, ...] = ()
    servers: tuple[Server, ...] = ()
    last_activity_at: datetime | None = None


@dataclass(frozen=True)
class Token:
    """A token the hub minted. The secret is shown by the hub this one time."""

    id: str
    secret: str = field(repr=False)
    scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Answer:
    """What the hub answered to one call."""

    call: str
    status: int
    headers: httpx.Headers
    body: bytes

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise HubFault(self.call, "the answer is not JSON", self.status) from error

    def message(self) -> str:
        """The hub's own words, from its JSON or, failing that, the start of whatever came."""
        try:
            found = json.loads(self.body)["message"]
        except (ValueError, TypeError, KeyError):
            found = self.body[:LONGEST_MESSAGE].decode("utf-8", "replace")
        return " ".join(str(found).split())[:LONGEST_MESSAGE] or "no explanation"


class JupyterHub:
    """The hub behind `api_url`, called with the token of a service. Satisfies `labs.adapters.Hub`. Thread-safe."""

    def __init__(
        self,
        api_url: str,
        token: str,
        *,
        timeout: Timeout | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        headers: Callable[[], Mapping[str, str]] = dict,  # more of them, asked for at each call
    ) -> None:
        self._timeout = timeout or Timeout()
        self._token = token
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=api_url.rstrip("/"),
            headers={"Authorization": f"token {token}", "Accept": "application/json"},
            timeout=self._timeout.for_httpx(),
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            event_hooks={"request": [lambda request: request.headers.update(headers())]},
        )

    def __repr__(self) -> str:
        return f"JupyterHub({str(self._http.base_url)!r})"

    def close(self) -> None:
        self._http.close()

    # The hub

    def version(self) -> str:
        body = _a_dict(self._call("version", "GET", "/"))
        return _text(body, "version", "version")

    # Users

    def ensure_user(self, name: str) -> None:
        self._call("ensure user", "POST", _user_path(name), ok={201, 409}, repeatable=True)

    def user(self, name: str) -> User | None:
        answer = self._call("user", "GET", _user_path(name), ok={200, 404})
        return None if answer.status == 404 else _user(_a_dict(answer), answer.call)

    def users(self, state: UserState | None = None, name_filter: str = "", page: int = 200) -> Iterator[list[User]]:
        """Users in pages, one call to the hub for each."""
        query: dict[str, str] = {"sort": "id"}
        if state:
            query["state"] = state
        if name_filter:
            query["name_filter"] = name_filter
        for answer, items in self._pages("users", "/users", query, page):
            yield [_user(_dict_in(item, answer.call), answer.call) for item in items]

    def delete_user(self, name: str) -> None:
        """Forget a user, stopping their servers. One who is not known is fine."""
        self._call("delete user", "DELETE", _user_path(name), ok={204, 404})

    def report_activity(self, user: str, at: datetime, server: str | None = None) -> None:
        """Tell the hub when a user, and perhaps one of their servers, was last seen active."""
        moment = at.astimezone(UTC).isoformat()
        body: dict[str, Any] = {"last_activity": moment}
        if server is not None:
            body["servers"] = {server: {"last_activity": moment}}
        self._call("activity", "POST", f"{_user_path(user)}/activity", body=body, repeatable=True)

    # Servers

    def start(self, user: str, server: str, options: Mapping[str, str], display_name: str) -> None:
        body = {"user_options": dict(options), "display_name": _displayable(display_name) or server}
        answer = self._start(user, server, body)
        if answer.status == 404:  # the first start of this person: most have had one
            self.ensure_user(user)
            answer = self._start(user, server, body)
        if answer.status in (201, 202) or "already running" in answer.message():
            return
        if "is pending stop" in answer.message():
            raise HubBusy(answer.call, self._clean(answer.message()), status=400, retry_after=1.0)
        self._refuse(answer)

    def _start(self, user: str, server: str, body: Mapping[str, Any]) -> Answer:
        return self._call("start", "POST", _server_path(user, server), body=body, ok={201, 202, 400, 404})

    def server(self, user: str, server: str) -> Server | None:
        answer = self._call("server", "GET", _server_path(user, server), ok={200, 404})
        return None if answer.status == 404 else _server(_a_dict(answer), user, answer.call)

    def evidence(self, user: str, server: str) -> Evidence | None:
        """The hub polls its servers' processes: what it calls stopped has ended. Of one it lost it knows nothing."""
        known = self.server(user, server)
        if known is None:
            return None
        if known.state != "stopped":
            return Evidence(runs=True)
        why = self._failure(user, server)
        code = _code(why)
        is_final = why.startswith(REFUSED_BY_THE_HUB) or bool(code and code not in MAY_SUCCEED_LATER)
        return Evidence(runs=False, why=why, is_final=is_final, code=code)

    def _failure(self, user: str, server: str) -> str:
        """Why the last start of a stopped server failed, in the hub's words; empty where it did not fail."""
        try:
            for step in self._steps(user, server):
                if step.failed:
                    return self._clean(step.message)
        except HubRefused:  # it did not fail: "is not starting"
            return ""
        return ""

    def stop(self, user: str, server: str) -> None:
        self._call("stop", "DELETE", _server_path(user, server), ok={202, 204, 404})

    def remove(self, user: str, server: str) -> None:
        self._call("remove", "DELETE", _server_path(user, server), body={"remove": True}, ok={202, 204, 404})

    def share(self, user: str, server: str, with_user: str) -> None:
        self.ensure_user(with_user)
        self._call("share", "POST", _share_path(user, server), body={"user": with_user}, ok={200}, repeatable=True)

    def unshare(self, user: str, server: str, with_user: str) -> None:
        body = {"user": with_user}
        self._call("unshare", "PATCH", _share_path(user, server), body=body, ok={200, 404}, repeatable=True)

    def active(self, page: int = 200) -> Iterator[list[Server]]:
        for users in self.users("active", page=page):
            yield [server for user in users for server in user.servers if not server.stopped]

    def progress(self, user: str, server: str) -> Iterator[Progress]:
        for wait in (*BACKOFF_SECONDS, None):
            try:
                yield from self._steps(user, server)
            except HubRefused as refusal:
                # For a moment after a start has failed the hub knows of no start and not yet of its failure.
                if wait is None or "is not starting" not in refusal.message:
                    raise
                self._sleep(wait)
            else:
                return

    def _steps(self, user: str, server: str) -> Iterator[Progress]:
        call = "progress"
        deadline = time.monotonic() + self._timeout.progress
        with self._stream(call, "GET", f"{_server_path(user, server)}/progress", "text/event-stream") as response:
            if response.status_code != 200:
                self._refuse(self._read(call, response, deadline))
            for line in response.iter_lines():
                if line.startswith("data:"):
                    step = _progress(line.removeprefix("data:"), call)
                    yield step
                    if step.ready or step.failed:
                        return
                if time.monotonic() > deadline:
                    raise HubUnreachable(call, f"no end of the start within {self._timeout.progress:g} s")
        raise HubUnreachable(call, "the stream ended before the start did")

    # Tokens

    def mint_token(self, user: str, scopes: Iterable[str], seconds: int, note: str = "") -> Token:
        """A new token of the user's; it can do no more than the user may."""
        body = {"scopes": list(scopes), "expires_in": seconds, "note": note}
        answer = self._call("mint token", "POST", f"{_user_path(user)}/tokens", body=body, ok={200, 201})
        found = _a_dict(answer)
        return Token(
            id=_text(found, "id", answer.call),
            secret=_text(found, "token", answer.call),
            scopes=_texts(found, "scopes", answer.call),
            expires_at=_moment(found, "expires_at", answer.call),
        )

    def revoke_token(self, user: str, token_id: str) -> None:
        """One that is gone already is fine. A running lab may believe it for five minutes more."""
        self._call("revoke token", "DELETE", f"{_user_path(user)}/tokens/{_quoted(token_id)}", ok={204, 404})

    # Groups

    def groups(self, page: int = 200) -> Iterator[list[str]]:
        for answer, items in self._pages("groups", "/groups", {}, page):
            yield [_text(_dict_in(item, answer.call), "name", answer.call) for item in items]

    def ensure_group(self, name: str) -> None:
        self._call("ensure group", "POST", f"/groups/{_quoted(name)}", ok={200, 201, 409}, repeatable=True)

    def delete_group(self, name: str) -> None:
        self._call("delete group", "DELETE", f"/groups/{_quoted(name)}", ok={204, 404})

    def add_to_group(self, name: str, users: Iterable[str]) -> None:
        body = {"users": list(users)}
        self._call("add to group", "POST", f"/groups/{_quoted(name)}/users", body=body, repeatable=True)

    def remove_from_group(self, name: str, users: Iterable[str]) -> None:
        self._call("remove from group", "DELETE", f"/groups/{_quoted(name)}/users", body={"users": list(users)})

    # How a call is made

    def _call(
        self,
        call: str,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        accept: str = "application/json",
        ok: Iterable[int] = (200, 201, 202, 204),
        repeatable: bool = False,
    ) -> Answer:
        """One call, repeated a little when that is safe: nothing was sent yet, or twice does what once does."""
        repeatable = repeatable or method in ("GET", "DELETE")
        for wait in (*BACKOFF_SECONDS, None):
            try:
                return self._once(call, method, path, body, query, accept, frozenset(ok))
            except HubBusy as busy:
                wait = None if wait is None else max(wait, busy.retry_after or 0.0)
                if wait is None or not repeatable or wait > LONGEST_WAIT_SECONDS:
                    raise
            except HubUnreachable as error:
                if wait is None or not (repeatable or isinstance(error.__cause__, NEVER_SENT)):
                    raise
            self._sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _once(
        self,
        call: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str] | None,
        accept: str,
        ok: frozenset[int],
    ) -> Answer:
        deadline = time.monotonic() + self._timeout.call
        with self._stream(call, method, path, accept, body=body, query=query) as response:
            answer = self._read(call, response, deadline)
        if answer.status not in ok:
            self._refuse(answer)
        return answer

    @contextmanager
    def _stream(
        self,
        call: str,
        method: str,
        path: str,
        accept: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Iterator[httpx.Response]:
        """The answer, not read yet. What httpx has to say against it becomes a HubError."""
        try:
            with self._http.stream(method, path, json=body, params=query, headers={"Accept": accept}) as response:
                yield response
        except httpx.TimeoutException as error:
            raise HubUnreachable(call, f"no answer in time ({type(error).__name__})") from error
        except httpx.HTTPError as error:
            raise HubUnreachable(call, self._clean(f"{type(error).__name__}: {error}")) from error

    def _read(self, call: str, response: httpx.Response, deadline: float) -> Answer:
        """The whole answer, unless it drips or swells."""
        body = bytearray()
        for piece in response.iter_bytes():
            body += piece
            if len(body) > LONGEST_ANSWER_BYTES:
                raise HubFault(call, f"the answer is longer than {LONGEST_ANSWER_BYTES} bytes", response.status_code)
            if time.monotonic() > deadline:
                raise HubUnreachable(call, f"no whole answer within {self._timeout.call:g} s", response.status_code)
        return Answer(call, response.status_code, response.headers, bytes(body))

    def _pages(self, call: str, path: str, query: Mapping[str, str], page: int) -> Iterator[tuple[Answer, list[Any]]]:
        offset = 0
        while True:
            asked = {**query, "offset": str(offset), "limit": str(page)}
            answer = self._call(call, "GET", path, query=asked, accept=PAGED)
            body = _a_dict(answer)
            items, paging = body.get("items"), body.get("_pagination")
            if not isinstance(items, list) or not isinstance(paging, dict):
                raise HubFault(call, "the answer is not a page of a list", answer.status)
            yield answer, items
            if not paging.get("next"):
                return
            following = _dict_in(paging["next"], call).get("offset")
            if not isinstance(following, int) or following <= offset:
                raise HubFault(call, "the next page does not lie behind this one", answer.status)
            offset = following

    def _refuse(self, answer: Answer) -> NoReturn:
        """Raise what the status means."""
        call, status, message = answer.call, answer.status, self._clean(answer.message())
        if status == 429:
            raise HubBusy(call, message, retry_after=_seconds(answer.headers.get("Retry-After")))
        if status in LATER:
            raise HubUnreachable(call, message, status)
        if 400 <= status < 500:
            raise HubRefused(call, message, status, _code(message))
        raise HubFault(call, message, status)

    def _clean(self, message: str) -> str:
        return message.replace(self._token, "[token]") if self._token else message


def _code(message: str) -> str:
    found = CODE.search(message)
    return found[1] if found else ""


def _quoted(name: str) -> str:
    if name in ("", ".", ".."):
        raise ValueError(f"{name!r} is no name on a hub")
    return quote(name, safe="")


def _user_path(name: str) -> str:
    return f"/users/{_quoted(name)}"


def _server_path(user: str, server: str) -> str:
    return f"{_user_path(user)}/servers/{_quoted(server)}"


def _share_path(user: str, server: str) -> str:
    return f"/shares/{_quoted(user)}/{_quoted(server)}"


def _displayable(name: str) -> str:
    """The hub refuses names with control characters, double spaces, or more than 255 letters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())[:255].strip()


def _seconds(retry_after: str | None) -> float | None:
    try:
        return max(0.0, float(retry_after)) if retry_after else None
    except ValueError:
        return None


# What the hub's JSON must look like


def _a_dict(answer: Answer) -> dict[str, Any]:
    return _dict_in(answer.json(), answer.call)


def _dict_in(value: Any, call: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise HubFault(call, "the answer is not an object where one is due")
    return value


def _text(body: Mapping[str, Any], key: str, call: str) -> str:
    if not isinstance(value := body.get(key), str):
        raise HubFault(call, f"the answer has no {key}")
    return value


def _texts(body: Mapping[str, Any], key: str, call: str) -> tuple[str, ...]:
    values = body.get(key) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise HubFault(call, f"{key} in the answer is not a list of texts")
    return tuple(values)


def _truth(body: Mapping[str, Any], key: str, call: str) -> bool:
    if not isinstance(value := body.get(key, False), bool):
        raise HubFault(call, f"{key} in the answer is neither true nor false")
    return value


def _moment(body: Mapping[str, Any], key: str, call: str) -> datetime | None:
    value = body.get(key)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise HubFault(call, f"{key} in the answer is no moment") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _server(body: Mapping[str, Any], user: str, call: str) -> Server:
    pending = body.get("pending")
    if pending == "check":
        raise HubUnreachable(call, "the hub has just started and still looks whether this server runs")
    if pending not in (None, "spawn", "stop", "rename"):
        raise HubFault(call, "pending in the answer is no word we know")
    if "ready" not in body:
        raise HubFault(call, "the answer has no ready")
    ready = _truth(body, "ready", call)
    return Server(
        user=user,
        name=_text(body, "name", call),
        ready=ready,
        pending=pending if pending in ("spawn", "stop") else None,
        stopped=_truth(body, "stopped", call),
        url=_text(body, "url", call),
        full_url=body.get("full_url") or "",
        progress_url=body.get("progress_url") or "",
        started_at=_moment(body, "started", call),
        last_activity_at=_moment(body, "last_activity", call),
    )


def _user(body: Mapping[str, Any], call: str) -> User:
    name = _text(body, "name", call)
    servers = _dict_in(body.get("servers", {}), call)
    return User(
        name=name,
        admin=_truth(body, "admin", call),
        groups=_texts(body, "groups", call),
        servers=tuple(_server(_dict_in(server, call), name, call) for server in servers.values()),
        last_activity_at=_moment(body, "last_activity", call),
    )


def _progress(data: str, call: str) -> Progress:
    try:
        body = _dict_in(json.loads(data), call)
    except ValueError as error:
        raise HubFault(call, "an event of the stream is not JSON") from error
    percent = body.get("progress", 0)
    if isinstance(percent, bool) or not isinstance(percent, int | float):
        raise HubFault(call, "progress in an event is no number")
    return Progress(
        message=str(body.get("message", ""))[:LONGEST_MESSAGE],
        percent=max(0, min(100, int(percent))),
        ready=_truth(body, "ready", call),
        failed=_truth(body, "failed", call),
    )
