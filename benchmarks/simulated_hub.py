"""A hub that runs nothing: answers over HTTP as JupyterHub 6 does, in pages and in its JSON, for so many servers.

python -m benchmarks.simulated_hub 10000        prints its address; GET /calls says what it was asked
"""

import json
import sys
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

STARTED = "2026-11-25T08:00:00.000000Z"
LONGEST_PAGE = 200  # JupyterHub's api_page_max_limit


def user_of(number: int) -> str:
    return UUID(int=(1 << 100) + number).hex


def server_of(number: int) -> str:
    return f"lab-{UUID(int=(2 << 100) + number).hex}"


def model(number: int) -> dict[str, Any]:
    """A user with one running server, as the hub's `user_model` has it."""
    user, server = user_of(number), server_of(number)
    url = f"/user/{user}/{server}/"
    return {
        "kind": "user",
        "name": user,
        "admin": False,
        "roles": ["user"],
        "groups": [],
        "created": STARTED,
        "last_activity": STARTED,
        "pending": None,
        "server": None,
        "servers": {
            server: {
                "name": server,
                "full_name": f"{user}/{server}",
                "display_name": "Deep learning, first steps",
                "last_activity": STARTED,
                "started": STARTED,
                "pending": None,
                "ready": True,
                "stopped": False,
                "url": url,
                "full_url": f"http://localhost:8700{url}",
                "user_options": {"session": server.removeprefix("lab-")},
                "progress_url": f"/hub/api/users/{user}/servers/{server}/progress",
                "full_progress_url": f"http://localhost:8700/hub/api/users/{user}/servers/{server}/progress",
                "state": {},
            }
        },
    }


def handler(servers: int) -> type[BaseHTTPRequestHandler]:
    users = [json.dumps(model(number)) for number in range(servers)]
    calls: Counter[str] = Counter()

    class Hub(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            if asked.path == "/calls":
                self._answer(200, json.dumps(calls))
                return
            calls[asked.path] += 1
            if asked.path == "/hub/api/users":
                self._page(parse_qs(asked.query))
            else:
                self._answer(404, '{"status": 404, "message": "Not Found"}')

        def _page(self, query: dict[str, list[str]]) -> None:
            offset, limit = int(query["offset"][0]), min(int(query["limit"][0]), LONGEST_PAGE)
            shown = users[offset : offset + limit]
            following = None
            if offset + limit < len(users):
                following = {"offset": offset + limit, "limit": limit, "url": ""}
            paging = {"offset": offset, "limit": limit, "total": len(users), "next": following}
            self._answer(200, f'{{"items": [{",".join(shown)}], "_pagination": {json.dumps(paging)}}}')

        def _answer(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/jupyterhub-pagination+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        log_message: Callable[..., None] = staticmethod(lambda *_: None)

    return Hub


def main(servers: int) -> None:
    hub = ThreadingHTTPServer(("127.0.0.1", 0), handler(servers))
    print(f"http://127.0.0.1:{hub.server_port}", flush=True)
    hub.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
