"""The ledger of credits, and the only code that writes it.

`books` has the commands, `rates` what compute costs, `auditing` recomputes every balance from the entries.
"""

from labs.ledger.auditing import Difference, audit
from labs.ledger.books import expire, grant, open_purse, post, price, reserve, settle, transfer, void
from labs.ledger.rates import Tariff, tariff

__all__ = [
    "Difference",
    "Tariff",
    "audit",
    "expire",
    "grant",
    "open_purse",
    "post",
    "price",
    "reserve",
    "settle",
    "tariff",
    "transfer",
    "void",
]
