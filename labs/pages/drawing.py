"""The burn-down as lines: what the template needs to draw it, in a square of a thousand units."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from app.locale import MICRO
from labs.queries import BurnDown, Day

SIDE = 1000
FEW = 35  # rows of the table that are shown by day; more are shown by week


@dataclass(frozen=True)
class Mark:
    """A place on an axis, in percent, and what stands there."""

    at: float
    value: int | date


@dataclass(frozen=True)
class Drawing:
    left: str  # the line of what was left, as a path
    ground: str  # the area below it
    even: str  # the straight line to the end
    forecast: str
    spread: str  # the area between the low and the high pace
    today: float  # in percent of the width
    levels: list[Mark]
    starts_on: date
    last_day: date


@dataclass(frozen=True)
class Span:
    """A row of the table: one day, or several."""

    first: date
    last: date
    used: int
    came: int
    expired: int
    left: int


def draw(burn: BurnDown) -> Drawing:
    start, end = burn.starts_on, max(burn.ends_on, burn.today + timedelta(days=1))
    width = max(1, (end - start).days)
    before = max(0, burn.days[0].left - burn.days[0].came + burn.days[0].used + burn.days[0].expired)
    past = [(0, before), *(((day.day - start).days + 1, day.left) for day in burn.days)]
    top = _top(max(MICRO, *(left for _x, left in past)))
    even = burn.even_from
    here = past[-1]

    def points(pairs: Iterable[tuple[int, int]]) -> list[tuple[float, float]]:
        return [(x * SIDE / width, SIDE - y * SIDE / top) for x, y in pairs]

    def ahead(path: Sequence[int]) -> list[tuple[int, int]]:
        """From now on; today's part of it is no longer a whole day, so it begins tomorrow."""
        return [here, *((here[0] + place, min(here[1], left)) for place, left in enumerate(path[1:], 1))]

    found = burn.forecast
    is_over = burn.is_over
    low, high = ahead(found.at_low.path), ahead(found.at_high.path)
    line = points(past)
    return Drawing(
        left=_path(line),
        ground=_path([(line[0][0], SIDE), *line, (line[-1][0], SIDE)]) + "Z",
        even=_path(points([((even.day - start).days + 1, even.left), (width, 0)])),
        forecast="" if is_over else _path(points(ahead(found.outcome.path))),
        spread="" if is_over else _path(points([*low, *reversed(high)])) + "Z",
        today=round(here[0] * 100 / width, 1),
        levels=[Mark(round(100 - 100 * part / 4, 1), top * part // 4) for part in (1, 2, 3, 4)],
        starts_on=start,
        last_day=end - timedelta(days=1),
    )


def table(days: Sequence[Day]) -> list[Span]:
    """The latest first: by day, or by week where that would be too long."""
    size = 1 if len(days) <= FEW else 7
    latest_first = list(reversed(days))
    spans = [latest_first[place : place + size] for place in range(0, len(days), size)]
    return [
        Span(
            first=part[-1].day,
            last=part[0].day,
            used=sum(day.used for day in part),
            came=sum(day.came for day in part),
            expired=sum(day.expired for day in part),
            left=part[0].left,
        )
        for part in spans
    ]


def _top(most: int) -> int:
    """A round number that is not less: 1, 2, 4, 5, 8 or 10 times a power of ten."""
    power = int("1" + "0" * (len(str(most)) - 1))
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= most)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
