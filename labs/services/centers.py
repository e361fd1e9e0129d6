"""Centers and flavors: register them, open and close them, and remember whether their hubs answer."""

from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import select, update

from app import audit, clock
from app.access import Actor, require
from app.db import db
from app.errors import Conflict
from labs import policy, queries
from labs.models import Center, CenterState, Flavor, Rate


class SlugTaken(Conflict):
    code = "slug-taken"
    title = _("Something else has this short name already")


def register(actor: Actor, *, slug: str, partner_id: UUID, title_zh: str, title_en: str, session_limit: int) -> Center:
    require(policy.may_operate(actor))
    if db.session.scalar(select(Center.id).where(Center.slug == slug)):
        raise SlugTaken(slug=slug)
    center = Center(slug=slug, partner_id=partner_id, title_zh=title_zh, title_en=title_en, session_limit=session_limit)
    db.session.add(center)
    db.session.flush()
    audit.record(actor, "center.register", center, slug=slug, session_limit=session_limit)
    return center


def add_flavor(actor: Actor, center: Center, **values: Any) -> Flavor:
    """Offer a size at a center: slug, titles, cores, memory_mb, price_micro (its first rate), and what else it has."""
    require(policy.may_operate(actor))
    flavor = Flavor(center_id=center.id, **values)
    db.session.add(flavor)
    db.session.flush()
    db.session.add(Rate(flavor_id=flavor.id, valid_from=clock.now(), price_micro=flavor.price_micro, bands=[]))
    audit.record(actor, "flavor.add", flavor, slug=flavor.slug, price_micro=flavor.price_micro)
    return flavor


def set_state(actor: Actor, slug: str, state: CenterState) -> Center:
    """Say what is wanted of a center: take new labs, let them run out, or none at all."""
    require(policy.may_operate(actor))
    center = queries.center(slug, lock=True)
    if center.state is not state:
        audit.record(actor, "center.state", center, state=(center.state, state))
        center.state = state
    return center


def reached(center_id: UUID) -> None:
    """The hub answered. Called by the reconciler only."""
    now = clock.now()
    db.session.execute(update(Center).where(Center.id == center_id).values(unreachable_since=None, reached_at=now))


def lost(center_id: UUID) -> None:
    """The hub did not answer. The first time counts. Called by the reconciler only."""
    db.session.execute(
        update(Center)
        .where(Center.id == center_id, Center.unreachable_since.is_(None))
        .values(unreachable_since=clock.now())
    )
