"""Servers that nobody ordered, or that outlived their session: tombstones until their end is confirmed."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Entity
from labs.models.centers import Center


class Stray(Entity):
    """A server at a center without a live session of ours. What it cost is the center's loss."""

    __tablename__ = "stray"
    __table_args__ = (
        Index(
            "uq_stray_present",
            "center_id",
            "hub_user",
            "server_name",
            unique=True,
            postgresql_where=text("gone_at IS NULL"),
        ),
    )

    center_id: Mapped[UUID] = mapped_column(ForeignKey(Center.id))
    hub_user: Mapped[str]
    server_name: Mapped[str]
    session_id: Mapped[UUID | None]  # the session that it was once
    started_at: Mapped[datetime | None]  # as the hub says; None: the hub does not know
    last_seen_at: Mapped[datetime]
    stop_ordered_at: Mapped[datetime | None]
    stop_attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    escalated_at: Mapped[datetime | None]  # operators were told that it does not stop
    gone_at: Mapped[datetime | None]  # confirmed by the hub
    seconds: Mapped[int] = mapped_column(default=0)  # that it ran for nobody
    loss_micro: Mapped[int] = mapped_column(BigInteger, default=0)
