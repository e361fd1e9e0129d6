"""What the tests of accounts share: argon2id that is quick, and somebody with a password."""

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from accounts import passwords
from accounts.models import Person
from tests.make import Make

PASSWORD = "correct horse battery"


class CountingHasher(PasswordHasher):
    """argon2id with little work, which counts how often it was asked to verify."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=64, parallelism=1)
        self.verified = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:
        try:
            found = super().verify(hash, password)
        except VerifyMismatchError:
            self.verified += 1
            raise
        self.verified += 1  # not reached, and not counted above, when the hash is not one: then nothing was computed
        return found


@pytest.fixture(autouse=True)
def hasher(monkeypatch: pytest.MonkeyPatch) -> Iterator[CountingHasher]:
    quick = CountingHasher()
    monkeypatch.setattr(passwords, "hasher", quick)
    passwords._decoy.cache_clear()
    yield quick
    passwords._decoy.cache_clear()


@pytest.fixture
def wang(make: Make, hasher: CountingHasher) -> Person:
    return make.person(email="wang@qdu.example", name="王伟", language="en", password_hash=passwords.hashed(PASSWORD))
