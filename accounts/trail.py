"""Read the trail: all of it for administrators, a partner's part for the partner, one's own for everybody."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from flask_babel import LazyString
from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, Select, and_, or_, select

from app.audit import AuditEntry

ACTIONS: dict[str, LazyString] = {
    "sign-in.open": _("Signed in"),
    "sign-in.end": _("Signed out"),
    "person.create": _("Account opened"),
    "person.change": _("Profile changed"),
    "service-token.make": _("Service token made"),
    "service-token.revoke": _("Service token revoked"),
    "person.choose-mail": _("Chosen what comes by mail"),
    "person.set-password": _("Password set"),
    "person.reset-password": _("Forgotten password replaced"),
    "person.close": _("Account closed"),
    "person.reopen": _("Account opened again"),
    "second-factor.on": _("Second factor turned on"),
    "second-factor.off": _("Second factor turned off"),
    "second-factor.reset": _("Second factor reset"),
    "second-factor.new-recovery-codes": _("New recovery codes made"),
    "second-factor.recovery-code": _("Recovery code used"),
    "token.make": _("Token made"),
    "token.revoke": _("Token revoked"),
    "partner.open": _("Partner opened"),
    "partner.rename": _("Partner renamed"),
    "person.merge": _("Accounts merged"),
    "person.unmerge": _("Merge undone"),
    "person.export": _("Data downloaded"),
    "person.ask-erasure": _("Erasure asked for"),
    "person.keep": _("Erasure canceled"),
    "person.erase": _("Person erased"),
    "partner.logo": _("Logo changed"),
    "partner.domains": _("E-mail domains changed"),
    "partner.time-zone": _("Time zone changed"),
    "agreement.make": _("Agreement made"),
    "agreement.set-end": _("End of an agreement moved"),
    "contact.add": _("Contact added"),
    "contact.remove": _("Contact removed"),
    "membership.join": _("Role given"),
    "membership.leave": _("Role taken away"),
    "platform-role.grant": _("Platform role given"),
    "platform-role.end": _("Platform role ended"),
    "invitation.make": _("Invitation made"),
    "invitation.take-back": _("Invitation taken back"),
    "invitation.accept": _("Invitation used"),
    "identity-provider.connect": _("Sign-on connected"),
    "identity-provider.disconnect": _("Sign-on disconnected"),
    "identity.link": _("Sign-in at home connected"),
    "identity.unlink": _("Sign-in at home disconnected"),
}


@dataclass(frozen=True, kw_only=True)
class Search:
    """What to look for; what is None does not matter."""

    who: str | None = None  # a part of the name of who did it
    action: str | None = None  # an action, or the first part of one: "person"
    subject_id: UUID | None = None
    from_at: datetime | None = None
    until_at: datetime | None = None


def everything(search: Search) -> Select[AuditEntry]:
    return _latest_first(search)


def of_partner(partner_id: UUID, search: Search) -> Select[AuditEntry]:
    """What was done at a partner."""
    return _latest_first(search).where(AuditEntry.partner_id == partner_id)


def of_person(person_id: UUID, search: Search) -> Select[AuditEntry]:
    """What a person did, and what was done to the person's account."""
    concerns = or_(
        AuditEntry.actor_id == person_id,
        and_(AuditEntry.subject == "person", AuditEntry.subject_id == person_id),
        and_(AuditEntry.changes.has_key("person_id"), AuditEntry.changes["person_id"].astext == str(person_id)),
    )
    return _latest_first(search).where(concerns)


def _latest_first(search: Search) -> Select[AuditEntry]:
    conditions: list[ColumnElement[bool]] = []
    if search.who:
        conditions.append(AuditEntry.actor_name.icontains(search.who, autoescape=True))
    if search.action:
        below = AuditEntry.action.startswith(f"{search.action}.", autoescape=True)
        conditions.append(or_(AuditEntry.action == search.action, below))
    if search.subject_id is not None:
        conditions.append(AuditEntry.subject_id == search.subject_id)
    if search.from_at is not None:
        conditions.append(AuditEntry.created_at >= search.from_at)
    if search.until_at is not None:
        conditions.append(AuditEntry.created_at < search.until_at)
    return select(AuditEntry).where(*conditions).order_by(AuditEntry.created_at.desc(), AuditEntry.id.desc())
