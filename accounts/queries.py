"""Reads about partners and people. Nothing here writes."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, bindparam, cast, exists, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import InstrumentedAttribute, contains_eager

from accounts import policy
from accounts.errors import AccountClosed, TokenExpired, TokenUnknown
from accounts.models import (
    AccessToken,
    Identity,
    IdentityProvider,
    Invitation,
    Membership,
    Notice,
    Partner,
    Person,
    PersonalToken,
    PlatformRoleGrant,
    RecoveryCode,
    SecondFactor,
    ServiceToken,
    SignIn,
    fingerprint,
)
from accounts.models_life import Erasure, PersonMerge
from accounts.models_partners import Agreement, PartnerContact, PartnerLogo
from app import clock
from app.access import Actor, MemberRole, PlatformRole
from app.db import UTCDateTime, db
from app.errors import DomainError, NotFound
from app.statements import Read


@dataclass(frozen=True)
class Visitor:
    """Everything a request wants to know of the person who sent it, read in one statement."""

    actor: Actor
    person_id: UUID | None  # None: a program acts for a partner, not for a person
    language: str | None  # None: what the request asks for
    time_zone: str
    sign_in_id: UUID | None = None
    signed_in_at: datetime | None = None
    is_service: bool = False
    waiting_roles: frozenset[PlatformRole] = frozenset()  # give no power before a second factor is shown
    token_id: UUID | None = None
    token_used_at: datetime | None = None


def actor(person_id: UUID) -> Actor:
    """What a service is given when this person acts."""
    row = db.session.execute(_people().where(Person.id == person_id)).one_or_none()
    if row is None:
        raise NotFound
    return _actor(row)


def visitor_by_sign_in(key: str, *, asks_second_factor: bool = True) -> Visitor | None:
    """Whose browser holds this key; None when the sign-in has ended, or the account is closed.

    Platform roles that ask for a second factor wait until it was shown in this very sign-in.
    """
    statement = (
        _people(
            SignIn.id.label("sign_in_id"),
            SignIn.created_at.label("signed_in_at"),
            SignIn.second_factor_at,
        )
        .join(SignIn, SignIn.person_id == Person.id)
        .where(
            SignIn.key_sha256 == fingerprint(key),
            SignIn.ended_at.is_(None),
            SignIn.expires_at > clock.now(),
            Person.is_active,
        )
    )
    row = db.session.execute(statement).one_or_none()
    if row is None:
        return None
    actor, waiting = _proven(_actor(row), not asks_second_factor or row.second_factor_at is not None)
    return Visitor(
        actor,
        row.id,
        row.language,
        row.time_zone,
        row.sign_in_id,
        row.signed_in_at,
        waiting_roles=waiting,
    )


def visitor_by_token(secret: str, *, asks_second_factor: bool = True) -> Visitor | DomainError:
    """For whom this token speaks, or why it does not. Platform roles count while a second factor is on."""
    row = _row_of(_by_token(), secret)
    if row is None:
        return TokenUnknown()
    if not row.is_active:
        return AccountClosed()
    if row.revoked_at is not None or row.expires_at <= clock.now():
        return TokenExpired(expired_at=row.revoked_at or row.expires_at)
    known = _actor(row, frozenset(row.scopes))
    actor, _waiting = _proven(known, not asks_second_factor or row.has_second_factor)
    return Visitor(actor, row.id, row.language, row.time_zone, token_id=row.token_id, token_used_at=row.last_used_at)


def visitor_by_service_token(secret: str) -> Visitor | DomainError:
    """What a token of a partner, or of the platform, may do: nothing beyond it, and as nobody in particular."""
    row = _row_of(_by_service_token(), secret)
    if row is None:
        return TokenUnknown()
    if row.revoked_at is not None or row.expires_at <= clock.now():
        return TokenExpired(expired_at=row.revoked_at or row.expires_at)
    own = {row.partner_id: (row.slug, row.title_zh, row.title_en)} if row.partner_id else {}
    actor = Actor(
        person_id=None,
        name=row.name,
        platform_roles=frozenset() if own else frozenset({PlatformRole.OPERATOR}),
        memberships={partner_id: frozenset({MemberRole.ADMINISTRATOR}) for partner_id in own},
        partners=own,
        scopes=frozenset(row.scopes),
    )
    zone = row.time_zone or "UTC"
    return Visitor(actor, None, None, zone, token_id=row.id, token_used_at=row.last_used_at, is_service=True)


def _row_of(read: Read, secret: str) -> Any:
    """What is known of a token. Every request of a program asks this, so it is one read outside the session."""
    found = read(sha256=fingerprint(secret), now=clock.now())
    return found[0] if found else None


@cache
def _by_token() -> Read:
    token = PersonalToken
    return Read(
        _people(
            token.id.label("token_id"),
            token.scopes,
            token.expires_at,
            token.revoked_at,
            token.last_used_at,
            _has_second_factor().label("has_second_factor"),
            now=bindparam("now", type_=UTCDateTime),
        )
        .join(token, token.person_id == Person.id)
        .where(token.sha256 == bindparam("sha256"))
    )


@cache
def _by_service_token() -> Read:
    token = ServiceToken
    return Read(
        select(
            *(token.id, token.name, token.partner_id, token.scopes),
            *(token.expires_at, token.revoked_at, token.last_used_at),
            *(Partner.slug, Partner.title_zh, Partner.title_en, Partner.time_zone),
        )
        .outerjoin(Partner, Partner.id == token.partner_id)
        .where(token.sha256 == bindparam("sha256"))
    )


def person(person_id: UUID) -> Person:
    found = db.session.get(Person, person_id)
    if found is None:
        raise NotFound
    return found


def person_by_email(email: str) -> Person | None:
    return db.session.scalar(select(Person).where(func.lower(Person.email) == email.strip().lower()))


def second_factor(person_id: UUID, lock: bool = False) -> SecondFactor | None:
    statement = select(SecondFactor).where(SecondFactor.person_id == person_id)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return db.session.scalar(statement)


def recovery_codes_left(person_id: UUID) -> int:
    statement = select(func.count()).where(RecoveryCode.person_id == person_id, RecoveryCode.used_at.is_(None))
    return db.session.scalar(statement) or 0


def partner(slug: str) -> Partner:
    found = db.session.scalar(select(Partner).where(Partner.slug == slug))
    if found is None:
        raise NotFound
    return found


def partners() -> Select[Partner]:
    return select(Partner).order_by(Partner.slug)


def agreements(partner_id: UUID) -> list[Agreement]:
    """What was ever agreed with a partner, the latest first."""
    statement = select(Agreement).where(Agreement.partner_id == partner_id)
    return list(db.session.scalars(statement.order_by(Agreement.from_at.desc(), Agreement.id.desc())))


def under_agreement(partner_ids: Collection[UUID]) -> set[UUID]:
    """Those of the partners with which an agreement holds now: they start new things, others keep what they have."""
    among = Agreement.partner_id.in_(partner_ids)
    return set(db.session.scalars(select(Agreement.partner_id).where(among, _holds_now())))


def takes_part(person_id: ColumnElement[UUID] | InstrumentedAttribute[UUID]) -> ColumnElement[bool]:
    """Whether the person of that column belongs to a partner under agreement, or to none at all."""
    member = exists().where(Membership.person_id == person_id)
    agreed = exists().where(
        Membership.person_id == person_id, Agreement.partner_id == Membership.partner_id, _holds_now()
    )
    return or_(~member, agreed)


def takes_part_now(partner_id: ColumnElement[UUID] | InstrumentedAttribute[UUID]) -> ColumnElement[bool]:
    """Whether an agreement holds with the partner of that column at the moment that is given as `now`."""
    return exists().where(Agreement.partner_id == partner_id, _holds_now(bindparam("now", type_=UTCDateTime)))


def _holds_now(at: ColumnElement[datetime] | None = None) -> ColumnElement[bool]:
    now = clock.now() if at is None else at
    return and_(Agreement.from_at <= now, or_(Agreement.until_at.is_(None), Agreement.until_at > now))


def contacts(partner_id: UUID) -> list[PartnerContact]:
    statement = select(PartnerContact).where(PartnerContact.partner_id == partner_id)
    return list(db.session.scalars(statement.order_by(PartnerContact.created_at, PartnerContact.id)))


def logo(partner_id: UUID, digest: str) -> PartnerLogo:
    found = db.session.get(PartnerLogo, partner_id)
    if found is None or found.sha256 != digest:
        raise NotFound
    return found


def logo_digest(partner_id: UUID) -> str | None:
    return db.session.scalar(select(PartnerLogo.sha256).where(PartnerLogo.partner_id == partner_id))


def platform_roles() -> list[tuple[PlatformRoleGrant, Person]]:
    """Who has a role on the platform now or later, by name."""
    now = clock.now()
    statement = (
        select(PlatformRoleGrant, Person)
        .join(Person, Person.id == PlatformRoleGrant.person_id)
        .where(or_(PlatformRoleGrant.until_at.is_(None), PlatformRoleGrant.until_at > now))
        .order_by(Person.name, PlatformRoleGrant.from_at, PlatformRoleGrant.id)
    )
    return [(grant, person) for grant, person in db.session.execute(statement)]


def people(search: str = "") -> Select[Person]:
    """Everybody whose name or e-mail has the text in it, by name. For the platform's administrators."""
    statement = select(Person).order_by(Person.name, Person.id)
    if search:
        found = [column.icontains(search, autoescape=True) for column in (Person.name, Person.name_latin, Person.email)]
        statement = statement.where(or_(*found))
    return statement


