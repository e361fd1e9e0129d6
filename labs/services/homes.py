"""Home folders of erased people. The platform does not reach them: who runs a center deletes them and says so."""

from sqlalchemy import select

from app import audit, clock
from app.access import Actor, require
from app.db import db
from app.errors import NotFound
from labs import policy
from labs.models import HomeRemoval


def waiting(actor: Actor) -> list[HomeRemoval]:
    """Those that are still to be deleted, the longest waiting first."""
    require(policy.may_operate(actor))
    return list(
        db.session.scalars(select(HomeRemoval).where(HomeRemoval.removed_at.is_(None)).order_by(HomeRemoval.id))
    )


def mark_removed(actor: Actor, hub_name: str) -> None:
    """The folder is gone, from every center."""
    require(policy.may_operate(actor))
    row = db.session.scalar(select(HomeRemoval).where(HomeRemoval.hub_name == hub_name).with_for_update())
    if row is None:
        raise NotFound
    if row.removed_at is None:
        row.removed_at = clock.now()
        audit.record(actor, "home.remove", row)
