"""How long credits last: what was used of late, carried on. Pure arithmetic on whole micro-credits and days.

The days before today count with half the weight for each week that they lie back. A range goes with the figure:
between its bounds lies the true daily use in about four of five cases, if people go on as they did.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

WINDOW_DAYS = 28
HALF_LIFE_DAYS = 7.0
FOUR_OF_FIVE = 1.28  # standard deviations on either side
FEW_DAYS = 3  # fewer say nothing about how use varies
LONGEST = timedelta(days=3 * 366)  # nobody plans further


@dataclass(frozen=True)
class Pace:
    """Credits used a day: the figure, and the range around it."""

    per_day: int
    low: int
    high: int


@dataclass(frozen=True)
class Lot:
    """Credits that can be spent on the days [since, until)."""

    amount: int
    since: date
    until: date


@dataclass(frozen=True)
class Outcome:
    """What comes of one pace: the first day that lacks credits, and what nobody will have used."""

    runs_out_on: date | None
    expires: int  # with a tranche that ends before the budget does
    left: int  # when the budget ends
    path: tuple[int, ...] = field(default=(), compare=False)  # what is left at the end of each day from today

    @property
    def unused(self) -> int:
        return self.expires + self.left


@dataclass(frozen=True)
class Forecast:
    """The outcome of the pace, and of the bounds of its range."""

    pace: Pace
    outcome: Outcome
    at_high: Outcome
    at_low: Outcome
    days_known: int

    @property
    def earliest(self) -> date | None:
        return self.at_high.runs_out_on

    @property
    def latest(self) -> date | None:
        """None: with the low pace it lasts."""
        return self.at_low.runs_out_on


def pace(used: Sequence[int]) -> Pace:
    """The daily use of late, from whole days, the last of them yesterday."""
    known = list(used[-WINDOW_DAYS:])
    if not known:
        return Pace(0, 0, 0)
    weights = [0.5 ** ((len(known) - 1 - place) / HALF_LIFE_DAYS) for place in range(len(known))]
    whole = math.fsum(weights)
    mean = math.fsum(w * u for w, u in zip(weights, known, strict=True)) / whole
    if len(known) < FEW_DAYS:
        return Pace(round(mean), round(mean / 2), round(mean * 2))
    spread = math.fsum(w * (u - mean) ** 2 for w, u in zip(weights, known, strict=True)) / whole
    effective = whole**2 / math.fsum(w * w for w in weights)
    off = FOUR_OF_FIVE * math.sqrt(spread / max(1.0, effective - 1))
    return Pace(round(mean), max(0, round(mean - off)), round(mean + off))


def carry_on(lots: Sequence[Lot], per_day: int, today: date, ends_on: date) -> Outcome:
    """Spend so much each day from today until the day before `ends_on`, the first to expire first."""
    end = min(ends_on, today + LONGEST)
    rest = sorted((lot for lot in lots if lot.until > today and lot.amount > 0), key=lambda lot: (lot.until, lot.since))
    runs_out_on, expires, day, path = None, 0, today, []
    while day < end and rest:
        expires += sum(lot.amount for lot in rest if lot.until <= day)
        rest = [lot for lot in rest if lot.until > day]
        need = per_day
        for place, lot in enumerate(rest):
            if lot.since <= day:
                part = min(need, lot.amount)
                rest[place] = replace(lot, amount=lot.amount - part)
                need -= part
        rest = [lot for lot in rest if lot.amount]
        if need and runs_out_on is None:
            runs_out_on = day
        path.append(sum(lot.amount for lot in rest))
        day += timedelta(days=1)
    if runs_out_on is None and per_day and day < end:
        runs_out_on = day
    return Outcome(runs_out_on, expires, sum(lot.amount for lot in rest), tuple(path))


def forecast(lots: Sequence[Lot], used: Sequence[int], today: date, ends_on: date) -> Forecast:
    found = pace(used)
    return Forecast(
        found,
        carry_on(lots, found.per_day, today, ends_on),
        carry_on(lots, found.high, today, ends_on),
        carry_on(lots, found.low, today, ends_on),
        min(len(used), WINDOW_DAYS),
    )
