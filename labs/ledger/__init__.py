"""The ledger of credits, and the only code that writes it.

Double entry: the entries of a command sum to zero, and are only ever added. `promise` decides on balances without a
database; `journal` locks and writes; `holds` and `credits` are the commands, `revising` the one that follows a better
source on what was used, `together` those of many at once; `rates` says what compute costs; `auditing` recomputes every
balance from the entries. Amounts are micro-credits, prices micro-credits an hour, time is whole seconds. Every command
carries a key: the same key with the same body gives the same answer again, with another body it is a conflict.
"""

from labs.ledger.auditing import Difference, audit
from labs.ledger.credits import correct, expire, grant, open_purse, prolong, pull_back, transfer, write_off
from labs.ledger.holds import (
    Ask,
    Used,
    expire_holds,
    extend,
    longest_extension,
    post,
    post_many,
    reserve,
    reserve_many,
    settle,
    settle_many,
    void,
)
from labs.ledger.journal import Booking, lock_books
from labs.ledger.rates import Tariff, price, tariff
from labs.ledger.revising import revise
from labs.ledger.rows import HoldRow
from labs.ledger.together import Done, Sitting, open_sitting, settle_and_reserve

__all__ = [
    "Ask",
    "Booking",
    "Difference",
    "Done",
    "HoldRow",
    "Sitting",
    "Tariff",
    "Used",
    "audit",
    "correct",
    "expire",
    "expire_holds",
    "extend",
    "grant",
    "lock_books",
    "longest_extension",
    "open_purse",
    "open_sitting",
    "post",
    "post_many",
    "price",
    "prolong",
    "pull_back",
    "reserve",
    "reserve_many",
    "revise",
    "settle",
    "settle_and_reserve",
    "settle_many",
    "tariff",
    "transfer",
    "void",
    "write_off",
]
