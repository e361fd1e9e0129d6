"""Rates: what the flavors cost, now and from a day in the future on. A rate is only ever added."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from flask_babel import lazy_gettext as _
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on

from app import audit, clock
from app.access import Actor, require
from app.db import db
from app.errors import Conflict, Invalid
from labs import policy, queries
from labs.models import Flavor, Rate
from labs.tariff import Band


class RateInThePast(Conflict):
    code = "rate-in-the-past"
    title = _("A rate cannot begin in the past")
    advice = _("What was promised at the old rate stays as it is. Let the new one begin now or later.")


class RateTaken(Conflict):
    code = "rate-taken"
    title = _("Another rate begins at that very moment")
    advice = _("Rates are never changed. Let yours begin a minute later.")


class BandsOverlap(Invalid):
    code = "bands-overlap"
    title = _("Two bands of this rate lie on the same hours")
    advice = _("An hour has one price: let one band end where the next begins.")


def set_rate(
    actor: Actor, flavor_id: UUID, valid_from: datetime | None, price_micro: int, bands: list[dict[str, Any]]
) -> Rate:
    """Let a flavor cost this much from that moment on (now, where none is said); never from a moment in the past.

    What is held already keeps the rate it was promised under.
    """
    require(policy.may_operate(actor))
    flavor, now = queries.flavor(flavor_id), clock.now()
    if valid_from is not None and valid_from < now:
        raise RateInThePast(valid_from=valid_from, now=now)
    _check_bands(bands)
    begins = valid_from or now
    if db.session.scalar(select(Rate.id).where(Rate.flavor_id == flavor_id, Rate.valid_from == begins)):
        raise RateTaken(valid_from=begins)
    rate = Rate(flavor_id=flavor_id, valid_from=begins, price_micro=price_micro, bands=bands)
    db.session.add(rate)
    db.session.flush()
    audit.record(actor, "flavor.rate", flavor, valid_from=begins, price_micro=price_micro, bands=bands)
    apply()
    db.session.refresh(flavor)
    return rate


def apply() -> int:
    """Let the price that flavors show follow the rate in force; return how many changed."""
    in_force = (
        select(Rate.flavor_id, Rate.price_micro)
        .where(Rate.valid_from <= clock.now())
        .order_by(Rate.flavor_id, Rate.valid_from.desc())
        .ext(distinct_on(Rate.flavor_id))
        .subquery()
    )
    changed = db.session.scalars(
        sa.update(Flavor)
        .where(Flavor.id == in_force.c.flavor_id, Flavor.price_micro != in_force.c.price_micro)
        .values(price_micro=in_force.c.price_micro)
        .returning(Flavor.id)
        .execution_options(synchronize_session=False)
    )
    return len(changed.all())


def _check_bands(bands: list[dict[str, Any]]) -> None:
    known = [Band.of(row) for row in bands]
    for number, band in enumerate(known):
        if not (band.days and band.days <= set(range(1, 8)) and 0 <= band.begins < band.ends <= 24 * 60):
            raise Invalid(_("A band needs days from 1 to 7, and has to end after it begins."), bands=bands)
        for other in known[:number]:
            if band.days & other.days and band.begins < other.ends and other.begins < band.ends:
                raise BandsOverlap(bands=bands)
