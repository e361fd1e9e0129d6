"""How statements read: months, flows and decisions in the reader's language, for pages, tables and PDF alike."""

from datetime import datetime

from flask_babel import format_date
from flask_babel import lazy_gettext as _

from app.locale import language
from labs.months import Month
from labs.queries.sheets import Sheet

FLOWS = {
    "granted": _("Granted"),
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


def event_net(event: dict[str, object]) -> int:
    """What a decision did to what its budgets may spend; of a transfer inside the sheet, how much was moved."""
    lines: list[tuple[int, str, int]] = event["lines"]  # type: ignore[assignment]
    amounts = [amount for _budget, account, amount in lines if account == "available"]
    return sum(amounts) or max(amounts, default=0)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def page_title(sheet: Sheet) -> str:
    return str(_("Statement for %(month)s", month=month_text(sheet.month)))
