"""What a person keeps at the centers, and how to get at it."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import exists, select

from app.db import db
from labs.models import Center, Flavor, HomeUsage, LabSession

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Storage:
    """One home: where it is, how full, and whether it can be opened without a course."""

    center: Center
    usage: HomeUsage | None
    has_rescue: bool

    @property
    def quota_bytes(self) -> int | None:
        quota = self.center.home_quota_mb
        return None if quota is None else quota * MEBIBYTE


def storage_of(person_id: UUID) -> list[Storage]:
    """The centers at which this person ever had a lab, with what was last measured there."""
    had_a_lab = exists().where(LabSession.center_id == Center.id, LabSession.person_id == person_id)
    rescue = exists().where(Flavor.center_id == Center.id, Flavor.is_rescue, Flavor.is_active)
    rows = db.session.execute(
        select(Center, HomeUsage, rescue)
        .outerjoin(HomeUsage, (HomeUsage.center_id == Center.id) & (HomeUsage.person_id == person_id))
        .where(had_a_lab)
        .order_by(Center.slug)
    )
    return [Storage(center, usage, has_rescue) for center, usage, has_rescue in rows]


def home_center(person_id: UUID, template_id: UUID) -> UUID | None:
    """The center where the person's files of this lab lie: where it last ran; or, for the first time, where the last of
    their other labs did. None: they never had one."""
    return db.session.scalar(
        select(LabSession.center_id)
        .where(LabSession.person_id == person_id, LabSession.ready_at.is_not(None))
        .order_by((LabSession.template_id == template_id).desc(), LabSession.created_at.desc(), LabSession.id.desc())
        .limit(1)
    )


def rescue_flavor(center_id: UUID) -> Flavor | None:
    """The flavor with which people get at their files, whatever their budgets say."""
    return db.session.scalar(
        select(Flavor)
        .where(Flavor.center_id == center_id, Flavor.is_rescue, Flavor.is_active)
        .order_by(Flavor.id)
        .limit(1)
    )


def last_session_at(person_id: UUID, center_id: UUID) -> LabSession | None:
    return db.session.scalar(
        select(LabSession)
        .where(LabSession.person_id == person_id, LabSession.center_id == center_id)
        .order_by(LabSession.created_at.desc(), LabSession.id.desc())
        .limit(1)
    )
