"""Before a lab ends, the browsers that look at it are asked to save: once, and for three seconds at the most."""

import asyncio
from pathlib import Path
from typing import Any

from tornado.httpclient import HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from deploy.hub import rooms

SECONDS_TO_SAVE = 3.0
LONGEST_ANSWER_BYTES = 1 << 16


class SavingSpawner:
    """What every kind of spawner shares whose labs have a room; beside one of JupyterHub's own."""

    server: Any
    api_token: str
    log: Any
    _log_name: str
    _was_asked_to_save = False

    @property
    def room(self) -> Path:
        """The folder that the lab shares with the hub."""
        raise NotImplementedError

    @property
    def uid(self) -> int:
        """Whose files are the lab's own."""
        raise NotImplementedError

    def may_be_asked(self) -> bool:
        """Whether there is a server that could still save something."""
        raise NotImplementedError

    async def save_documents(self) -> None:
        """Asked by the proxy while the lab can still be reached, see `proxies.py`. What the lab answers matters not."""
        if self._was_asked_to_save or self.server is None or not self.may_be_asked():
            return
        self._was_asked_to_save = True
        activity = await asyncio.to_thread(rooms.read_activity, self.room, self.uid)
        if activity is None or not activity.browsers:
            return
        client = SimpleAsyncHTTPClient(force_instance=True, max_body_size=LONGEST_ANSWER_BYTES)
        request = HTTPRequest(
            f"http://{self.server.ip}:{self.server.port}{self.server.base_url}chancai/save",
            method="POST",
            headers={"Authorization": f"token {self.api_token}", "Content-Type": "application/json"},
            body="{}",
            follow_redirects=False,
            request_timeout=SECONDS_TO_SAVE,
        )
        try:
            async with asyncio.timeout(SECONDS_TO_SAVE):
                answer = await client.fetch(request)
            self.log.info("%s has saved: %s", self._log_name, ascii(answer.body[:100].decode("utf-8", "replace")))
        except Exception as error:  # a lab may answer anything, or nothing
            self.log.warning("%s did not save before its end: %s", self._log_name, type(error).__name__)
        finally:
            client.close()
