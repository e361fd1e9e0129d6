"""News for me."""

from uuid import UUID

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from accounts import queries
from accounts.services import notices
from app.access import current_actor, require_person, signed_in
from app.db import transaction
from app.pages import local_path
from app.paging import page_of

blp = Blueprint("notices", __name__, template_folder="../templates")


@blp.get("/notices")
@signed_in
def index() -> str:
    """My notices, the latest first."""
    pager = page_of(queries.notices(require_person(current_actor())))
    news = [notices.read(notice) for notice in pager.items]
    return render_template("accounts/notices.html", pager=pager, news=news)


@blp.post("/notices/read")
@signed_in
def read_all() -> ResponseReturnValue:
    """Mark all as read."""
    with transaction():
        notices.mark_all_read(current_actor())
    return redirect(url_for(".index"), 303)


@blp.post("/notices/<uuid:notice_id>/open")
@signed_in
def open_notice(notice_id: UUID) -> ResponseReturnValue:
    """Mark a notice as read and go where it points."""
    with transaction():
        notice = notices.mark_read(current_actor(), notice_id)
        target = local_path(notice.url) if notice.url else url_for(".index")
    return redirect(target, 303)


def home_part() -> dict[str, object]:
    """The latest unread notices, for the home page."""
    latest = page_of(queries.notices(require_person(current_actor()), unread_only=True), size=5)
    return {"notices": [notices.read(notice) for notice in latest.items]}


def count_unread() -> int:
    return queries.unread_notices(require_person(current_actor()))
