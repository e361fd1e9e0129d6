"""What is left of erased people outside the database, until somebody has removed it."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from app.db import Entity


class HomeRemoval(Entity):
    """A home folder at the centers whose person was erased: the people who run the centers delete it."""

    __tablename__ = "home_removal"

    hub_name: Mapped[str] = mapped_column(unique=True)
    removed_at: Mapped[datetime | None]
