"""Slow down guessing, in a way that locks nobody else out.

Counted are attempts from an address, and attempts for an account from that address: whoever guesses from
elsewhere does not use up what the owner of the account may try. Counters are rows, shared by all web
processes, under a digest that names neither account nor address.
"""

import ipaddress
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import case, delete, update
from sqlalchemy.dialects.postgresql import insert

from accounts.errors import TooManyAttempts
from accounts.models import AttemptCount, fingerprint
from app import clock
from app.db import db

WINDOW = timedelta(minutes=15)
FOR_ACCOUNT = 8  # from one address
INVITATIONS = 20  # wrong codes from one address
RESETS = 50  # passwords asked for, and links tried, from one address
FROM_ADDRESS = 100  # for all accounts; a campus may stand behind one address


def count(email: str, address: str | None) -> None:
    """Count an attempt, before the password is looked at, in a transaction of its own."""
    by_address, by_account = _keys(email, address)
    for key, most in ((by_address, FROM_ADDRESS), (by_account, FOR_ACCOUNT)):  # one order: no deadlock
        attempts, ends_at = _count(key)
        _refuse_above(most, attempts, ends_at)


def forgive(email: str, address: str | None) -> None:
    """The attempt was right: it does not count, and the account starts anew."""
    by_address, by_account = _keys(email, address)
    _take_one_back(by_address)
    db.session.execute(delete(AttemptCount).where(AttemptCount.key == by_account))


def forgive_invitation(address: str | None) -> None:
    """The code was right: it does not count."""
    _take_one_back(fingerprint(f"invitation {_place(address)}"))


def count_code(person_id: UUID) -> None:
    """Count an attempt at the second factor, for the account as a whole: whoever is here knows the password."""
    attempts, ends_at = _count(_code_key(person_id))
    _refuse_above(FOR_ACCOUNT, attempts, ends_at)


def forgive_code(person_id: UUID) -> None:
    db.session.execute(delete(AttemptCount).where(AttemptCount.key == _code_key(person_id)))


def count_invitation(address: str | None) -> None:
    """Count an attempt to use a code of an invitation, by address: such codes are short enough to type."""
    attempts, ends_at = _count(fingerprint(f"invitation {_place(address)}"))
    _refuse_above(INVITATIONS, attempts, ends_at)


def count_reset(address: str | None) -> None:
    """Count who asks for a new password, or brings the link to one. By address alone: whoever asks too often
    for somebody else's account must not keep its owner from asking."""
    attempts, ends_at = _count(fingerprint(f"reset {_place(address)}"))
    _refuse_above(RESETS, attempts, ends_at)


def count_of(what: str) -> tuple[int, datetime]:
    """Count something else that is rare; return how often it happened, and when counting starts anew."""
    return _count(fingerprint(what))


def forget_old() -> int:
    """Remove counters whose time is over."""
    gone = db.session.scalars(
        delete(AttemptCount).where(AttemptCount.ends_at <= clock.now()).returning(AttemptCount.key)
    )
    return len(gone.all())


def _count(key: str) -> tuple[int, datetime]:
    now = clock.now()
    over = AttemptCount.ends_at <= now
    statement = (
        insert(AttemptCount)
        .values(key=key, attempts=1, ends_at=now + WINDOW)
        .on_conflict_do_update(
            index_elements=["key"],
            set_={
                "attempts": case((over, 1), else_=AttemptCount.attempts + 1),
                "ends_at": case((over, now + WINDOW), else_=AttemptCount.ends_at),
            },
        )
        .returning(AttemptCount.attempts, AttemptCount.ends_at)
    )
    attempts, ends_at = db.session.execute(statement).one()
    return attempts, ends_at


def _take_one_back(key: str) -> None:
    counter = update(AttemptCount).where(AttemptCount.key == key, AttemptCount.attempts > 0)
    db.session.execute(counter.values(attempts=AttemptCount.attempts - 1))


def _refuse_above(most: int, attempts: int, ends_at: datetime) -> None:
    if attempts > most:
        raise TooManyAttempts(retry_after=max(1, int((ends_at - clock.now()).total_seconds())))


def _code_key(person_id: UUID) -> str:
    return fingerprint(f"second factor {person_id}")


def _keys(email: str, address: str | None) -> tuple[str, str]:
    place = _place(address)
    return fingerprint(f"address {place}"), fingerprint(f"account {email.strip().lower()} {place}")


def _place(address: str | None) -> str:
    """One home or one campus: an IPv4 address, or the /64 that one IPv6 customer can pick addresses from."""
    try:
        known = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    return str(ipaddress.ip_network(f"{known}/64", strict=False)) if known.version == 6 else str(known)
