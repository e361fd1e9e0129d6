"""Passwords that everybody who guesses tries first: some tens of thousands, shipped as a Bloom filter.

`python tools/common_passwords.py` makes the file. It never misses one of the list, and takes one in a million
other passwords for one of it. A look-up reads the same number of bits, whatever they are.
"""

import hashlib
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("passwords.bloom")
PROBES = 20  # bits looked at for each password
TRIMMINGS = 8  # digits and signs around a common password, which add next to nothing


def contains(password: str) -> bool:
    """Whether the password is a common one, or little more than one with digits and signs around it."""
    plain = password.casefold()
    bare = _without_trimmings(plain)
    return _is_in(plain) | _is_in(bare if len(plain) - len(bare) <= TRIMMINGS else plain)


def positions(password: str, bits: int) -> list[int]:
    """The bits of the filter that stand for a password."""
    digest = hashlib.shake_256(password.encode(errors="surrogatepass")).digest(4 * PROBES)
    return [int.from_bytes(digest[i : i + 4]) % bits for i in range(0, len(digest), 4)]


def _is_in(password: str) -> bool:
    filled = _filter()
    found = 1
    for position in positions(password, 8 * len(filled)):  # all of them: stopping early would tell how far it fits
        found &= filled[position >> 3] >> (position & 7)
    return bool(found & 1)


def _without_trimmings(plain: str) -> str:
    letters = [i for i, c in enumerate(plain) if c.isalpha()]
    return plain[letters[0] : letters[-1] + 1] if letters else plain


@cache
def _filter() -> bytes:
    return FILE.read_bytes()
