"""What accounts keep about a person, for merging, export and erasure; other domains have a module like this one."""

from uuid import UUID

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import select

from accounts import merging
from accounts.models import Identity, Invitation, Membership, Notice, PlatformRoleGrant
from app import clock
from app.db import db

merging.register(Membership, "person_id", _("Roles at partners"), one_of=[("partner_id", "role")])
merging.register(Identity, "person_id", _("Sign-ins at home"))
merging.register(Invitation, "person_id", _("Invitations that were used"))
merging.register(Notice, "person_id", _("Notices"), one_of=[("event",)])


@merging.warn
def _platform_roles_stay(person_id: UUID) -> str | None:
    now = clock.now()
    grants = db.session.scalars(select(PlatformRoleGrant).where(PlatformRoleGrant.person_id == person_id))
    if any(grant.until_at is None or grant.until_at > now for grant in grants):
        return str(gettext("Its platform roles do not move: give them again with a reason."))
    return None


@merging.warn
def _keys_stay(_person_id: UUID) -> str:
    return str(gettext("Its password, second factor and tokens do not move, and open nothing any more."))
