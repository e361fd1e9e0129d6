"""Passwords as argon2id hashes. Checking costs the same whether or not there is somebody to check."""

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

hasher = PasswordHasher()


def hashed(password: str) -> str:
    return hasher.hash(password)


def matches(stored: str | None, password: str) -> bool:
    """Whether the password is the stored one; without a stored one the same work is done in vain."""
    decoy = _decoy()
    try:
        return hasher.verify(stored or decoy, password) and stored is not None
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(stored: str) -> bool:
    """Whether today's parameters are stronger than those of the hash."""
    return hasher.check_needs_rehash(stored)


@cache
def _decoy() -> str:
    return hasher.hash(secrets.token_urlsafe())
