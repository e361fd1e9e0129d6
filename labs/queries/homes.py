"""Reads on homes: how much they hold at a center."""

from uuid import UUID

from flask_babel import format_decimal

from app.db import db
from labs.models import HomeUsage

UNITS = ("KiB", "MiB", "GiB", "TiB")


def home_usage(person_id: UUID, center_id: UUID) -> HomeUsage | None:
    """None: never measured there."""
    return db.session.get(HomeUsage, (person_id, center_id))


def size(size_bytes: int) -> str:
    """A size for reading: 1.5 GiB."""
    amount, unit = size_bytes / 1024, UNITS[0]
    for unit in UNITS:
        if amount < 1024 or unit == UNITS[-1]:
            break
        amount /= 1024
    return f"{format_decimal(round(amount, 1))} {unit}"
