"""What we know of people and quotas on Slurm clusters: which account somebody's labs run as, how the quotas stand."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from accounts.models import Person
from app.db import Base
from labs.models.centers import Center


class SlurmUser(Base):
    """The account of a cluster that a person's labs run as. Its hub gives it out and tells us at each start."""

    __tablename__ = "slurm_user"
    __table_args__ = (UniqueConstraint("center_id", "name"),)

    center_id: Mapped[UUID] = mapped_column(ForeignKey(Center.id), primary_key=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), primary_key=True, index=True)
    name: Mapped[str]


class SlurmQuotas(Base):
    """How far the quotas of a cluster are what they should be, as its keeper told last. Never read back as intent."""

    __tablename__ = "slurm_quotas"

    center_id: Mapped[UUID] = mapped_column(ForeignKey(Center.id), primary_key=True)
    heard_at: Mapped[datetime]  # when the keeper last told how they stand
    right_at: Mapped[datetime | None]  # when nothing was left to be changed
    wrong_since: Mapped[datetime | None]  # since when something is, that could not be changed
    differences: Mapped[list[str]] = mapped_column(JSONB, default=list)  # what is still wrong, the first of them
    number: Mapped[int] = mapped_column(default=0)  # of all that is still wrong
    written: Mapped[int] = mapped_column(default=0)  # changes since the beginning
    failure: Mapped[str | None]  # what Slurm said against the last one
    told_at: Mapped[datetime | None]  # operators were told that they do not come right
