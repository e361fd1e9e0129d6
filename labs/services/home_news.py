"""What a lab is told about the home it runs in: that it is full, or nearly so."""

from collections.abc import Sequence
from uuid import UUID

from flask_babel import gettext as _
from sqlalchemy import select, tuple_

from app import locale
from app.db import db
from labs.models import HomeUsage, LabSession
from labs.queries import homes
from labs.services.news import Notice


def of(sessions: Sequence[LabSession]) -> dict[UUID, list[Notice]]:
    """By session; asked for every few seconds, so with one look at the database."""
    usages = _usages(sessions)
    return {session.id: _of(session, usages.get((session.person_id, session.center_id))) for session in sessions}


def _of(session: LabSession, usage: HomeUsage | None) -> list[Notice]:
    """Shown anew when the home was below and comes above again."""
    quota = session.center.home_quota_bytes
    if quota is None or usage is None or usage.warned_at is None:
        return []
    since, url = int(usage.warned_at.timestamp()), f"/labs/{session.id}"
    with locale.reading_as(session.person.language, session.person.time_zone):
        facts = {"used": homes.size(usage.size_bytes), "quota": homes.size(quota)}
        if usage.size_bytes >= quota:
            text = _("Your home is full: %(used)s of %(quota)s. Delete files; no other lab starts before.", **facts)
            return [Notice(f"home-full-{since}", "home-full", "error", text, url)]
        text = _("Your home is nearly full: %(used)s of %(quota)s. Delete what you do not need.", **facts)
        return [Notice(f"home-nearly-full-{since}", "home-nearly-full", "warning", text, url)]


def _usages(sessions: Sequence[LabSession]) -> dict[tuple[UUID, UUID], HomeUsage]:
    keys = {(session.person_id, session.center_id) for session in sessions}
    rows = db.session.scalars(
        select(HomeUsage)
        .where(tuple_(HomeUsage.person_id, HomeUsage.center_id).in_(keys))
        .execution_options(populate_existing=True)
    )
    return {(row.person_id, row.center_id): row for row in rows}
