"""What labs say of themselves by way of their hub: how busy they are, and how much their homes hold.

Comes every few seconds for every lab, so it is stored in one statement for each page. The answer is the news that the
hub takes down into the labs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from accounts.services import notices
from app import clock
from app.db import db
from labs.models import Center, HomeUsage, LabSession, SessionActivity, SessionState
from labs.queries import homes
from labs.services import home_news, news
from labs.services.news import Notice

ON_THE_HUB = (SessionState.STARTING, SessionState.RUNNING, SessionState.STOPPING)
JUST_ENDED = timedelta(minutes=15)
NEARLY_FULL, EMPTY_AGAIN = 0.9, 0.8  # of the quota: told above the one, and told anew only after being below the other

notices.describe(
    "home-nearly-full",
    _("Your home at %(center)s is nearly full"),
    _("It holds %(used)s of %(quota)s. Delete what you do not need; once it is full, no lab starts there."),
    label=_("My files take up nearly all of their room"),
)


@dataclass(frozen=True)
class HomeSize:
    """How much a home holds, as the hub measured it."""

    size_bytes: int
    files: int
    measured_at: datetime


@dataclass(frozen=True)
class LabReport:
    """One lab, as its hub and the lab itself describe it. The lab is not to be believed where that would matter."""

    server: str
    kernels: int = 0
    busy_kernels: int = 0
    last_busy_at: datetime | None = None
    accelerator_percent: int | None = None
    last_accelerator_at: datetime | None = None
    last_seen_person_at: datetime | None = None
    keep_alive_minutes: int | None = None
    home: HomeSize | None = None


@dataclass(frozen=True)
class LabNews:
    """What the hub takes down into a lab."""

    owner: str
    lease_ends_at: datetime | None
    keep_alive_until: datetime | None
    notices: list[Notice]


keep_running: list[Callable[[LabSession, int], None]] = []
"""Who decides on a click on "Keep running" inside a lab: (the session, the minutes asked for)."""


def report(center_slug: str, reports: Sequence[LabReport]) -> dict[str, LabNews]:
    """Take note of what a center's labs say; what each of them is to know, by its server's name.

    A server that is not a lab of this center, or not one that should run now, is left out. Of a lab that has just
    ended only the size of its home is taken.
    """
    told = {row.server: row for row in reports}
    found = _sessions(center_slug, [server.removeprefix("lab-") for server in told])
    _store_homes([(session, told[session.server_name]) for session in found])
    found = [session for session in found if session.state in ON_THE_HUB]
    pairs = [(session, told[session.server_name]) for session in found]
    if not pairs:
        return {}
    _store_activity(pairs)
    for session, row in pairs:
        if row.keep_alive_minutes is not None:
            for decide in keep_running:
                decide(session, row.keep_alive_minutes)
    said, of_homes = news.of(found), home_news.of(found)
    return {
        session.server_name: LabNews(
            session.person.name,
            session.lease_ends_at,
            session.keep_alive_until,
            [*said[session.id], *of_homes[session.id]],
        )
        for session in found
    }


def _sessions(center_slug: str, ids: list[str]) -> list[LabSession]:
    """In the order of their ids, so that two pages that write to the same rows never wait for one another in a ring."""
    return list(
        db.session.scalars(
            select(LabSession)
            .join(Center, Center.id == LabSession.center_id)
            .where(
                Center.slug == center_slug,
                LabSession.id.in_([UUID(text) for text in ids]),
                or_(LabSession.state.in_(ON_THE_HUB), LabSession.ended_at >= clock.now() - JUST_ENDED),
            )
            .order_by(LabSession.id)
        )
    )


def _store_activity(pairs: Sequence[tuple[LabSession, LabReport]]) -> None:
    now = clock.now()
    statement = insert(SessionActivity).values(
        [
            {
                "session_id": session.id,
                "reported_at": now,
                "kernels": row.kernels,
                "busy_kernels": row.busy_kernels,
                "last_busy_at": _not_after(now, row.last_busy_at),
                "accelerator_percent": row.accelerator_percent,
                "last_accelerator_at": _not_after(now, row.last_accelerator_at),
                "last_seen_person_at": _not_after(now, row.last_seen_person_at),
            }
            for session, row in pairs
        ]
    )
    new, old = statement.excluded, SessionActivity
    latest = ("last_busy_at", "last_accelerator_at", "last_seen_person_at")
    db.session.execute(
        statement.on_conflict_do_update(
            index_elements=["session_id"],
            set_={
                **{name: new[name] for name in ("reported_at", "kernels", "busy_kernels", "accelerator_percent")},
                # A lab or hub that starts anew has forgotten; what was once seen stays seen.
                **{name: func.greatest(getattr(old, name), new[name]) for name in latest},
            },
        )
    )


def _store_homes(pairs: Sequence[tuple[LabSession, LabReport]]) -> None:
    """The latest size of each home, and a word to those whose home has become nearly full."""
    now = clock.now()
    sizes: dict[tuple[UUID, UUID], tuple[LabSession, HomeSize]] = {}
    for session, row in pairs:
        key = (session.person_id, session.center_id)
        if row.home and (key not in sizes or sizes[key][1].measured_at < row.home.measured_at):
            sizes[key] = (session, row.home)
    if not sizes:
        return
    statement = insert(HomeUsage).values(
        [
            {
                "person_id": person_id,
                "center_id": center_id,
                "size_bytes": home.size_bytes,
                "files": home.files,
                "measured_at": _not_after(now, home.measured_at),
            }
            for (person_id, center_id), (_session, home) in sorted(sizes.items(), key=lambda item: item[0])
        ]
    )
    new = statement.excluded
    changed = db.session.execute(
        statement.on_conflict_do_update(
            index_elements=["person_id", "center_id"],
            set_={name: new[name] for name in ("size_bytes", "files", "measured_at")},
            where=HomeUsage.measured_at < new.measured_at,
        ).returning(HomeUsage.person_id, HomeUsage.center_id, HomeUsage.size_bytes, HomeUsage.warned_at)
    ).all()
    for person_id, center_id, size_bytes, warned_at in changed:
        session, _home = sizes[person_id, center_id]
        quota = session.center.home_quota_bytes
        if warned_at is None and quota is not None and size_bytes >= NEARLY_FULL * quota:
            _mark_warned(session, now)
            _tell_nearly_full(session, size_bytes, quota, now)
        elif warned_at is not None and (quota is None or size_bytes < EMPTY_AGAIN * quota):
            _mark_warned(session, None)


def _mark_warned(session: LabSession, at: datetime | None) -> None:
    db.session.execute(
        update(HomeUsage)
        .where(HomeUsage.person_id == session.person_id, HomeUsage.center_id == session.center_id)
        .values(warned_at=at)
    )


def _tell_nearly_full(session: LabSession, size_bytes: int, quota: int, at: datetime) -> None:
    notices.notify(
        session.person_id,
        "home-nearly-full",
        f"home-nearly-full:{session.center_id.hex}:{int(at.timestamp())}",
        url="/labs",
        center_zh=session.center.title_zh,
        center_en=session.center.title_en,
        used=homes.size(size_bytes),
        quota=homes.size(quota),
    )


def _not_after(now: datetime, moment: datetime | None) -> datetime | None:
    """A clock that runs ahead of ours must not tell of the future."""
    return None if moment is None else min(moment, now)
