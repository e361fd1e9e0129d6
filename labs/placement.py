"""Where a lab is to run: which of the centers that could run it is the best for whoever asks. Pure: knows no tables.

Waiting and price are made comparable: twice the price of the cheapest counts as half an hour of waiting. One's files
lie at one center; going elsewhere must be worth ten minutes. What is equal then goes by waiting, price and names, so
that the same question has the same answer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

DOUBLE_PRICE_SECONDS = 30 * 60
HOME_SECONDS = 10 * 60
CREDIT_MICRO = 1_000_000  # cheaper leases than that differ too little to wait for

# Where every center refuses, a person hears of what they can mend themselves, then of what waiting mends, then of the
# rest. Reasons that are not listed come last.
USEFUL = (
    "TERMS_NOT_ACCEPTED",
    "SPAWN_THROTTLED",
    "CAPACITY_FULL",
    "EXCEEDS_MAX_REQUEST",
    "TRANCHE_ENDS_BEFORE_LEASE",
    "MEMBER_CAP_EXHAUSTED",
    "BUDGET_EXHAUSTED",
    "USER_CONCURRENCY",
    "HOME_FULL",
    "CENTER_UNREACHABLE",
    "CENTER_MAINTENANCE",
    "BUDGET_OVERRUN",
    "AGREEMENT_ENDED",
    "DATA_RESIDENCY",
    "FLAVOR_NOT_GRANTED",
    "EXCEEDS_CENTER_CAPACITY",
)


@dataclass(frozen=True)
class Candidate:
    """A flavor at a center, as it is for one lease of one person."""

    center: str
    flavor: str
    price_micro: int  # what the lease puts aside at the most
    wait_seconds: int  # until it would start, as far as one can tell
    is_home: bool = False  # the person's files of this lab lie there
    reason: str | None = None  # the stable code of what a launch there would be refused with


def ranked(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Those that refuse nothing, the best first."""
    possible = [candidate for candidate in candidates if candidate.reason is None]
    cheapest = min((candidate.price_micro for candidate in possible), default=0)
    scale = max(cheapest, CREDIT_MICRO)

    def order(one: Candidate) -> tuple[int, int, int, str, str]:
        seconds = one.wait_seconds - (HOME_SECONDS if one.is_home else 0)
        burden = seconds * scale + (one.price_micro - cheapest) * DOUBLE_PRICE_SECONDS
        return burden, one.wait_seconds, one.price_micro, one.center, one.flavor

    return sorted(possible, key=order)


def refusing(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Those that refuse, the refusal that helps the person most first."""
    return sorted(
        (candidate for candidate in candidates if candidate.reason is not None),
        key=lambda one: (_rank(one.reason), not one.is_home, one.price_micro, one.center, one.flavor),
    )


def in_order(candidates: Sequence[Candidate]) -> list[Candidate]:
    """All of them: the best first, those that refuse last."""
    return [*ranked(candidates), *refusing(candidates)]


def _rank(reason: str | None) -> int:
    return USEFUL.index(reason) if reason in USEFUL else len(USEFUL)
