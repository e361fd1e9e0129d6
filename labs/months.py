"""Calendar months in the zone in which the books are kept: what is closed, and what a statement is about."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

from app.locale import DEFAULT_ZONE, zone

_WRITTEN = re.compile(r"(2[0-9]{3})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, order=True)
class Month:
    """A month; as text it is written as in ISO 8601: 2026-02."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> "Month | None":
        """The month that is written so; None where there is no such month."""
        found = _WRITTEN.fullmatch(text)
        return cls(int(found[1]), int(found[2])) if found else None

    @classmethod
    def of(cls, moment: datetime) -> "Month":
        local = moment.astimezone(zone(DEFAULT_ZONE))
        return cls(local.year, local.month)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"

    @property
    def next(self) -> "Month":
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    @property
    def previous(self) -> "Month":
        return Month(self.year - (self.number == 1), (self.number - 2) % 12 + 1)

    @property
    def first_day(self) -> date:
        return date(self.year, self.number, 1)

    @property
    def starts_at(self) -> datetime:
        return datetime(self.year, self.number, 1, tzinfo=zone(DEFAULT_ZONE)).astimezone(UTC)

    @property
    def ends_at(self) -> datetime:
        """The moment at which it is over: the first one of the next month."""
        return self.next.starts_at
