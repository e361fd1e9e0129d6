"""Every service that works for somebody asks first whether they may; those that rely on their caller are named."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOMAINS = ("accounts", "labs", "courses")
WRITES = {"record", "add", "delete", "add_all", "merge", "grant", "transfer", "reserve", "post", "settle", "void"}
WRITERS = {"audit", "ledger", "session"}  # audit.record(…), ledger.transfer(…), db.session.add(…)
EDGES = ("api", "pages", "jobs", "internal", "commands", "oidc", "sign_on")

# These ask nothing: whoever calls them has asked. Only other services do so (see the last test).
RELY_ON_THEIR_CALLER = {
    "accounts.services.agreements.add": "opening a partner and making an agreement ask",
    "accounts.services.memberships.add": "join, an invitation that was brought, and a first sign-in at home ask",
    "accounts.services.people.add": "create, an invitation that was brought, and a first sign-in at home ask",
    "courses.services.enrollment.fill": "who leaves, or sets the seats, has been asked; the queue decides who moves up",
    "labs.services.budgets.admit": "a seat was given, and whoever gave it, or one back, was asked",
    "labs.services.budgets.appoint": "whoever appointed a teacher of the run was asked",
    "labs.services.budgets.dismiss": "a seat was given back, and whoever did so was asked",
    "labs.services.templates.set_idle_minutes": "whoever leads the run was asked",
    "labs.services.templates.set_region": "whoever leads the run was asked",
}


@dataclass(frozen=True)
class Service:
    name: str  # "labs.services.budgets.grant"
    function: ast.FunctionDef

    @property
    def module(self) -> str:
        return self.name.rpartition(".")[0]


def services() -> Iterator[Service]:
    for domain in DOMAINS:
        for path in sorted((ROOT / domain / "services").glob("*.py")):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.FunctionDef) and node.args.args and node.args.args[0].arg == "actor":
                    yield Service(f"{domain}.services.{path.stem}.{node.name}", node)


ALL = {service.name: service for service in services()}
PUBLIC = [name for name in ALL if not name.rpartition(".")[2].startswith("_")]


@pytest.mark.parametrize("name", [name for name in PUBLIC if name not in RELY_ON_THEIR_CALLER])
def test_a_service_asks_whether_the_actor_may_before_it_writes(name):
    asked, written = _first_asking(ALL[name]), _first_writing(ALL[name].function)

    assert asked is not None, f"{name} asks nothing: require(policy.…) comes first"
    assert written is None or asked <= written, f"{name} writes in line {written} and asks in line {asked}"


@pytest.mark.parametrize("name", RELY_ON_THEIR_CALLER)
def test_a_service_that_relies_on_its_caller_is_called_by_services_alone(name):
    assert name in ALL, "there is no such service: take it from the table"
    module, _, function = name.rpartition(".")
    call = f"{module.rpartition('.')[2]}.{function}"

    callers = [
        str(path.relative_to(ROOT))
        for domain in DOMAINS
        for path in (ROOT / domain).rglob("*.py")
        if path.relative_to(ROOT / domain).parts[0].removesuffix(".py").startswith(EDGES)
        and any(call == ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if _is_call(node))
    ]

    assert callers == []


def _is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call)


def _first_asking(service: Service, seen: frozenset[str] = frozenset()) -> int | None:
    """The line in which it asks: itself, by a query that is given the actor, or through a service that asks."""
    lines = [node.lineno for node in ast.walk(service.function) if _asks(node, service, seen | {service.name})]
    return min(lines, default=None)


def _asks(node: ast.AST, service: Service, seen: frozenset[str]) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func)
    if called in ("require", "require_person") or called.startswith("policy."):
        return True
    if not (node.args and isinstance(node.args[0], ast.Name) and node.args[0].id == "actor"):
        return False
    if called.split(".")[0] in ("queries", "accounts_queries", "labs_queries"):
        return True
    other = _resolve(called, service)
    if other is None or other.name in seen | RELY_ON_THEIR_CALLER.keys():
        return False
    return _first_asking(other, seen) is not None


def _resolve(called: str, service: Service) -> Service | None:
    """A function of the same module, or of another service module that is called by its name."""
    if "." not in called:
        return ALL.get(f"{service.module}.{called}")
    return next((ALL[name] for name in ALL if name.endswith(f".services.{called}")), None)


def _first_writing(function: ast.FunctionDef) -> int | None:
    return min((node.lineno for node in ast.walk(function) if _writes(node)), default=None)


def _writes(node: ast.AST) -> bool:
    """Adds or deletes a row, moves credits, leaves a trace, sends insert/update/delete, or changes a row's field."""
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Attribute) for target in node.targets)
    if not isinstance(node, ast.Call):
        return False
    owner, _, verb = ast.unparse(node.func).rpartition(".")
    if verb in ("insert", "update", "delete") and not owner:
        return True
    return verb in WRITES and owner.rpartition(".")[2] in WRITERS
