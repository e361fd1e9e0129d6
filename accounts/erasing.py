"""What takes part when a person is erased. Each domain registers what must end before, and what it forgets then."""

from collections.abc import Callable
from uuid import UUID

READY: list[Callable[[UUID], bool]] = []
STEPS: list[Callable[[UUID, str], None]] = []


def ready_when(ready: Callable[[UUID], bool]) -> None:
    """`ready` sees to it that what is under way ends, and says whether it has."""
    READY.append(ready)


def step(forget: Callable[[UUID, str], None]) -> Callable[[UUID, str], None]:
    """`forget` is given the person and the pseudonym under which the rest stays."""
    STEPS.append(forget)
    return forget
