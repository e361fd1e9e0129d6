"""What a Slurm cluster allows to whom, as plain facts: as the platform wants it, and as a cluster shows it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OURS = re.compile(r"[pb]_[0-9a-f]{32}")
WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
TRES = re.compile(r"[a-z]+(/[a-z0-9_-]{1,32})?")


@dataclass(frozen=True)
class Account:
    """`minutes` is GrpTRESMins, such as {"cpu": 600, "gres/npu": 60}: what it and all below it may use, ever."""

    name: str
    parent: str
    shares: int = 1
    minutes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Quality:
    """A quality of service. `minutes` is how long a job may be, `jobs` how many a person may run at once; None: any."""

    name: str
    minutes: int | None = None
    jobs: int | None = None


@dataclass(frozen=True)
class Quotas:
    """What a cluster allows. `members` are pairs of a user and an account; parents stand before their children."""

    accounts: tuple[Account, ...] = ()
    members: frozenset[tuple[str, str]] = frozenset()
    qualities: tuple[Quality, ...] = ()

    @classmethod
    def read(cls, body: Any) -> "Quotas":
        """From JSON. Raises ValueError where anything in it could be something else than a name or a number."""
        try:
            quotas = cls(
                accounts=tuple(Account(**row) for row in body["accounts"]),
                members=frozenset((user, account) for user, account in body["members"]),
                qualities=tuple(Quality(**row) for row in body["qualities"]),
            )
            quotas.check()
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"these are no quotas: {error}") from error
        return quotas

    def check(self) -> None:
        words = {quality.name for quality in self.qualities} | {account.parent for account in self.accounts}
        words |= {user for user, _account in self.members}
        names = {account.name for account in self.accounts} | {account for _user, account in self.members}
        tres = {name for account in self.accounts for name in account.minutes}
        for pattern, found in ((WORD, words), (OURS, names), (TRES, tres)):
            for word in found:
                if not pattern.fullmatch(word):
                    raise ValueError(f"{word!r:.80} is no word of Slurm's")
        numbers = [account.shares for account in self.accounts]
        numbers += [minutes for account in self.accounts for minutes in account.minutes.values()]
        numbers += [n for quality in self.qualities for n in (quality.minutes, quality.jobs) if n is not None]
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**53:
                raise ValueError(f"{number!r:.80} is no number of Slurm's")