def names(person_ids: Collection[UUID]) -> dict[UUID, str]:
    return {i: name for i, name in db.session.execute(select(Person.id, Person.name).where(Person.id.in_(person_ids)))}


def merges() -> Select[PersonMerge]:
    return select(PersonMerge).order_by(PersonMerge.created_at.desc(), PersonMerge.id.desc())


def merged_into(person_id: UUID) -> UUID | None:
    """The account in which this one went up."""
    statement = select(PersonMerge.kept_id).where(PersonMerge.merged_id == person_id, PersonMerge.undone_at.is_(None))
    return db.session.scalar(statement)


def merged_here(person_id: UUID) -> list[UUID]:
    """The accounts that went up in this one."""
    statement = select(PersonMerge.merged_id).where(PersonMerge.kept_id == person_id, PersonMerge.undone_at.is_(None))
    return list(db.session.scalars(statement.order_by(PersonMerge.created_at, PersonMerge.id)))


def erasure(person_id: UUID) -> Erasure | None:
    """The erasure that waits for its day, if somebody asked for one."""
    waiting = (Erasure.person_id == person_id, Erasure.done_at.is_(None), Erasure.canceled_at.is_(None))
    return db.session.scalar(select(Erasure).where(*waiting))


def was_erased(person_id: UUID) -> bool:
    statement = select(Erasure.id).where(Erasure.person_id == person_id, Erasure.done_at.is_not(None))
    return db.session.scalar(statement.limit(1)) is not None


