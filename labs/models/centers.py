"""Centers, what they offer and at which rates, how full they are, and the terms of their use."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from accounts.models import Partner, Person
from app.db import Base, Entity


class CenterState(StrEnum):
    """What the operator wants. Whether the hub answers is observed, and stands in `unreachable_since`."""

    UP = "up"
    DRAINING = "draining"
    MAINTENANCE = "maintenance"


class CenterKind(StrEnum):
    """What runs the labs of a center, behind its hub."""

    HOST = "host"
    SLURM = "slurm"
    KUBERNETES = "kubernetes"


class Center(Entity):
    """A cluster and the hub in front of it. How to reach the hub stands in the settings, under `slug`."""

    __tablename__ = "center"
    __table_args__ = (
        CheckConstraint("session_limit >= 0", name="session_limit"),
        CheckConstraint("start_limit > 0", name="start_limit"),
        CheckConstraint("idle_minutes > 0", name="idle_minutes"),
    )

    slug: Mapped[str] = mapped_column(unique=True)
    partner_id: Mapped[UUID] = mapped_column(ForeignKey(Partner.id))
    title_zh: Mapped[str]
    title_en: Mapped[str]
    kind: Mapped[CenterKind] = mapped_column(default=CenterKind.HOST, server_default="host")
    region: Mapped[str | None]  # where its disks stand, as in the terms of data: "CN-SC"; None: not said
    state: Mapped[CenterState] = mapped_column(default=CenterState.UP)
    session_limit: Mapped[int] = mapped_column(default=1000)
    start_limit: Mapped[int] = mapped_column(default=20, server_default="20")  # starts under way at once
    cores: Mapped[float | None]  # all that the center has; None: not said
    memory_mb: Mapped[int | None]
    accelerators: Mapped[int | None]
    time_zone: Mapped[str] = mapped_column(default="Asia/Shanghai", server_default="Asia/Shanghai")  # of its rate bands
    home_quota_mb: Mapped[int | None]  # how much a home may hold; None: no limit
    idle_minutes: Mapped[int] = mapped_column(default=30, server_default="30")  # without work, until a lab is stopped
    unreachable_since: Mapped[datetime | None]  # written by the reconciler only
    reached_at: Mapped[datetime | None]  # written by the reconciler only
    told_unreachable_at: Mapped[datetime | None]  # operators were told that the hub does not answer

    flavors: Mapped[list["Flavor"]] = relationship(back_populates="center", lazy="raise", order_by="Flavor.price_micro")

    @property
    def home_quota_bytes(self) -> int | None:
        return None if self.home_quota_mb is None else self.home_quota_mb << 20


class Flavor(Entity):
    """What a session gets at a center, and its price."""

    __tablename__ = "flavor"
    __table_args__ = (
        UniqueConstraint("center_id", "slug"),
        CheckConstraint("price_micro >= 0", name="price"),
        CheckConstraint("cores > 0 AND memory_mb > 0 AND accelerators >= 0", name="size"),
    )

    center_id: Mapped[UUID] = mapped_column(ForeignKey(Center.id), index=True)
    slug: Mapped[str]
    title_zh: Mapped[str]
    title_en: Mapped[str]
    cores: Mapped[float]
    memory_mb: Mapped[int]
    accelerators: Mapped[int] = mapped_column(default=0)
    accelerator_kind: Mapped[str | None]
    partition: Mapped[str | None]  # of the scheduler; None: the center's own default
    gres: Mapped[str | None]  # what the scheduler calls its accelerators, with their number: "npu:ascend:1"
    price_micro: Mapped[int] = mapped_column(BigInteger)  # micro-credits an hour: the rate in force, outside its bands
    longest_minutes: Mapped[int] = mapped_column(default=8 * 60)
    is_active: Mapped[bool] = mapped_column(default=True)
    is_rescue: Mapped[bool] = mapped_column(default=False, server_default="false")  # free, to get at one's files

    center: Mapped[Center] = relationship(back_populates="flavors", lazy="joined", innerjoin=True)

    @property
    def size(self) -> str:
        """What it gives, as one word: flavors of a size are the same to a lab, wherever they run."""
        size = f"{self.cores:g}c-{self.memory_mb}m"
        return f"{size}-{self.accelerators}x{self.accelerator_kind or ''}" if self.accelerators else size


class Rate(Entity):
    """What a flavor costs from a moment on, until the next rate. Never changed; a hold pins the one in force."""

    __tablename__ = "rate"
    __table_args__ = (
        UniqueConstraint("flavor_id", "valid_from"),
        CheckConstraint("price_micro >= 0", name="price"),
    )

    flavor_id: Mapped[UUID] = mapped_column(ForeignKey(Flavor.id))
    valid_from: Mapped[datetime]
    price_micro: Mapped[int] = mapped_column(BigInteger)  # micro-credits an hour, outside the bands
    bands: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list)
    """Hours at another price, in the center's time zone: {"days": [1..7], "from": "08:00", "until": "22:00",
    "price_micro": …, "name_zh": "高峰", "name_en": "Peak"}; days as in ISO 8601 (1 is Monday), [from, until)."""


class CenterLoad(Base):
    """How many places of a center are taken, and how many labs wait. Narrow and apart: every launch writes it."""

    __tablename__ = "center_load"
    __table_args__ = (
        CheckConstraint("taken >= 0", name="taken"),
        CheckConstraint("waiting >= 0", name="waiting"),
    )

    center_id: Mapped[UUID] = mapped_column(ForeignKey(Center.id), primary_key=True)
    taken: Mapped[int] = mapped_column(default=0)
    waiting: Mapped[int] = mapped_column(default=0, server_default="0")  # as long as somebody waits, nobody overtakes


class CenterTerms(Entity):
    """The terms of use of a center, in force since `created_at` until the next; who launches has accepted the last."""

    __tablename__ = "center_terms"
    __table_args__ = (UniqueConstraint("center_id", "number"),)

    center_id: Mapped[UUID] = mapped_column(ForeignKey(Center.id))
    number: Mapped[int]
    text_zh: Mapped[str]
    text_en: Mapped[str]

    center: Mapped[Center] = relationship(lazy="joined", innerjoin=True)


class TermsAcceptance(Base):
    """A person accepted these terms."""

    __tablename__ = "terms_acceptance"

    terms_id: Mapped[UUID] = mapped_column(ForeignKey(CenterTerms.id), primary_key=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), primary_key=True, index=True)
    accepted_at: Mapped[datetime]
