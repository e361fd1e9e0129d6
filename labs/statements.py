"""The body of a statement: how it is written for its hash, and the proof that it adds up.

Pure functions on the JSON that is stored, so that whoever gets a body can check it with nothing else at hand; what
the fields mean stands in docs/statements.md. Amounts are micro-credits, as integers; people are ids only.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from labs.models import Account, Command

VERSION = 1
NOTHING_BEFORE = "0" * 64  # what the first statement of a partner follows
Body = dict[str, Any]
BALANCES = (Account.AVAILABLE, Account.HELD, Account.USED, Account.EXPIRED, Account.OVERRUN)
FLOWS = ("granted", "received", "passed_on", "pulled_in", "pulled_out", "used", "corrected", "expired")
WAYS: dict[str, tuple[str, str]] = {
    Command.TRANSFER: ("received", "passed_on"),
    Command.PULL_BACK: ("pulled_in", "pulled_out"),
}
LINES = ("by_budget", "by_person", "by_flavor")


def canonical(body: Body) -> bytes:
    """The body as RFC 8785 writes it: keys sorted, no white space, UTF-8. Bodies hold no fractions and few keys."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(previous: str, body: Body) -> str:
    """The hash that seals a statement: of the hash before it, followed by its body."""
    return hashlib.sha256(previous.encode() + canonical(body)).hexdigest()


def balance(accounts: dict[str, int]) -> int:
    """What a budget stands at: what it may still spend, with what is promised, without what it owes."""
    return accounts["available"] + accounts["held"] - accounts["overrun"]


def flows(movements: Iterable[list[Any]], passed: Iterable[tuple[str, int]] = ()) -> dict[str, int]:
    """The movements [command, account, amount] of a budget in the words in which people think of them.

    `passed` are its transfers and pull-backs one by one, since it can be on either side, and in one month on both.
    """
    found = dict.fromkeys(FLOWS, 0)
    for command, account, amount in movements:
        if account == Account.USED:
            name, sign = ("corrected", -1) if command == Command.CORRECT else ("used", 1)
            found[name] += sign * amount
        elif account == Account.EXPIRED:
            found["expired"] += amount
        elif command == Command.GRANT:
            found["granted"] += comes_in(account, amount)
    for command, net in passed:
        found[WAYS[command][net < 0]] += abs(net)
    return found


def comes_in(account: str, amount: int) -> int:
    """What a movement adds to a balance: credits, or a debt that is paid with them."""
    return amount if account in (Account.AVAILABLE, Account.HELD) else -amount if account == Account.OVERRUN else 0


def passed_on(events: Iterable[Body]) -> dict[int, list[tuple[str, int]]]:
    """The transfers and pull-backs of each budget, by its place: (command, what came in or, negative, went out)."""
    found: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for event in events:
        if event["command"] in WAYS:
            net: Counter[int] = Counter()
            for budget, account, amount in event["lines"]:
                net[budget] += comes_in(account, amount)
            for budget, amount in net.items():
                found[budget].append((event["command"], amount))
    return found


def change(found: dict[str, int]) -> int:
    """By how much these flows change a balance."""
    comes = found["granted"] + found["received"] + found["pulled_in"] + found["corrected"]
    return comes - found["passed_on"] - found["pulled_out"] - found["used"] - found["expired"]


def sums(usage: Iterable[list[int]], place: int) -> list[list[int]]:
    """Usage lines [budget, person, flavor, micro, seconds, sessions] added up by what stands at that place."""
    found: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    for line in usage:
        total = found[line[place]]
        total[0] += line[3]
        total[1] += line[4]
        total[2] += line[5]
    return [[key, *found[key]] for key in sorted(found)]


def totals(body: Body) -> dict[str, int]:
    """All budgets together. Transfers between them are in `received` and `passed_on` alike."""
    found: Counter[str] = Counter(dict.fromkeys((*FLOWS, "opening", "closing", "seconds", "sessions"), 0))
    for row in body["budgets"]:
        found.update(row["flows"])
        found["opening"] += balance(row["opening"])
        found["closing"] += balance(row["closing"])
    for line in body["usage"]:
        found["seconds"] += line[4]
        found["sessions"] += line[5]
    return dict(found)


def faults(body: Body) -> list[str]:
    """Where a body contradicts itself; an honest one gives an empty list."""
    if body["version"] != VERSION:
        return [f"version {body['version']} is not known"]
    return [*_of_budgets(body), *_of_usage(body), *_of_totals(body)]


def _of_budgets(body: Body) -> Iterator[str]:
    passed = passed_on(body["events"])
    for place, row in enumerate(body["budgets"]):
        moved: Counter[str] = Counter()
        for _command, account, amount in row["movements"]:
            moved[account] += amount
        for account in BALANCES:
            if row["opening"][account] + moved[account] != row["closing"][account]:
                yield f"budget {row['id']}: {account} opens, moves and closes at amounts that do not add up"
        if flows(row["movements"], passed[place]) != row["flows"]:
            yield f"budget {row['id']}: its flows are not what its movements add up to"
        if balance(row["opening"]) + change(row["flows"]) != balance(row["closing"]):
            yield f"budget {row['id']}: its balance and its flows do not add up"


def _of_usage(body: Body) -> Iterator[str]:
    for place, name in enumerate(LINES):
        if sums(body["usage"], place) != body[name]:
            yield f"usage {name} is not the sum of its lines"
    used = {line[0]: line[1] for line in body["by_budget"]}
    for index, row in enumerate(body["budgets"]):
        if row["flows"]["used"] - row["flows"]["corrected"] != used.get(index, 0):
            yield f"budget {row['id']}: what its people used is not what it paid"


def _of_totals(body: Body) -> Iterator[str]:
    if totals(body) != body["totals"]:
        yield "the totals are not the sums of the budgets"
    used = body["totals"]["used"] - body["totals"]["corrected"]
    for name in LINES:
        if sum(line[1] for line in body[name]) != used:
            yield f"usage {name} is not what was used in all"
