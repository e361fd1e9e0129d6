"""Homes at the centers: how much they hold, and those of erased people, which are to be deleted."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from accounts.models import Person
from app.db import Base, Entity
from labs.models.centers import Center


class HomeRemoval(Entity):
    """A home folder at the centers whose person was erased: the people who run the centers delete it."""

    __tablename__ = "home_removal"

    hub_name: Mapped[str] = mapped_column(unique=True)
    removed_at: Mapped[datetime | None]


class HomeUsage(Base):
    """How much a person's home holds at a center, as last measured there."""

    __tablename__ = "home_usage"

    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), primary_key=True)
    center_id: Mapped[UUID] = mapped_column(ForeignKey(Center.id), primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    files: Mapped[int]
    measured_at: Mapped[datetime]
    warned_at: Mapped[datetime | None]  # when the person was told that it is nearly full
