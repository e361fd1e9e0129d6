"""The trail as pages: the platform's, a partner's, my own."""

from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from flask import Blueprint, render_template, request
from flask_babel import get_timezone
from flask_babel import gettext as _
from sqlalchemy import Select

from accounts import policy, queries, trail
from accounts.trail import ACTIONS, Search
from app.access import current_actor, require_person, signed_in
from app.audit import AuditEntry
from app.errors import Invalid, NotFound
from app.locale import pick
from app.paging import page_of

blp = Blueprint("trail", __name__, template_folder="../templates")


@blp.get("/operations/trail")
@signed_in
def show_all() -> str:
    """Everything that was changed, for the platform's administrators."""
    if not policy.may_see_trail(current_actor()):
        raise NotFound
    return _page(trail.everything(_search()), _("Trail"), shows_address=True)


@blp.get("/partners/<slug>/trail")
@signed_in
def show_partner(slug: str) -> str:
    """What was changed at a partner, for its administrators."""
    partner = queries.partner(slug)
    if not policy.may_see_people(current_actor(), partner.id):
        raise NotFound
    return _page(trail.of_partner(partner.id, _search()), f"{_('Trail')} · {pick(partner)}")


@blp.get("/profile/trail")
@signed_in
def show_mine() -> str:
    """What I did, and what was done to my account."""
    person_id = require_person(current_actor())
    return _page(trail.of_person(person_id, _search()), _("What was done to my account"), own=person_id)


def _page(statement: Select[AuditEntry], title: str, *, shows_address: bool = False, own: UUID | None = None) -> str:
    return render_template(
        "accounts/trail.html",
        title=title,
        pager=page_of(statement, size=50),
        actions=ACTIONS,
        shows_address=shows_address,
        own=own,
        form=request.args,
    )


def _search() -> Search:
    """What the address asks for; days are those of the reader's zone, the last one included."""
    return Search(
        who=request.args.get("who", "").strip()[:100] or None,
        action=request.args.get("action", "").strip()[:100] or None,
        from_at=_day("from"),
        until_at=_day("until", timedelta(days=1)),
    )


def _day(name: str, later: timedelta = timedelta(0)) -> datetime | None:
    text = request.args.get(name, "")
    if not text:
        return None
    try:
        day = date.fromisoformat(text) + later
        return datetime.combine(day, time(), tzinfo=get_timezone() or UTC)
    except (ValueError, OverflowError) as error:
        raise Invalid(_("“%(text)s” is not a day.", text=text[:20])) from error
