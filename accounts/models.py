"""Partners, people, and how they sign in."""

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.access import MemberRole, PlatformRole
from app.db import Base, Entity


class PartnerKind(StrEnum):
    UNIVERSITY = "university"
    COMPANY = "company"
    COMPUTING_CENTER = "computing-center"
    PUBLIC_BODY = "public-body"


class Partner(Entity):
    """A tenant: what belongs to one partner is not seen by another."""

    __tablename__ = "partner"

    slug: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[PartnerKind]
    title_zh: Mapped[str]
    title_en: Mapped[str]
    time_zone: Mapped[str] = mapped_column(default="Asia/Shanghai")
    email_domains: Mapped[list[str]] = mapped_column(ARRAY(String), default=list)


class Person(Entity):
    __tablename__ = "person"
    __table_args__ = (
        Index("uq_person_email_lower", func.lower(text("email")), unique=True),
        CheckConstraint("language IN ('zh_CN', 'en')", name="language"),
    )

    email: Mapped[str]
    name: Mapped[str]  # as the person writes it, in any script; may be two characters long
    name_latin: Mapped[str | None]
    language: Mapped[str] = mapped_column(default="zh_CN")
    time_zone: Mapped[str] = mapped_column(default="Asia/Shanghai")
    password_hash: Mapped[str | None]  # argon2id
    is_active: Mapped[bool] = mapped_column(default=True)
    wants_mail: Mapped[bool] = mapped_column(default=True, server_default=text("true"))  # of notices; they stay here
    unwanted_mail: Mapped[list[str]] = mapped_column(  # kinds of notices that are not mailed
        ARRAY(String), default=list, server_default="{}"
    )

    memberships: Mapped[list["Membership"]] = relationship(back_populates="person", lazy="raise")

    @property
    def hub_name(self) -> str:
        """The user's name on every hub, and the `sub` of OpenID Connect: stable, and says nothing."""
        return self.id.hex


class Membership(Entity):
    __tablename__ = "membership"
    __table_args__ = (
        UniqueConstraint("person_id", "partner_id", "role"),
        Index(
            "uq_membership_number",
            "partner_id",
            "number",
            "role",
            unique=True,
            postgresql_where=text("number IS NOT NULL"),
        ),
    )

    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), index=True)
    partner_id: Mapped[UUID] = mapped_column(ForeignKey(Partner.id), index=True)
    role: Mapped[MemberRole]
    number: Mapped[str | None]  # what the partner calls this person; text: leading zeros matter

    person: Mapped[Person] = relationship(back_populates="memberships", lazy="raise")
    partner: Mapped[Partner] = relationship(lazy="joined", innerjoin=True)


class IdentityProvider(Entity):
    """Where the people of a partner sign in at home: an OpenID Connect provider."""

    __tablename__ = "identity_provider"

    partner_id: Mapped[UUID] = mapped_column(ForeignKey(Partner.id), unique=True)
    issuer: Mapped[str] = mapped_column(unique=True)
    client_id: Mapped[str]
    sealed_client_secret: Mapped[str]
    creates_accounts: Mapped[bool]  # whoever signs in there for the first time becomes a member here
    role: Mapped[MemberRole]  # what they become
    is_active: Mapped[bool] = mapped_column(default=True)

    partner: Mapped[Partner] = relationship(lazy="joined", innerjoin=True)


class Identity(Entity):
    """What an identity provider calls a person. Issuer and subject identify; a name or an e-mail never does."""

    __tablename__ = "identity"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), index=True)
    issuer: Mapped[str]
    subject: Mapped[str]


class Invitation(Entity):
    """A role at a partner that waits for somebody: whoever brings the code takes it, once."""

    __tablename__ = "invitation"

    partner_id: Mapped[UUID] = mapped_column(ForeignKey(Partner.id), index=True)
    role: Mapped[MemberRole]
    name: Mapped[str]  # as the partner knows the person; the account keeps its own
    email: Mapped[str | None]  # where the code was sent; a hint, not an identity
    number: Mapped[str | None]
    sha256: Mapped[str] = mapped_column(unique=True)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    person_id: Mapped[UUID | None] = mapped_column(ForeignKey(Person.id), index=True)  # who took it

    partner: Mapped[Partner] = relationship(lazy="joined", innerjoin=True)

    def is_open(self, at: datetime) -> bool:
        return self.used_at is None and self.revoked_at is None and at < self.expires_at


class PlatformRoleGrant(Entity):
    """A platform role for a period [from_at, until_at), with the reason it was given."""

    __tablename__ = "platform_role_grant"
    __table_args__ = (CheckConstraint("until_at IS NULL OR until_at > from_at", name="period"),)

    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), index=True)
    role: Mapped[PlatformRole]
    from_at: Mapped[datetime]
    until_at: Mapped[datetime | None]
    reason: Mapped[str]

    def holds(self, at: datetime) -> bool:
        return self.from_at <= at and (self.until_at is None or at < self.until_at)


class SignIn(Entity):
    """One browser in which somebody signed in. The cookie holds a random key; the row, its digest."""

    __tablename__ = "sign_in"

    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), index=True)
    key_sha256: Mapped[str] = mapped_column(unique=True)
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    address: Mapped[str | None]
    browser: Mapped[str | None]
    second_factor_at: Mapped[datetime | None]  # when it was shown here; platform roles wait for it


