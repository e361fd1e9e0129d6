"""What ran at a center and nobody is to pay: written off to the center's loss, never to a person."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select

from app.db import db
from labs import ledger
from labs.models import HOUR, Flavor, Hold, LabSession


def of_session(session: LabSession, from_at: datetime, until_at: datetime) -> int:
    """A session's server ran in [from_at, until_at) after its person had ceased to pay; micro-credits."""
    seconds = max(0, int((until_at - from_at).total_seconds()))
    return write_off(
        session.center_id, session.id, seconds, key=f"loss:{session.id.hex}", why=f"{session.server_name} ran on"
    )


def write_off(center_id: UUID, session_id: UUID | None, seconds: int, *, key: str, why: str) -> int:
    """Book so many seconds at the session's pinned price, or that of the center's cheapest paid size."""
    amount = _price_micro(center_id, session_id) * seconds // HOUR
    if amount:
        ledger.write_off(center_id, amount, why, key=key, session_id=session_id)
    return amount


def _price_micro(center_id: UUID, session_id: UUID | None) -> int:
    """Micro-credits an hour."""
    pinned = select(Hold.price_micro).join(LabSession, LabSession.hold_id == Hold.id)
    price = db.session.scalar(pinned.where(LabSession.id == session_id)) if session_id else None
    if price is not None:
        return price
    cheapest = select(func.min(Flavor.price_micro)).where(Flavor.center_id == center_id, Flavor.price_micro > 0)
    return db.session.scalar(cheapest) or 0
