"""What is agreed with a partner, whom to ask there, and its logo."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from accounts.models import Partner
from app.clock import now
from app.db import Base, Entity


class Agreement(Entity):
    """A period [from_at, until_at) in which a partner takes part. Outside all of them nothing new starts."""

    __tablename__ = "agreement"
    __table_args__ = (CheckConstraint("until_at IS NULL OR until_at > from_at", name="period"),)

    partner_id: Mapped[UUID] = mapped_column(ForeignKey(Partner.id), index=True)
    from_at: Mapped[datetime]
    until_at: Mapped[datetime | None]  # None: until somebody ends it
    reference: Mapped[str]  # the number or name of the paper, for people

    def holds(self, at: datetime) -> bool:
        return self.from_at <= at and (self.until_at is None or at < self.until_at)


class PartnerContact(Entity):
    """Whom to write or call at a partner. Not an account: nobody signs in as a contact."""

    __tablename__ = "partner_contact"
    __table_args__ = (CheckConstraint("name <> '' AND role <> ''", name="named"),)

    partner_id: Mapped[UUID] = mapped_column(ForeignKey(Partner.id), index=True)
    name: Mapped[str]
    role: Mapped[str]  # what they answer for, in the partner's words
    email: Mapped[str | None]
    phone: Mapped[str | None]


class PartnerLogo(Base):
    """The picture of a partner, under the digest that its address carries. Apart: rows of partners are narrow."""

    __tablename__ = "partner_logo"

    partner_id: Mapped[UUID] = mapped_column(ForeignKey(Partner.id), primary_key=True)
    sha256: Mapped[str]
    media_type: Mapped[str]
    content: Mapped[bytes] = mapped_column(LargeBinary)
    changed_at: Mapped[datetime] = mapped_column(default=now)