class SecondFactor(Entity):
    """The secret that a person's app makes codes from. Unconfirmed until one of them has been shown."""

    __tablename__ = "second_factor"

    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), unique=True)
    sealed_secret: Mapped[str]
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int | None]  # of thirty seconds since 1970, whose code was used: none is used twice


class RecoveryCode(Entity):
    """Signs in once, when the app is lost."""

    __tablename__ = "recovery_code"

    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), index=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    used_at: Mapped[datetime | None]


class AttemptCount(Base):
    """How often somebody tried to sign in lately: from an address, and for an account from that address."""

    __tablename__ = "attempt_count"

    key: Mapped[str] = mapped_column(primary_key=True)  # a digest: says neither account nor address
    attempts: Mapped[int]
    ends_at: Mapped[datetime]  # then counting starts anew


class PersonalToken(Entity):
    """Lets a program act for a person, within scopes, until it expires. Shown once, stored as a digest."""

    __tablename__ = "personal_token"

    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), index=True)
    name: Mapped[str]
    sha256: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String))
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class ServiceToken(Entity):
    """Lets a program act for a partner, or for the platform, as nobody in particular. Stored as a digest."""

    __tablename__ = "service_token"

    partner_id: Mapped[UUID | None] = mapped_column(ForeignKey(Partner.id), index=True)  # None: the platform's
    name: Mapped[str]
    sha256: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String))
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    partner: Mapped[Partner | None] = relationship(lazy="raise")


class AuthorizationCode(Entity):
    """A one-time code of OpenID Connect, for a hub that signs somebody in (RFC 6749, 4.1)."""

    __tablename__ = "authorization_code"

    sha256: Mapped[str] = mapped_column(unique=True)
    client_id: Mapped[str]
    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id))
    sign_in_id: Mapped[UUID] = mapped_column(ForeignKey(SignIn.id))
    redirect_uri: Mapped[str]
    scope: Mapped[str]
    nonce: Mapped[str | None]
    code_challenge: Mapped[str]  # of method S256, the only one we take
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class AccessToken(Entity):
    """What a hub got for a code; it ends with the sign-in it came from."""

    __tablename__ = "access_token"

    sha256: Mapped[str] = mapped_column(unique=True)
    client_id: Mapped[str]
    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id))
    sign_in_id: Mapped[UUID] = mapped_column(ForeignKey(SignIn.id), index=True)
    code_id: Mapped[UUID] = mapped_column(ForeignKey(AuthorizationCode.id), index=True)
    scope: Mapped[str]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class Notice(Entity):
    """News for one person: a kind, whose text is chosen when it is read, and the facts in it."""

    __tablename__ = "notice"
    __table_args__ = (
        UniqueConstraint("person_id", "event"),
        Index("ix_notice_unread", "person_id", postgresql_where=text("read_at IS NULL")),
    )

    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), index=True)
    kind: Mapped[str]
    event: Mapped[str]  # what happened, named once: nobody hears twice of the same event
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB)
    url: Mapped[str | None]
    read_at: Mapped[datetime | None]

    person: Mapped[Person] = relationship(lazy="raise")


class MailState(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    CAUGHT = "caught"  # no mail server is set: kept here to be looked at
    FAILED = "failed"  # given up


class Mail(Entity):
    """A mail on its way to a mailbox; the row is the queue. Most bring a notice, at most one each.

    Others go to an address (`kind` says how they read): it may be nobody's yet. What their link must carry is
    sealed here until the mail has left.
    """

    __tablename__ = "mail"
    __table_args__ = (
        Index("ix_mail_due", "next_at", postgresql_where=text("state = 'waiting'")),
        CheckConstraint("(notice_id IS NULL) = (kind IS NOT NULL)", name="one_origin"),
    )

    notice_id: Mapped[UUID | None] = mapped_column(ForeignKey(Notice.id), unique=True)
    state: Mapped[MailState] = mapped_column(default=MailState.WAITING)
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[datetime]  # when to try; while somebody tries, when to try again should they die
    done_at: Mapped[datetime | None]
    address: Mapped[str | None]  # of a notice: as it was sent
    subject: Mapped[str | None]
    text: Mapped[str | None]
    last_error: Mapped[str | None]
    kind: Mapped[str | None]
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    name: Mapped[str] = mapped_column(default="", server_default="")
    language: Mapped[str] = mapped_column(default="", server_default="")
    time_zone: Mapped[str] = mapped_column(default="", server_default="")
    path: Mapped[str] = mapped_column(default="", server_default="")  # of the link, to which what was sealed is added
    sealed_key: Mapped[str | None]

    notice: Mapped[Notice | None] = relationship(lazy="joined")


class PasswordReset(Entity):
    """Somebody asked for a new password. A job looks whether there is an account, and mails a link."""

    __tablename__ = "password_reset"
    __table_args__ = (Index("ix_password_reset_asked", "created_at", postgresql_where=text("person_id IS NULL")),)

    email: Mapped[str]  # as it was typed
    expires_at: Mapped[datetime]
    person_id: Mapped[UUID | None] = mapped_column(ForeignKey(Person.id), index=True)  # whose it is, once looked up
    sha256: Mapped[str | None] = mapped_column(unique=True)
    used_at: Mapped[datetime | None]

    person: Mapped[Person | None] = relationship(lazy="raise")


def fingerprint(secret: str) -> str:
    """The digest under which a random secret is stored. For long random strings only, not for passwords."""
    return hashlib.sha256(secret.encode()).hexdigest()
