"""What compute costs by the clock: a price an hour, and hours of the week at another price.

Arithmetic only, in whole micro-credits and microseconds: the models and the ledger both count with it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

HOUR = 3600
SLACK = timedelta(minutes=5)  # a lab starts within so much time after its credits were put aside
_HOUR_IN_US = HOUR * 1_000_000
_US = timedelta(microseconds=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Band:
    """On these days (1 is Monday), in [begins, ends) minutes after midnight, an hour costs `price_micro`."""

    days: frozenset[int]
    begins: int
    ends: int
    price_micro: int

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Band":
        return cls(frozenset(row["days"]), minutes(row["from"]), minutes(row["until"]), row["price_micro"])


@dataclass(frozen=True)
class Tariff:
    """A rate as it was pinned: `price_micro` an hour, except within its bands."""

    price_micro: int
    bands: tuple[Band, ...] = ()
    time_zone: str | None = None

    @classmethod
    def of(cls, price_micro: int, bands: Iterable[dict[str, Any]], time_zone: str | None) -> "Tariff":
        return cls(price_micro, tuple(Band.of(band) for band in bands), time_zone)

    def cost(self, start: datetime | None, seconds: int) -> int:
        """Micro-credits for so many seconds from `start` on, rounded down, as usage is."""
        return self._worth(start, seconds) // _HOUR_IN_US

    def most(self, now: datetime, seconds: int, slack: timedelta = SLACK) -> int:
        """The most that so many seconds can cost that start within the slack, rounded up, as holds are.

        The cost bends only where the start or the end crosses the edge of a band: the maximum lies at one of those.
        """
        if not self.bands:
            return -(-self._worth(None, seconds) // _HOUR_IN_US)
        length, last = timedelta(seconds=seconds), now + slack
        edges = [edge for edge, _price in self._edges(now, last + length)]
        bends = {now, last, *edges, *(edge - length for edge in edges)}
        return max(-(-self._worth(start, seconds) // _HOUR_IN_US) for start in bends if now <= start <= last)

    def price_at(self, at: datetime) -> int:
        return next(self._pieces(at, at + _US))[1] if self.bands else self.price_micro

    def _worth(self, start: datetime | None, seconds: int) -> int:
        """Micro-credits an hour times microseconds: exact."""
        if not self.bands:
            return self.price_micro * seconds * 1_000_000
        assert start is not None, "what bands cost depends on the clock"
        return sum(length * price for length, price in self._pieces(start, start + timedelta(seconds=seconds)))

    def _pieces(self, start: datetime, end: datetime) -> Iterator[tuple[int, int]]:
        """(microseconds, price) of each stretch between two edges."""
        price, at = self.price_micro, start
        for edge, next_price in self._edges(start - 2 * _DAY, end):
            if edge > at:
                yield (edge - at) // _US, price
                at = edge
            price = next_price
        if end > at:
            yield (end - at) // _US, price

    def _edges(self, start: datetime, end: datetime) -> list[tuple[datetime, int]]:
        """Where the price changes in [start, end), and to which. Bands that touch share an edge."""
        zone = _zone(self.time_zone or "UTC")
        day, last, edges = start.astimezone(zone).date() - _DAY, end.astimezone(zone).date(), {}
        while day <= last:
            for band in sorted(self.bands, key=lambda band: band.begins):
                if day.isoweekday() in band.days:
                    edges[_moment(day, band.begins, zone)] = band.price_micro
                    edges.setdefault(_moment(day, band.ends, zone), self.price_micro)
            day += _DAY
        return sorted((edge, price) for edge, price in edges.items() if start <= edge < end)


def minutes(text: str) -> int:
    """ "08:30" as minutes after midnight; "24:00" is the end of the day."""
    hours, _, rest = text.partition(":")
    return int(hours) * 60 + int(rest)


def _moment(day: Any, minute: int, zone: ZoneInfo) -> datetime:
    if minute == 24 * 60:
        day, minute = day + _DAY, 0
    return datetime.combine(day, time(minute // 60, minute % 60), zone).astimezone(UTC)


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