def members(partner_id: UUID) -> Select[Membership]:
    """The people of a partner, one row for each role, by name."""
    return (
        select(Membership)
        .join(Membership.person)
        .where(Membership.partner_id == partner_id)
        .options(contains_eager(Membership.person))
        .order_by(Person.name, Membership.id)
    )


def invitations(partner_id: UUID) -> Select[Invitation]:
    """Those that still wait, the latest first."""
    return (
        select(Invitation)
        .where(
            Invitation.partner_id == partner_id,
            Invitation.used_at.is_(None),
            Invitation.revoked_at.is_(None),
            Invitation.expires_at > clock.now(),
        )
        .order_by(Invitation.created_at.desc(), Invitation.id.desc())
    )


def identity_providers() -> list[IdentityProvider]:
    """Where people can sign in at home, by partner."""
    statement = select(IdentityProvider).where(IdentityProvider.is_active).join(IdentityProvider.partner)
    return list(db.session.scalars(statement.order_by(Partner.slug)))


def identity_provider(slug: str) -> IdentityProvider:
    statement = select(IdentityProvider).join(IdentityProvider.partner)
    found = db.session.scalar(statement.where(Partner.slug == slug, IdentityProvider.is_active))
    if found is None:
        raise NotFound
    return found


def identity(issuer: str, subject: str) -> Identity | None:
    return db.session.scalar(select(Identity).where(Identity.issuer == issuer, Identity.subject == subject))


def identities(person_id: UUID) -> list[Identity]:
    return list(db.session.scalars(select(Identity).where(Identity.person_id == person_id).order_by(Identity.issuer)))


def memberships(person_id: UUID) -> list[Membership]:
    statement = select(Membership).where(Membership.person_id == person_id).order_by(Membership.created_at)
    return list(db.session.scalars(statement))


def live_sign_ins(person_id: UUID) -> list[SignIn]:
    """Where the person is signed in now, the latest first."""
    statement = select(SignIn).where(
        SignIn.person_id == person_id, SignIn.ended_at.is_(None), SignIn.expires_at > clock.now()
    )
    return list(db.session.scalars(statement.order_by(SignIn.created_at.desc(), SignIn.id.desc())))


