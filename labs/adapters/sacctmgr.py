"""A typed client of `sacctmgr`: reads what a cluster's accounting allows to whom, and brings it to what is wanted.

For the cluster's own host, as an account that Slurm calls an administrator. slurmrestd of 22.05 reads the same and
cannot alter it (docs/adr/0011). Knows Slurm and none of our tables; touches only what stands below `trunk` and is
named like ours, and the qualities of service it is given.
"""

import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from labs.slurm_quotas import OURS, Account, Quality, Quotas

CLOSED = {"cpu": 0}
Run = Callable[[Sequence[str], str], str]


class SacctmgrError(Exception):
    """It did not do what it was asked; in its words. Try again later."""


@dataclass(frozen=True)
class Change:
    """One command of sacctmgr's, and why it is needed, for people."""

    command: str
    why: str


class Sacctmgr:
    """`trunk` is the account below which ours hang. It is never changed itself."""

    def __init__(self, trunk: str = "chancai", run: Run | None = None) -> None:
        self._trunk = trunk
        self._run = run or _run

    def now(self) -> Quotas:
        """What the cluster allows, as far as it is ours."""
        rows = self._rows("assoc", "account,user,parentname,share,grptresmins")
        accounts = {
            account: Account(account, parent, int(share) if share.isdecimal() else 1, _minutes(minutes))
            for account, user, parent, share, minutes in rows
            if not user and OURS.fullmatch(account)
        }
        members = frozenset((user, account) for account, user, *_ in rows if user and OURS.fullmatch(account))
        qualities = tuple(
            Quality(name, _wall(wall), int(jobs) if jobs else None)
            for name, wall, jobs in self._rows("qos", "name,maxwall,maxjobspu")
        )
        return Quotas(tuple(accounts.values()), members, qualities)

    def apply(self, wanted: Quotas) -> tuple[int, list[Change], str]:
        """Write the differences, and look again: how many were written, which are left, and what Slurm said of them.

        Safe to repeat, and to interrupt. Raises `SacctmgrError` where accounting does not answer at all.
        """
        wanted.check()
        changes = list(differences(self.now(), wanted, self._trunk))
        if not changes:
            return 0, [], ""
        said = ""
        try:
            self._run(["sacctmgr", "-i", "-Q"], "".join(f"{change.command}\n" for change in changes))
        except SacctmgrError as error:
            said = str(error)
        left = list(differences(self.now(), wanted, self._trunk))
        return len(changes) - len(left), left, said if left else ""

    def _rows(self, what: str, columns: str) -> list[list[str]]:
        said = self._run(["sacctmgr", "-n", "-P", "show", what, f"format={columns}"], "")
        return [line.split("|") for line in said.splitlines() if line]


def differences(now: Quotas, wanted: Quotas, trunk: str) -> Iterator[Change]:
    """What must be changed, in an order in which Slurm takes it."""
    yield from _of_qualities({quality.name: quality for quality in now.qualities}, wanted.qualities)
    there = {account.name: account for account in now.accounts}
    for account in wanted.accounts:
        yield from _of_account(there.get(account.name), account)
    known = {account.name for account in wanted.accounts}
    for name, account in there.items():
        if name not in known and account.minutes != CLOSED:
            yield Change(_set(account, Account(name, account.parent, account.shares, CLOSED)), f"{name}: nobody's")
    for user, name in sorted(wanted.members - now.members):
        qualities = "QOS=lab,batch DefaultQOS=lab"
        yield Change(f"add user {user} Account={name} {qualities}", f"{user} may not use {name}")
    for user, name in sorted(now.members - wanted.members):
        yield Change(f"delete user name={user} account={name}", f"{user} may still use {name}")


def _of_qualities(there: Mapping[str, Quality], wanted: Iterable[Quality]) -> Iterator[Change]:
    for quality in wanted:
        limits = f"MaxWall={_or_none(quality.minutes)} MaxJobsPerUser={_or_none(quality.jobs)}"
        if quality.name not in there:
            yield Change(f"add qos {quality.name} Flags=DenyOnLimit {limits}", f"there is no quality {quality.name}")
        elif there[quality.name] != quality:
            yield Change(f"modify qos where name={quality.name} set {limits}", f"limits of {quality.name}")


def _of_account(there: Account | None, wanted: Account) -> Iterator[Change]:
    name = wanted.name
    if there is None:
        limits = f"Parent={wanted.parent} Fairshare={wanted.shares} QOS=lab,batch DefaultQOS=lab"
        minutes = f" GrpTRESMins={_tres(wanted.minutes)}" if wanted.minutes else ""
        yield Change(f"add account {name} {limits}{minutes}", f"there is no {name}")
        return
    if there.parent != wanted.parent:
        yield Change(f"modify account where name={name} set Parent={wanted.parent}", f"{name}: its parent")
    if there.shares != wanted.shares or dict(there.minutes) != dict(wanted.minutes):
        yield Change(_set(there, wanted), f"{name}: its limits")


def _set(there: Account, wanted: Account) -> str:
    lifted = {name: -1 for name in there.minutes if name not in wanted.minutes}
    minutes = {**wanted.minutes, **lifted}
    limits = f" GrpTRESMins={_tres(minutes)}" if minutes else ""
    return f"modify account where name={wanted.name} set Fairshare={wanted.shares}{limits}"


def _tres(minutes: Mapping[str, int]) -> str:
    return ",".join(f"{name}={count}" for name, count in sorted(minutes.items()))


def _or_none(number: int | None) -> int:
    return -1 if number is None else number


def _minutes(text: str) -> dict[str, int]:
    """GrpTRESMins as it is shown: "cpu=600,gres/npu=60"."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {name: int(count) for name, _, count in pairs}


def _wall(text: str) -> int | None:
    """Minutes, from "1-02:03:04" or "12:00:00"."""
    if not text:
        return None
    days, _, rest = text.rpartition("-")
    hours, minutes, _seconds = (int(part) for part in rest.split(":"))
    return int(days or 0) * 1440 + hours * 60 + minutes


def _run(command: Sequence[str], given: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - our own words, checked
            command, input=given, capture_output=True, text=True, timeout=300, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SacctmgrError(f"{command[0]}: {error}") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-500:]
        raise SacctmgrError(f"{command[0]}: {said or f'exit status {done.returncode}'}")
    return done.stdout
