"""Lab templates: what a teacher prepares."""

from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    LargeBinary,
    Table,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from accounts.models import Partner
from app.db import Base, Entity
from labs.models.centers import Flavor

template_flavor = Table(
    "lab_template_flavor",
    Base.metadata,
    Column("template_id", ForeignKey("lab_template.id"), primary_key=True),
    Column("flavor_id", ForeignKey("flavor.id"), primary_key=True),
)


class LabTemplate(Entity):
    """What a teacher prepares: files that are there at the start, flavors to choose from, a longest lease."""

    __tablename__ = "lab_template"
    __table_args__ = (
        CheckConstraint("0 < default_minutes AND default_minutes <= longest_minutes", name="lease"),
        CheckConstraint("idle_minutes > 0", name="idle_minutes"),
    )

    partner_id: Mapped[UUID] = mapped_column(ForeignKey(Partner.id), index=True)
    title_zh: Mapped[str]
    title_en: Mapped[str]
    folder: Mapped[str]  # where the files land in the home
    default_minutes: Mapped[int]
    longest_minutes: Mapped[int]
    sessions_each: Mapped[int] = mapped_column(default=1, server_default="1")  # how many one person may run at once
    region: Mapped[str | None]  # where its people's files may lie: "CN", or more narrowly "CN-SC"; None: anywhere
    idle_minutes: Mapped[int | None]  # without work, until the lab is stopped; None: as the center says

    flavors: Mapped[list[Flavor]] = relationship(secondary=template_flavor, lazy="raise", order_by=Flavor.price_micro)
    files: Mapped[list["LabFile"]] = relationship(lazy="raise", order_by="LabFile.path")


class LabFile(Entity):
    """One file of a template; `path` is relative to the template's folder."""

    __tablename__ = "lab_file"
    __table_args__ = (UniqueConstraint("template_id", "path"),)

    template_id: Mapped[UUID] = mapped_column(ForeignKey(LabTemplate.id))
    path: Mapped[str]
    content: Mapped[bytes] = mapped_column(LargeBinary)
    sha256: Mapped[str]
