"""Power over the whole platform: granted by its administrators, for a period, with a reason."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from accounts import policy, queries
from accounts.models import PlatformRoleGrant
from accounts.services import notices
from app import audit, clock
from app.access import Actor, PlatformRole, require
from app.db import db
from app.errors import Invalid, NotFound


def grant(
    actor: Actor,
    *,
    person_id: UUID,
    role: PlatformRole,
    reason: str,
    from_at: datetime | None = None,
    until_at: datetime | None = None,
) -> PlatformRoleGrant:
    """Give a person a platform role for [from_at, until_at)."""
    require(policy.may_grant_platform_roles(actor))
    from_at = from_at or clock.now()
    if not reason.strip():
        raise Invalid(_("Say why the role is given."))
    if until_at is not None and until_at <= from_at:
        raise Invalid(_("The period must end after it begins."))
    person = queries.person(person_id)
    row = PlatformRoleGrant(person_id=person.id, role=role, from_at=from_at, until_at=until_at, reason=reason.strip())
    db.session.add(row)
    db.session.flush()
    facts: dict[str, Any] = {"person_id": person.id, "role": role.value, "reason": row.reason, "until_at": until_at}
    audit.record(actor, "platform-role.grant", row, **facts)
    notices.notify(person.id, "platform-role", f"platform-role:{row.id}", url="/profile#second-factor", by=actor.name)
    return row


def end(actor: Actor, grant_id: UUID, reason: str) -> PlatformRoleGrant:
    """Take a platform role back, now."""
    require(policy.may_grant_platform_roles(actor))
    row = db.session.get(PlatformRoleGrant, grant_id, with_for_update=True)
    if row is None:
        raise NotFound
    now = clock.now()
    if row.until_at is None or row.until_at > now:
        row.from_at = min(row.from_at, now - timedelta(microseconds=1))  # one that has not begun never held
        row.until_at = now
        audit.record(actor, "platform-role.end", row, person_id=row.person_id, role=row.role.value, reason=reason)
    return row


notices.describe(
    "platform-role",
    _l("You have a role on the whole platform"),
    _l("%(by)s gave it to you. An administrator or operator needs a second factor: until it is on, the role waits."),
    is_essential=True,
)
