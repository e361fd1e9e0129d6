"""What people type into the forms of budgets: amounts of credits, days, choices."""

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from flask import request
from flask_babel import gettext as _

from app.errors import Invalid
from app.locale import MICRO, choose_zone, zone

AMOUNT = re.compile(r"(?:[0-9]{1,10}|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.[0-9]{1,6})?")
MOST = 10**15  # micro-credits
Choice = TypeVar("Choice", bound=StrEnum)


class Typed(dict[str, str]):
    """What was typed, to fill the form again; what is missing is empty."""

    def __missing__(self, name: str) -> str:
        return ""


def typed() -> Typed:
    """The form that was sent, or what the address says."""
    return Typed((request.form if request.method == "POST" else request.args).to_dict())


def micro(text: str) -> int:
    """Credits as people write them, 1500 or 1,500.25, in micro-credits. What could mean two things is refused."""
    text = text.strip()
    if not AMOUNT.fullmatch(text):
        raise Invalid(_("“%(text)s” is not an amount of credits.", text=text[:20]))
    amount = int(Decimal(text.replace(",", "")) * MICRO)
    if amount > MOST:
        raise Invalid(_("The amount must be more than nothing, and no more than a billion credits."))
    return amount


def amount(name: str = "amount") -> int:
    """An amount that must be there and more than nothing."""
    found = micro(request.form.get(name, ""))
    if not found:
        raise Invalid(_("The amount must be more than nothing, and no more than a billion credits."))
    return found


def amount_or_none(name: str) -> int | None:
    """An amount, nothing included; an empty field is None."""
    text = request.form.get(name, "").strip()
    return micro(text) if text else None


def credits(micro_credits: int | None) -> str:
    """An amount as a form holds it."""
    if micro_credits is None:
        return ""
    return f"{Decimal(micro_credits) / MICRO:.6f}".rstrip("0").rstrip(".")


def first_moment(name: str) -> datetime:
    """When the day begins, where the reader is."""
    return datetime.combine(_day(name), time(), zone(choose_zone()))


def end_of(name: str, before: datetime | None = None) -> datetime:
    """When the day is over, where the reader is. If it is the day that was shown, the moment stays what it was."""
    day = _day(name)
    if before is not None and day == last_day(before):
        return before
    return datetime.combine(day + timedelta(days=1), time(), zone(choose_zone()))


def start_of(name: str, before: datetime) -> datetime:
    """When the day begins; if it is the day that was shown, the moment stays what it was."""
    return before if _day(name) == day_of(before) else first_moment(name)


def day_of(moment: datetime) -> date:
    return moment.astimezone(zone(choose_zone())).date()


def last_day(ends_at: datetime) -> date:
    """The last day of something that ends then."""
    return day_of(ends_at - timedelta(microseconds=1))


def chosen(kind: type[Choice], text: str | None) -> Choice | None:
    """One of several; anything else is none of them."""
    return kind(text) if text in set(kind) else None


def chosen_id(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


def _day(name: str) -> date:
    text = request.form.get(name, "").strip()
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise Invalid(_("“%(text)s” is not a day.", text=text[:20])) from None
    if not 2000 <= found.year <= 2200:
        raise Invalid(_("“%(text)s” is not a day.", text=text[:20]))
    return found
