"""How statements read: months, flows and decisions in the reader's language, for pages, tables and PDF alike."""

from collections import Counter
from datetime import datetime
from typing import Any

from flask_babel import format_date
from flask_babel import lazy_gettext as _

from app.locale import language
from labs.months import Month
from labs.queries.sheets import Sheet
from labs.statements import comes_in

FLOWS = {
    "granted": _("New grants"),
    "received": _("Received from other budgets"),
    "pulled_in": _("Pulled back from budgets below"),
    "passed_on": _("Passed on to other budgets"),
    "pulled_out": _("Pulled back by the budget above"),
    "used": _("Used"),
    "corrected": _("Given back by corrections"),
    "expired": _("Expired"),
}
GOES = frozenset({"passed_on", "pulled_out", "used", "expired"})  # what makes a balance smaller
DECISIONS = {
    "grant": _("Grant"),
    "transfer": _("Transfer"),
    "pull-back": _("Pull-back"),
    "correct": _("Correction"),
    "expire": _("Expiry"),
}


def month_text(month: Month) -> str:
    return str(format_date(month.first_day, "MMMM y" if language() == "en" else "y年M月"))


def hours_text(seconds: int) -> str:
    """Seconds as hours and minutes, 7:05; what is less than a minute is not dropped from sums, only from sight."""
    return f"{seconds // 3600:,}:{seconds % 3600 // 60:02d}"


def signed_flows(totals: dict[str, int]) -> list[tuple[str, int]]:
    """The flows that there were, with the sign with which they change the balance."""
    return [(str(FLOWS[name]), -totals[name] if name in GOES else totals[name]) for name in FLOWS if totals[name]]


def event_net(event: dict[str, Any]) -> int:
    """How much a decision is about: what was given, moved, given back, or (negative) taken by the clock."""
    if event["command"] == "correct":
        used: int = sum(amount for _budget, account, amount in event["lines"] if account == "used")
        return -used
    amounts: Counter[int] = Counter()
    for budget, account, amount in event["lines"]:
        amounts[budget] += comes_in(account, amount)
    return sum(amounts.values()) or max(amounts.values(), default=0)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def page_title(sheet: Sheet) -> str:
    return str(_("Statement for %(month)s", month=month_text(sheet.month)))
