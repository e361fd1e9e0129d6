"""Service tokens that were read a moment ago, for requests that come by the thousand.

Who uses one of these has not asked the database whether it still holds: the transaction of the work must, with
`question` among its own, and do nothing for a token that is not in the answer. So a revoked token ends at once, and
costs no round trip of its own.
"""

import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts.models import fingerprint
from accounts.queries import Visitor
from app.statements import Question

SECONDS = 30.0  # then it is read again: names and the like may have changed, and its use is to be written down
MOST = 10_000

_seen: dict[str, tuple[float, Visitor]] = {}
_VALID = Question(
    """
    SELECT id FROM service_token
    WHERE id = ANY(CAST(:ids AS uuid[])) AND revoked_at IS NULL AND expires_at > CAST(:now AS timestamptz)
    """
)


class Stale(Exception):
    """What was remembered of this token holds no more. Nothing was done; ask again in the usual way."""


def remember(secret: str, visitor: Visitor) -> None:
    if len(_seen) >= MOST:
        _seen.clear()
    _seen[fingerprint(secret)] = time.monotonic() + SECONDS, visitor


def recall(secret: str) -> Visitor | None:
    """For whom the token spoke less than `SECONDS` ago."""
    until, visitor = _seen.get(fingerprint(secret), (0.0, None))
    return visitor if time.monotonic() < until else None


def forget(secret: str) -> None:
    _seen.pop(fingerprint(secret), None)


def question(token_ids: Iterable[UUID], now: datetime) -> tuple[Question, dict[str, Any]]:
    """Ask which of these hold at this moment; the answer has a row with the id for each."""
    return _VALID, {"ids": sorted(set(token_ids)), "now": now}
