"""What a lab is told about itself, in its person's language: its hub asks every few seconds and shows it inside.

`id` names one piece of news: what has been shown once is not shown again. Nothing here writes.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID

from flask_babel import gettext as _
from sqlalchemy import select

from app import clock, locale
from app.db import db
from labs.models import LabSession, SessionState, SessionView, ViewState

Tone = Literal["info", "warning", "error"]
ENDS_SOON = (2, 10)  # minutes; the more urgent first


@dataclass(frozen=True)
class Notice:
    """One piece of news. `url` is a path of the platform; the lab lives on another host."""

    id: str
    kind: str
    tone: Tone
    text: str
    url: str | None


def current(session: LabSession) -> list[Notice]:
    """What holds of this lab now, the most urgent first."""
    return of([session])[session.id]


def of(sessions: Iterable[LabSession]) -> dict[UUID, list[Notice]]:
    """The same for many labs, with one look at the database."""
    sessions = list(sessions)
    views = _open_views([session.id for session in sessions])
    return {session.id: _of(session, views[session.id]) for session in sessions}


def _of(session: LabSession, views: list[SessionView]) -> list[Notice]:
    with locale.reading_as(session.person.language, session.person.time_zone):
        url = f"/labs/{session.id}"
        if session.state is SessionState.STOPPING:
            text = _("This lab is being stopped now. Saved files stay.")
            return [Notice("stopping", "lab-stopping", "error", text, url)]
        found = [_ends_soon(session, url), _idle(session, url), *(_look(view, url) for view in views)]
        return [*filter(None, found), *_extended(session, url)]


def _ends_soon(session: LabSession, url: str) -> Notice | None:
    if session.lease_ends_at is None:
        return None
    left = session.lease_ends_at - clock.now()
    minutes = next((minutes for minutes in ENDS_SOON if left <= timedelta(minutes=minutes)), None)
    if minutes is None:
        return None
    text = _(
        "This lab stops at %(time)s, in less than %(minutes)s minutes. Save your work, or extend the lab on its page.",
        time=locale.moment(session.lease_ends_at, "time"),
        minutes=minutes,
    )
    return Notice(f"ends-{session.lease_minutes}-{minutes}", "lab-ends-soon", "warning", text, url)


def _idle(session: LabSession, url: str) -> Notice | None:
    if session.idle_warned_at is None or session.idle_stops_at is None:
        return None
    text = _(
        "Nothing runs in this lab, so it stops at %(time)s and the rest of the credits goes back. "
        "Run a cell, or ask to keep it running.",
        time=locale.moment(session.idle_stops_at, "time"),
    )
    return Notice(f"idle-{session.idle_warned_at:%H%M%S}", "lab-idle", "warning", text, url)


def _look(view: SessionView, url: str) -> Notice:
    if view.state is ViewState.ASKED:
        text = _("%(name)s asks to look into this lab. Say yes or no on its page.", name=view.viewer.name)
        return Notice(f"look-asked-{view.id.hex}", "lab-look-asked", "info", text, url)
    name = view.viewer.name
    text = _("%(name)s can look into this lab, and change nothing. You can end that on its page.", name=name)
    return Notice(f"look-granted-{view.id.hex}", "lab-look-granted", "info", text, url)


def _extended(session: LabSession, url: str) -> list[Notice]:
    if not session.extended_minutes or session.lease_ends_at is None:
        return []
    text = _("This lab now runs until %(time)s.", time=locale.moment(session.lease_ends_at, "time"))
    return [Notice(f"extended-{session.lease_minutes}", "lab-extended", "info", text, url)]


def _open_views(session_ids: list[UUID]) -> dict[UUID, list[SessionView]]:
    found: dict[UUID, list[SessionView]] = defaultdict(list)
    statement = select(SessionView).where(
        SessionView.session_id.in_(session_ids), SessionView.state.in_((ViewState.ASKED, ViewState.GRANTED))
    )
    for view in db.session.scalars(statement.order_by(SessionView.id)):
        found[view.session_id].append(view)
    return found
