"""Which account of the cluster a person's labs run as: always the same one, and nobody else's.

Given out from the list of the center's settings, at the first lab, and kept in a file of the hub's.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path


class NoAccountLeft(Exception):
    """Every account of the list is somebody's."""


class Accounts:
    """The hub runs in one thread and asks from there only."""

    def __init__(self, file: Path, names: Sequence[str]) -> None:
        self._file = file
        self._names = names
        self._given: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}

    def of(self, user: str) -> str:
        """Raises `NoAccountLeft`."""
        if user not in self._given:
            self._give(user)
        return self._given[user]

    def _give(self, user: str) -> None:
        taken = set(self._given.values())
        free = next((name for name in self._names if name not in taken), None)
        if free is None:
            raise NoAccountLeft
        given = {**self._given, user: free}
        draft = self._file.with_name(self._file.name + ".part")
        with open(draft, "w") as file:
            json.dump(given, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._file)
        self._given = given
