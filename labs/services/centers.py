"""Centers and flavors: register them, open and close them, and remember whether their hubs answer."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import select, update

from accounts.services import notices
from app import audit, clock
from app.access import Actor, require
from app.db import db
from app.errors import Conflict
from labs import policy, queries
from labs.models import Center, CenterState, Flavor, Rate
from labs.services import idle, operators, regions

TELL_AFTER = timedelta(seconds=60)  # without an answer

notices.describe(
    "center-unreachable",
    _("%(center)s does not answer"),
    _("Its hub has not answered since %(since_at)s. What runs there goes on, and nothing new starts until it does."),
    label=_("A center does not answer"),
)


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


def set_idle_minutes(actor: Actor, slug: str, minutes: int) -> Center:
    """Say after how many minutes without work labs of a center are stopped, where their template says nothing else."""
    require(policy.may_operate(actor))
    idle.check_minutes(minutes)
    center = queries.center(slug, lock=True)
    if center.idle_minutes != minutes:
        audit.record(actor, "center.idle", center, idle_minutes=(center.idle_minutes, minutes))
        center.idle_minutes = minutes
    return center


def set_region(actor: Actor, slug: str, region: str | None) -> Center:
    """Say in which region the disks of a center stand; None: not said, and no lab that asks for a region runs there."""
    require(policy.may_operate(actor))
    center, region = queries.center(slug, lock=True), regions.checked(region)
    if center.region != region:
        audit.record(actor, "center.region", center, region=(center.region, region))
        center.region = region
    return center


def reached(center_id: UUID) -> None:
    """The hub answered. Called by the reconciler only."""
    values = {"unreachable_since": None, "told_unreachable_at": None, "reached_at": clock.now()}
    db.session.execute(update(Center).where(Center.id == center_id).values(**values))


def lost(center_id: UUID) -> None:
    """The hub did not answer. The first time counts; after a minute operators hear of it, once. Called by the
    reconciler only."""
    now = clock.now()
    center = db.session.get_one(Center, center_id, with_for_update={"of": Center}, populate_existing=True)
    center.unreachable_since = center.unreachable_since or now
    if center.told_unreachable_at is None and now - center.unreachable_since >= TELL_AFTER:
        center.told_unreachable_at = now
        operators.tell(
            "center-unreachable",
            f"{center.id}:unreachable:{center.unreachable_since.isoformat()}",
            url="/operations",
            center_zh=center.title_zh,
            center_en=center.title_en,
            since_at=center.unreachable_since,
        )
