"""Puts into words why a promise was not given, with the numbers that decided it."""

from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _

from app.locale import credits_text
from labs.errors import (
    BudgetExhausted,
    BudgetOverrun,
    LaunchRefused,
    MemberCapExhausted,
    NotEnrolled,
    TrancheEndsBeforeLease,
)
from labs.ledger.promise import Denied, Obstacle


def refusal(budget_id: UUID, denied: Denied) -> LaunchRefused:
    match denied.obstacle:
        case Obstacle.STRANGER:
            return NotEnrolled(layer={"name": "membership", "budget_id": str(budget_id)})
        case Obstacle.CAP:
            return _cap(denied)
        case Obstacle.OVERRUN:
            return BudgetOverrun(layer=_budget(denied))
        case Obstacle.PURSE:
            text = _("%(asked)s credits are needed, %(left)s are left in the budget.", **_said(denied, denied.left))
            return BudgetExhausted(text, layer=_budget(denied) | {"left": denied.left})
        case Obstacle.VALIDITY:
            return TrancheEndsBeforeLease(
                _(
                    "There are enough credits, but they are valid for %(minutes)s minutes of that time only.",
                    minutes=denied.fits_seconds // 60,
                ),
                layer=_budget(denied) | {"name": "tranche", "left": denied.left},
                minutes=denied.fits_seconds // 60,
                seconds=denied.fits_seconds,
            )


def _cap(denied: Denied) -> MemberCapExhausted:
    cap = denied.cap
    assert cap is not None
    assert cap.limit is not None
    return MemberCapExhausted(
        _("%(asked)s credits are needed, %(left)s of your share are left.", **_said(denied, cap.left or 0)),
        layer=_layer("member-cap", limit=cap.limit, posted=cap.used, held=cap.held, asked=denied.asked),
    )


def _budget(denied: Denied) -> dict[str, Any]:
    purse = denied.purse
    assert purse is not None
    return _layer("budget", limit=purse.total, posted=purse.used, held=purse.held, asked=denied.asked)


def _layer(name: str, **numbers: int) -> dict[str, Any]:
    left = max(0, numbers["limit"] - numbers["posted"] - numbers["held"])
    return {"name": name, **numbers, "left": left, "unit": "micro-credits"}


def _said(denied: Denied, left: int) -> dict[str, str]:
    return {"asked": credits_text(denied.asked), "left": credits_text(left)}
