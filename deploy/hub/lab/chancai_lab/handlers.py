"""What a lab's browsers, and its hub, ask of this extension: the news, a click on "Keep running", saving."""

import asyncio
import json
import os
import re
from datetime import UTC, datetime
from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

from . import guests
from .browsers import Browsers
from .measuring import Measuring

SECONDS_TO_WAIT = 25.0
LONGEST_KEEP_ALIVE_MINUTES = 24 * 60
WORD = re.compile(r"[A-Za-z0-9-]{1,64}")


def add(server: Any, browsers: Browsers, measuring: Measuring) -> None:
    """Serve them below the lab's own address."""
    parts = {"browsers": browsers, "measuring": measuring}
    server.web_app.add_handlers(
        ".*$",
        [
            (url_path_join(server.web_app.settings["base_url"], "chancai", path), handler, parts)
            for path, handler in (("news", News), ("keep-alive", KeepAlive), ("saved", Saved), ("save", Save))
        ],
    )


class Handler(APIHandler):
    def initialize(self, browsers: Browsers, measuring: Measuring) -> None:
        self.browsers = browsers
        self.measuring = measuring

    def word(self, value: Any) -> str:
        if not isinstance(value, str) or not WORD.fullmatch(value):
            raise web.HTTPError(400, "a word of letters and digits is missing")
        return value

    def body(self) -> dict[str, Any]:
        body = self.get_json_body()
        if not isinstance(body, dict):
            raise web.HTTPError(400, "the body is not an object")
        return body


class News(Handler):
    """A long poll: answers when there is something new, or after a while."""

    waiting: "asyncio.Task[None] | None" = None

    @web.authenticated
    async def get(self) -> None:
        browser = self.word(self.get_argument("browser"))
        is_guest = guests.is_guest(self.current_user)
        if not is_guest:
            self.browsers.arrive(browser)
        try:
            self.waiting = asyncio.ensure_future(
                self.browsers.wait_for_other_than(
                    self.get_argument("told", ""), SECONDS_TO_WAIT if self.get_argument("wait", "1") == "1" else 0
                )
            )
            await asyncio.wait([self.waiting])
        finally:
            if not is_guest:
                self.browsers.leave(browser)
        if not self.waiting.cancelled():
            self.finish(json.dumps(self.answer(is_guest)))

    def on_connection_close(self) -> None:
        """The browser has gone; so it is not connected any more."""
        if self.waiting:
            self.waiting.cancel()

    def answer(self, is_guest: bool) -> dict[str, Any]:
        news, browsers = self.browsers.news, self.browsers
        session = os.environ.get("CHANCAI_SESSION", "")
        common = {
            "told": browsers.told,
            "now": datetime.now(UTC).isoformat(),
            "language": os.environ.get("LANGUAGE", "en"),
            "is_guest": is_guest,
            "owner": news.get("owner") or "",
        }
        if is_guest:
            return common | {"notices": [], "save": None}
        return common | {
            "lease_ends_at": news.get("lease_ends_at") or os.environ.get("CHANCAI_LEASE_ENDS_AT") or None,
            "keep_alive_until": news.get("keep_alive_until"),
            "notices": news.get("notices") or [],
            "page": f"{os.environ.get('CHANCAI_URL', '')}/labs/{session}",
            "save": browsers.to_save,
        }


class KeepAlive(Handler):
    @web.authenticated
    def post(self) -> None:
        """The person wants the lab to stay although it looks idle. How long it may is for the platform to say."""
        minutes = self.body().get("minutes", 60)
        if isinstance(minutes, bool) or not isinstance(minutes, int) or not 0 < minutes <= LONGEST_KEEP_ALIVE_MINUTES:
            raise web.HTTPError(400, "minutes must be between 1 and 1440")
        self.measuring.keep_running(minutes)
        self.set_status(202)
        self.finish("{}")


class Saved(Handler):
    @web.authenticated
    def post(self) -> None:
        """A page has saved all of its documents."""
        body = self.body()
        self.browsers.saved(self.word(body.get("save")), self.word(body.get("browser")))
        self.set_status(204)
        self.finish()


class Save(Handler):
    @web.authenticated
    async def post(self) -> None:
        """The hub is about to stop the lab: have everything saved, as far as that is quick."""
        saved, asked = await self.browsers.save_all(os.urandom(8).hex())
        self.finish(json.dumps({"saved": saved, "of": asked}))
