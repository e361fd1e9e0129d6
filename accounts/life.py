"""What accounts keep about a person, for merging, export and erasure; other domains have a module like this one."""

from uuid import UUID

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import select

from accounts import exporting, merging, trail
from accounts.models import (
    Identity,
    Invitation,
    Membership,
    Notice,
    Partner,
    Person,
    PersonalToken,
    PlatformRoleGrant,
    SignIn,
)
from app import clock
from app.audit import AuditEntry
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


exporting.register(
    "person",
    lambda person_id: select(
        *(Person.id, Person.created_at, Person.email, Person.name, Person.name_latin),
        *(Person.language, Person.time_zone, Person.wants_mail),
    ).where(Person.id == person_id),
)
exporting.register(
    "memberships",
    lambda person_id: (
        select(
            *(Partner.slug.label("partner"), Partner.title_zh, Partner.title_en),
            *(Membership.role, Membership.number, Membership.created_at.label("since")),
        )
        .join(Membership, Membership.partner_id == Partner.id)
        .where(Membership.person_id == person_id)
        .order_by(Membership.id)
    ),
)
exporting.register(
    "platform-roles",
    lambda person_id: (
        select(PlatformRoleGrant.role, PlatformRoleGrant.from_at, PlatformRoleGrant.until_at, PlatformRoleGrant.reason)
        .where(PlatformRoleGrant.person_id == person_id)
        .order_by(PlatformRoleGrant.id)
    ),
)
exporting.register(
    "sign-ins",
    lambda person_id: (
        select(SignIn.created_at, SignIn.expires_at, SignIn.ended_at, SignIn.address, SignIn.browser)
        .where(SignIn.person_id == person_id)
        .order_by(SignIn.id)
    ),
)
exporting.register(
    "sign-ins-at-home",
    lambda person_id: (
        select(Identity.issuer, Identity.subject, Identity.created_at)
        .where(Identity.person_id == person_id)
        .order_by(Identity.id)
    ),
)
exporting.register(
    "tokens",
    lambda person_id: (
        select(
            *(PersonalToken.name, PersonalToken.scopes, PersonalToken.created_at, PersonalToken.expires_at),
            *(PersonalToken.last_used_at, PersonalToken.revoked_at),
        )
        .where(PersonalToken.person_id == person_id)
        .order_by(PersonalToken.id)
    ),
)
exporting.register(
    "notices",
    lambda person_id: (
        select(Notice.created_at, Notice.kind, Notice.facts, Notice.url, Notice.read_at)
        .where(Notice.person_id == person_id)
        .order_by(Notice.id)
    ),
)
exporting.register(
    "trail",
    lambda person_id: trail.of_person(person_id, trail.Search()).with_only_columns(
        *(AuditEntry.created_at, AuditEntry.actor_name, AuditEntry.action),
        *(AuditEntry.subject, AuditEntry.subject_id, AuditEntry.changes),
    ),
)
