"""What a Slurm cluster has and is set to, read through slurmrestd for whoever examines it. Changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labs.adapters.slurmrestd import SlurmFault, SlurmRest

AWAY = ("down", "drain", "fail", "unknown", "maint", "not_responding", "invalid")


@dataclass(frozen=True)
class Node:
    name: str
    states: tuple[str, ...]
    partitions: tuple[str, ...]
    cores: int
    memory_mb: int
    gres: Mapping[str, int]  # {"npu:ascend": 8, "npu": 8}

    @property
    def is_up(self) -> bool:
        return not any(state.startswith(AWAY) for state in self.states)


class SlurmFacts(SlurmRest):
    """Called as an account that may see everything, such as `slurm`."""

    def nodes(self, account: str) -> list[Node]:
        return [_node(row) for row in self._rows("nodes", "/nodes", account)]

    def partitions(self, account: str) -> set[str]:
        return {str(row.get("name")) for row in self._rows("partitions", "/partitions", account)}

    def accounts(self, account: str) -> set[str]:
        """From slurmdbd, so this also says whether accounting can be reached."""
        return {str(row.get("name")) for row in self._rows("accounts", "/accounts", account, of="slurmdb")}

    def qualities(self, account: str) -> set[str]:
        rows = self._rows("QOS", "/qos", account, of="slurmdb")
        return {str(row.get("name")) for row in rows}

    def _rows(self, name: str, path: str, account: str, of: str = "slurm") -> list[dict[str, Any]]:
        answer = self._call(name, "GET", path, account, of=of)
        rows = answer.body.get(name)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise SlurmFault(name, f"the answer has no list of {name}", answer.status)
        return rows


def _node(row: Mapping[str, Any]) -> Node:
    flags = row.get("state_flags") or []
    return Node(
        name=str(row.get("name")),
        states=tuple(str(state).lower() for state in (row.get("state"), *flags)),
        partitions=tuple(row.get("partitions") or ()),
        cores=int(row.get("cpus") or 0),
        memory_mb=int(row.get("real_memory") or 0),
        gres=gres(str(row.get("gres") or "")),
    )


def gres(text: str) -> dict[str, int]:
    """`npu:ascend:8(S:0),gpu:2` by name, and by name and type."""
    found: dict[str, int] = {}
    for one in filter(None, text.split(",")):
        *names, last = one.split("(")[0].split(":")
        number = int(last) if last.isdecimal() else 1
        names = names if last.isdecimal() else [*names, last]
        for name in {names[0], ":".join(names)}:
            found[name] = found.get(name, 0) + number
    return found
