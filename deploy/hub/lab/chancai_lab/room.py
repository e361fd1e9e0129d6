"""The folder that a lab shares with its hub: the lab writes `activity.json`, the hub writes `news.json`."""

import contextlib
import json
import os
from typing import Any

ACTIVITY, NEWS = "activity.json", "news.json"
LONGEST_NEWS_BYTES = 1 << 16


class Room:
    def __init__(self, folder: str) -> None:
        self._folder = folder

    def write_activity(self, activity: dict[str, Any]) -> None:
        """Put it there whole or not at all. A disk that is full only means that the hub hears nothing new."""
        draft = os.path.join(self._folder, f".{ACTIVITY}.part")
        with contextlib.suppress(OSError):
            with open(draft, "w", encoding="utf-8") as file:
                json.dump(activity, file)
            os.replace(draft, os.path.join(self._folder, ACTIVITY))

    def news_version(self) -> int:
        """Changes with every news; 0 while there is none."""
        try:
            return os.stat(os.path.join(self._folder, NEWS)).st_mtime_ns
        except OSError:
            return 0

    def news(self) -> dict[str, Any]:
        try:
            with open(os.path.join(self._folder, NEWS), encoding="utf-8") as file:
                found = json.loads(file.read(LONGEST_NEWS_BYTES))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}
