"""What a person's browser does with a lab, without the browser: pages, the lab's API, code in a kernel."""

import json
import uuid
from contextlib import closing
from typing import Any

import httpx
import websocket


class Browser(httpx.Client):
    """Somebody who has signed in on the platform. Keeps cookies by their path, as a browser does."""

    def __init__(self, hub: str, person: str) -> None:
        cookies = httpx.Cookies()
        cookies.set("person", person, domain="127.0.0.1")
        super().__init__(cookies=cookies, follow_redirects=True, timeout=30, trust_env=False)
        self.hub = hub
        self.person = person

    def open(self, lab: str) -> httpx.Response:
        return self.get(f"{lab}lab")

    def xsrf(self, path: str) -> str:
        """The token that goes with what is asked under this path."""
        found = {cookie.path: cookie.value for cookie in self.cookies.jar if cookie.name == "_xsrf"}
        return found.get(path) or ""

    def ask(self, method: str, url: str, **more: Any) -> httpx.Response:
        """A request as a page's own script sends it."""
        path = httpx.URL(url).path
        prefix = "/hub/" if path.startswith("/hub/") else "/".join(path.split("/")[:4]) + "/"
        headers = {"X-XSRFToken": self.xsrf(prefix), "Referer": f"{self.hub}/hub/home", "Accept": "application/json"}
        return self.request(method, url, headers={**headers, **more.pop("headers", {})}, **more)

    def run(self, lab: str, code: str) -> str:
        """What the code prints, or the error it ends with."""
        answer = self.ask("POST", f"{lab}api/kernels", json={"name": "python3"})
        answer.raise_for_status()
        kernel = answer.json()["id"]
        try:
            return self.run_in(lab, kernel, code)
        finally:
            self.ask("DELETE", f"{lab}api/kernels/{kernel}")

    def run_in(self, lab: str, kernel: str, code: str) -> str:
        with closing(self.channels(lab, kernel)) as channels:
            asked = execute(code)
            channels.send(json.dumps(asked))
            said = ""
            while True:
                heard = json.loads(channels.recv())
                if heard["parent_header"].get("msg_id") != asked["header"]["msg_id"]:
                    continue
                content = heard["content"]
                if heard["msg_type"] == "stream":
                    said += content["text"]
                elif heard["msg_type"] == "error":
                    said += f"{content['ename']}: {content['evalue']}"
                elif heard["msg_type"] == "status" and content["execution_state"] == "idle":
                    return said.strip()

    def channels(
        self, lab: str, kernel: str, subprotocols: list[str] | None = None, path: str = ""
    ) -> websocket.WebSocket:
        """The kernel's websocket, or the one at a path. It speaks text unless a sub-protocol is asked for."""
        prefix = httpx.URL(lab).path
        cookie = "; ".join(f"{one.name}={one.value}" for one in self.cookies.jar if prefix.startswith(one.path))
        return websocket.create_connection(
            f"{lab.replace('http', 'ws', 1)}{path or f'api/kernels/{kernel}/channels'}",
            cookie=cookie,
            origin=self.hub,
            timeout=30,
            subprotocols=subprotocols,
        )


def execute(code: str) -> dict[str, Any]:
    header = {"msg_id": uuid.uuid4().hex, "username": "", "session": uuid.uuid4().hex, "version": "5.3"}
    options = {"silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
    return {
        "header": {**header, "msg_type": "execute_request"},
        "parent_header": {},
        "metadata": {},
        "channel": "shell",
        "buffers": [],
        "content": {"code": code, **options},
    }