def tokens(person_id: UUID) -> list[PersonalToken]:
    """The person's tokens that were not revoked, the latest first."""
    statement = select(PersonalToken).where(PersonalToken.person_id == person_id, PersonalToken.revoked_at.is_(None))
    return list(db.session.scalars(statement.order_by(PersonalToken.created_at.desc(), PersonalToken.id.desc())))


def service_tokens(partner_id: UUID | None) -> list[ServiceToken]:
    """Those of a partner, or of the platform, that were not revoked, the latest first."""
    statement = select(ServiceToken).where(
        ServiceToken.partner_id.is_not_distinct_from(partner_id), ServiceToken.revoked_at.is_(None)
    )
    return list(db.session.scalars(statement.order_by(ServiceToken.created_at.desc(), ServiceToken.id.desc())))


def notices(person_id: UUID, unread_only: bool = False) -> Select[Notice]:
    statement = select(Notice).where(Notice.person_id == person_id)
    if unread_only:
        statement = statement.where(Notice.read_at.is_(None))
    return statement.order_by(Notice.created_at.desc(), Notice.id.desc())


def unread_notices(person_id: UUID) -> int:
    statement = select(func.count()).select_from(Notice).where(Notice.person_id == person_id, Notice.read_at.is_(None))
    return db.session.scalar(statement) or 0


def live_access_token(secret: str) -> AccessToken | None:
    """What a hub shows to learn about a person; None once it, its sign-in or the account has ended."""
    now = clock.now()
    statement = (
        select(AccessToken)
        .join(SignIn, AccessToken.sign_in_id == SignIn.id)
        .join(Person, AccessToken.person_id == Person.id)
        .where(
            AccessToken.sha256 == fingerprint(secret),
            AccessToken.revoked_at.is_(None),
            AccessToken.expires_at > now,
            SignIn.ended_at.is_(None),
            SignIn.expires_at > now,
            Person.is_active,
        )
    )
    return db.session.scalar(statement)


def _people(*columns: Any, now: ColumnElement[datetime] | None = None) -> Select[Any]:
    """Persons with what they are on the platform and at partners, in one round trip."""
    return select(
        Person.id,
        Person.name,
        Person.email,
        Person.language,
        Person.time_zone,
        Person.is_active,
        _platform_roles(now).label("platform_roles"),
        _memberships().label("memberships"),
        *columns,
    )


def _platform_roles(at: ColumnElement[datetime] | None) -> ScalarSelect[Any]:
    now = clock.now() if at is None else at
    return (
        select(func.array_agg(PlatformRoleGrant.role))
        .where(
            PlatformRoleGrant.person_id == Person.id,
            PlatformRoleGrant.from_at <= now,
            or_(PlatformRoleGrant.until_at.is_(None), PlatformRoleGrant.until_at > now),
        )
        .correlate(Person)
        .scalar_subquery()
    )


def _memberships() -> ScalarSelect[Any]:
    row = func.jsonb_build_array(
        Membership.partner_id, Membership.role, Partner.slug, Partner.title_zh, Partner.title_en
    )
    return (
        select(cast(func.jsonb_agg(row), JSONB))
        .join_from(Membership, Partner, Membership.partner_id == Partner.id)
        .where(Membership.person_id == Person.id)
        .correlate(Person)
        .scalar_subquery()
    )


def _has_second_factor() -> ColumnElement[bool]:
    confirmed = (SecondFactor.person_id == Person.id, SecondFactor.confirmed_at.is_not(None))
    return exists().where(*confirmed).correlate(Person)


def _proven(actor: Actor, has_shown_it: bool) -> tuple[Actor, frozenset[PlatformRole]]:
    """The actor, without the roles that wait for a second factor, and these."""
    waiting = frozenset() if has_shown_it else actor.platform_roles & policy.WITH_SECOND_FACTOR
    return (replace(actor, platform_roles=actor.platform_roles - waiting) if waiting else actor), waiting


def _actor(row: Any, scopes: frozenset[str] | None = None) -> Actor:
    roles: dict[UUID, frozenset[MemberRole]] = {}
    partners: dict[UUID, tuple[str, str, str]] = {}
    for partner_id, role, slug, title_zh, title_en in row.memberships or ():
        key = UUID(partner_id)
        roles[key] = roles.get(key, frozenset()) | {MemberRole(role)}
        partners[key] = (slug, title_zh, title_en)
    return Actor(
        person_id=row.id,
        name=row.name,
        email=row.email,
        platform_roles=frozenset(PlatformRole(role) for role in row.platform_roles or ()),
        memberships=roles,
        partners=partners,
        scopes=scopes,
    )
