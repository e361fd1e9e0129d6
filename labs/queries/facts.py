"""The numbers behind a decision: what a person, a budget and a center had at that moment."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select

from app import clock
from app.db import db
from labs.models import LIVE_STATES, Budget, Flavor, HomeUsage, LabSession, MemberCap, Tranche
from labs.queries.places import load

MINUTE = timedelta(minutes=1)


def starts_since(person_id: UUID, since: datetime) -> list[datetime]:
    """When this person's labs of late were asked for, the earliest first."""
    return list(
        db.session.scalars(
            select(LabSession.created_at)
            .where(LabSession.person_id == person_id, LabSession.created_at > since)
            .order_by(LabSession.created_at)
        )
    )


def numbers(person_id: UUID, flavor: Flavor | None, budget: Budget | None, cap: MemberCap | None) -> dict[str, Any]:
    """As plain data, to be kept with the decision: of the budget and the cap as they were just read. What does not
    exist is left out."""
    known: dict[str, Any] = {"person": _person(person_id)}
    if budget is not None:
        known |= _budget(budget, cap)
    if flavor is not None:
        known |= center_numbers(flavor, person_id)
    return known


def _person(person_id: UUID) -> dict[str, Any]:
    lately = LabSession.created_at > clock.now() - MINUTE
    live, started = db.session.execute(
        select(func.count().filter(LabSession.state.in_(LIVE_STATES)), func.count().filter(lately)).where(
            LabSession.person_id == person_id, or_(LabSession.state.in_(LIVE_STATES), lately)
        )
    ).one()
    return {"labs": live, "labs_in_the_last_minute": started}


def _budget(budget: Budget, cap: MemberCap | None) -> dict[str, Any]:
    now, purse = clock.now(), budget.purse
    tranches = db.session.execute(
        select(Tranche.valid_until, func.sum(Tranche.remaining))
        .where(
            Tranche.budget_id == budget.id,
            Tranche.valid_from <= now,
            Tranche.valid_until > now,
            Tranche.remaining > 0,
        )
        .group_by(Tranche.valid_until)
        .order_by(Tranche.valid_until)
        .limit(20)
    )
    return {
        "share": cap
        and {
            "limit_micro": cap.cap_micro,
            "held_micro": cap.held,
            "used_micro": cap.used,
            "left_micro": cap.left,
            "is_open": cap.is_open,
        },
        "budget": {
            "title_zh": budget.title_zh,
            "title_en": budget.title_en,
            "available_micro": purse.available,
            "held_micro": purse.held,
            "used_micro": purse.used,
            "overrun_micro": purse.overrun,
            "starts_at": budget.starts_at.isoformat(),
            "ends_at": budget.ends_at.isoformat(),
        },
        "valid": [{"until_at": until.isoformat(), "micro": int(micro)} for until, micro in tranches],
    }


def center_numbers(flavor: Flavor, person_id: UUID) -> dict[str, Any]:
    """What a flavor costs, how full its center is, and how full the person's home there."""
    center, seen = flavor.center, load(flavor.center_id)
    home = db.session.get(HomeUsage, (person_id, center.id))
    facts: dict[str, Any] = {
        "flavor": {
            "slug": flavor.slug,
            "title_zh": flavor.title_zh,
            "title_en": flavor.title_en,
            "price_micro": flavor.price_micro,
            "longest_minutes": flavor.longest_minutes,
        },
        "center": {
            "slug": center.slug,
            "title_zh": center.title_zh,
            "title_en": center.title_en,
            "state": str(center.state),
            "unreachable_since": center.unreachable_since and center.unreachable_since.isoformat(),
            "places_taken": seen.taken,
            "places": seen.limit,
            "line": seen.waiting,
        },
    }
    if home is not None:
        facts["home"] = {"bytes": home.size_bytes, "quota_mb": center.home_quota_mb}
    return facts
