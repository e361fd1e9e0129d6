"""`chancai doctor` for centers: is what stands between the platform, a hub and its cluster as it should be?

It asks, and where asking is not enough it tries: it has the hub start a lab that nobody ordered, which must be refused.
Each finding says what to do. No secret is shown.
"""

import contextlib
import json
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from app.config import HubSettings, Settings
from app.db import db
from app.embedded.doctor import Finding, Level
from app.embedded.var import CHECKOUT
from labs.adapters import HubError
from labs.adapters.jupyterhub import JupyterHub
from labs.adapters.slurm_facts import Node, SlurmFacts, gres
from labs.adapters.slurmrestd import GivenToken, SignedTokens, SlurmError
from labs.models import Center, CenterKind, Flavor

NEEDED = frozenset({"admin:users", "servers", "list:users", "shares"})  # of the platform's service
TOO_WIDE = ("tokens", "admin:servers", "admin:groups", "groups", "shutdown", "proxy", "admin:services", "inherit")
OF_PEOPLE = frozenset(
    f"{scope}!user" for scope in ("read:users", "users:activity", "read:servers", "delete:servers", "access:servers")
)
NOT_REACHED = (
    "The platform cannot be reached"  # how a hub refuses that got no answer it believes (deploy/hub/admission)
)
OLDEST_HUB = 6
CLOCK_SECONDS, CLOCK_SECONDS_AT_MOST = 2.0, 60.0  # tokens and munge end with five minutes
SECONDS = 5.0
OPERATOR = "slurm"  # the account of a cluster that may see everything
NAMED_IN_FILE = ("rest_url", "jwt_key_file", "token_file", "api", "user", "account", "qos", "partition")


@dataclass(frozen=True)
class Wanted:
    """What a flavor asks of a cluster."""

    slug: str
    cores: float
    memory_mb: int
    partition: str | None
    gres: str | None


@dataclass(frozen=True)
class Subject:
    """One center, as the platform knows it."""

    slug: str
    kind: CenterKind
    hub: HubSettings
    platform_url: str
    flavors: tuple[Wanted, ...] = ()
    slurm: "Cluster | None" = None


@dataclass(frozen=True)
class Cluster:
    """How to reach the cluster of a center, and what its hub orders where the platform names nothing."""

    rest_url: str
    jwt_key_file: str = ""
    token_file: str = ""
    api: str = "v0.0.38"
    user: str = OPERATOR
    account: str = "chancai"
    qos: str = "lab"
    partition: str = "labs"

    def client(self) -> SlurmFacts:
        key, token = Path(self.jwt_key_file), Path(self.token_file)
        return SlurmFacts(self.rest_url, SignedTokens(key) if self.jwt_key_file else GivenToken(token), api=self.api)


def subjects(settings: Settings, clusters: dict[str, Cluster]) -> tuple[list[Subject], list[Finding]]:
    """The centers that have a hub in the settings, and what is wrong with the list itself."""
    rows = db.session.execute(select(Center.id, Center.slug, Center.kind)).all()
    known = {slug: (center_id, kind) for center_id, slug, kind in rows}
    found: list[Subject] = []
    for hub in settings.hubs:
        center_id, kind = known.get(hub.center, (None, CenterKind.HOST))
        flavors = db.session.execute(
            select(Flavor.slug, Flavor.cores, Flavor.memory_mb, Flavor.partition, Flavor.gres).where(
                Flavor.center_id == center_id, Flavor.is_active
            )
        )
        wanted = tuple(Wanted(*row) for row in flavors)
        cluster = clusters.get(hub.center)
        found.append(Subject(hub.center, kind, hub, settings.platform_url, wanted, cluster))
    missing = [
        Finding(f"center {slug}", Level.WARNING, "no hub is configured for it", "Add it to HUBS_FILE (docs/hub.md).")
        for slug in sorted(set(known) - {hub.center for hub in settings.hubs})
    ]
    return found, missing


def examine(subject: Subject) -> list[Finding]:
    """Look at one center; a check that itself fails is a finding too."""
    hub = JupyterHub(subject.hub.api_url, subject.hub.token)
    checks: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        ("hub", lambda: _hub(subject)),
        ("admission asked here", lambda: _platform_answers(subject)),
        ("admission asked by the hub", lambda: _hub_asks(subject, hub)),
    ]
    if subject.kind is CenterKind.SLURM:
        checks += [("Slurm", lambda: _slurm(subject)), ("files for other accounts", readable)]
    try:
        return [finding for what, check in checks for finding in _named(subject, what, check)]
    finally:
        hub.close()


def _named(subject: Subject, what: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    found: list[Finding] = []
    try:
        found.extend(check())
    except Exception as problem:  # a doctor who faints helps nobody
        text = str(problem).replace(subject.hub.token, "***").replace(subject.hub.admission_secret, "***")
        found.append(Finding(what, Level.ERROR, f"could not be examined: {type(problem).__name__}: {text}"))
    for one in found:
        yield Finding(f"{subject.slug}: {one.what}", one.level, one.found, one.remedy)


# The hub


def _hub(subject: Subject) -> Iterator[Finding]:
    url = subject.hub.api_url
    try:
        version = str(_get(subject, "/").json()["version"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        yield Finding(
            "hub",
            Level.ERROR,
            f"{url} does not answer as a hub does ({type(error).__name__})",
            "Is it running (`systemctl status chancai-hub@…`), and does api_url in HUBS_FILE name the hub's own port?",
        )
        return
    if int(version.split(".")[0]) < OLDEST_HUB:
        yield Finding("hub", Level.ERROR, f"JupyterHub {version} is too old", "Install what requirements.txt pins.")
    else:
        yield Finding("hub", Level.OK, f"JupyterHub {version} answers at {url}")
    yield from _token(subject)
    yield from _about(subject)


def _token(subject: Subject) -> Iterator[Finding]:
    answer = _get(subject, "/user")
    if answer.status_code != 200:
        yield Finding(
            "token",
            Level.ERROR,
            f"the hub does not know the platform's token ({answer.status_code})",
            "HUBS_FILE must be the same on both sides; restart the hub after a change.",
        )
        return
    scopes = {str(scope) for scope in answer.json().get("scopes", [])}
    missing, wide = sorted(NEEDED - scopes), sorted(scope for scope in TOO_WIDE if scope in scopes)
    if missing:
        remedy = "Give the service `platform` the scopes of deploy/hub/jupyterhub_config.py."
        yield Finding("token", Level.ERROR, f"it may not {', '.join(missing)}", remedy)
    if wide:
        remedy = "Take these from the service `platform` in the hub's load_roles: whoever gets the token has them."
        yield Finding("token", Level.ERROR, f"it may more than it needs: {', '.join(wide)}", remedy)
    if not missing and not wide:
        yield Finding("token", Level.OK, "it may what it needs, and no more")


def _about(subject: Subject) -> Iterator[Finding]:
    began = time.time()
    answer = _get(subject, "/chancai/about")
    ended = time.time()
    if answer.status_code != 200:
        yield Finding(
            "people's rights",
            Level.WARNING,
            f"the hub does not tell what its people may do ({answer.status_code})",
            "Start it with deploy/hub/jupyterhub_config.py, or check its role `user` by hand (docs/hub.md, Roles).",
        )
        return
    body = answer.json()
    more = sorted(set(body["user_scopes"]) - OF_PEOPLE)
    if more:
        remedy = "Load the role `user` of deploy/hub/jupyterhub_config.py: people must not start servers past us."
        yield Finding("people's rights", Level.ERROR, f"people may more than use their labs: {', '.join(more)}", remedy)
    else:
        yield Finding("people's rights", Level.OK, "people may use and stop their labs, and start none")
    yield _clock(max(began - body["now"], body["now"] - ended, 0.0))
    if body["is_root"] and subject.kind is not CenterKind.HOST:
        yield Finding("hub's account", Level.ERROR, "the hub runs as root", "Give it an account of its own.")
    else:
        yield Finding("hub's account", Level.OK, str(body["account"]))


def _clock(apart: float) -> Finding:
    if apart < CLOCK_SECONDS:
        return Finding("clock", Level.OK, "the hub's is ours")
    level = Level.ERROR if apart > CLOCK_SECONDS_AT_MOST else Level.WARNING
    return Finding("clock", level, f"the hub's is {apart:.1f} s from ours", "Let chrony or ntpd run on both hosts.")


def _get(subject: Subject, path: str) -> httpx.Response:
    headers = {"Authorization": f"token {subject.hub.token}"}
    return httpx.get(subject.hub.api_url.rstrip("/") + path, headers=headers, timeout=SECONDS, trust_env=False)


# Admission


def _platform_answers(subject: Subject) -> Iterator[Finding]:
    """As the hub would ask: our own address must answer, and believe this secret alone."""
    what, url = "admission asked here", f"{subject.platform_url}/internal/admission"
    try:
        right, wrong = (_ask(subject, secret) for secret in (subject.hub.admission_secret, secrets.token_hex(32)))
    except httpx.HTTPError as error:
        remedy = "Is the web server running, and does PLATFORM_URL lead to it from here?"
        yield Finding(what, Level.ERROR, f"{url} does not answer ({type(error).__name__})", remedy)
        return
    if wrong.status_code != 401:
        remedy = "Something in front of the platform answers in its place: look at the proxy."
        yield Finding(what, Level.ERROR, f"a wrong secret gets {wrong.status_code} instead of 401", remedy)
    elif right.status_code != 200 or right.json().get("allow") is not False:
        remedy = "The web server was started with another HUBS_FILE: restart it."
        yield Finding(what, Level.ERROR, f"the right secret gets {right.status_code}", remedy)
    else:
        yield Finding(what, Level.OK, "what nobody ordered is refused, and a wrong secret not believed")


def _ask(subject: Subject, secret: str) -> httpx.Response:
    body = {"center": subject.slug, "user": secrets.token_hex(16), "server": f"lab-{secrets.token_hex(16)}"}
    headers = {"Authorization": f"Bearer {secret}"}
    url = f"{subject.platform_url}/internal/admission"
    return httpx.post(url, json=body, headers=headers, timeout=SECONDS, trust_env=False)


def _hub_asks(subject: Subject, hub: JupyterHub) -> Iterator[Finding]:
    """Have it start what nobody ordered, for somebody who does not exist, and see who refuses."""
    what, user, session = "admission asked by the hub", secrets.token_hex(16), secrets.token_hex(16)
    try:
        hub.start(user, f"lab-{session}", {"session": session}, "Doctor")
        last = list(hub.progress(user, f"lab-{session}"))[-1]
    except HubError as error:
        with contextlib.suppress(HubError):
            hub.delete_user(user)
        yield Finding(what, Level.ERROR, f"a start could not be tried: {error}", "See the findings above.")
        return
    try:
        hub.delete_user(user)
    except HubError as error:
        yield Finding("what was tried", Level.WARNING, str(error), f"Delete the user {user} of the hub by hand.")
    if last.ready:
        remedy = "Its pre_spawn_hook must ask the platform: use deploy/hub/jupyterhub_config.py."
        yield Finding(what, Level.ERROR, "THE HUB STARTS LABS THAT NOBODY ORDERED", remedy)
    elif NOT_REACHED in last.message:
        remedy = "Compare admission_secret in both HUBS_FILEs, and ask PLATFORM_URL/healthz from the hub's host."
        yield Finding(what, Level.ERROR, "the hub does not reach the platform, or is not believed there", remedy)
    else:
        yield Finding(what, Level.OK, "the hub asked, and the platform's no was heeded")


# Slurm


def _slurm(subject: Subject) -> Iterator[Finding]:
    cluster = subject.slurm
    if cluster is None:
        remedy = "Say where the hub's SLURM_FILE lies: --slurm-file CENTER=FILE (docs/operators/slurm.md)."
        yield Finding("Slurm", Level.WARNING, "not looked at: nobody said how to reach it", remedy)
        return
    slurm = cluster.client()
    try:
        yield Finding("slurmrestd", Level.OK, f"Slurm {slurm.ping(cluster.user)} answers at {cluster.rest_url}")
        yield from _books(slurm, cluster)
        nodes = slurm.nodes(cluster.user)
        yield from _nodes(nodes)
        yield from _flavors(subject.flavors, cluster, slurm.partitions(cluster.user), nodes)
    except SlurmError as error:
        remedy = "See “The cluster does not answer” in docs/operators/breaks.md."
        yield Finding("slurmrestd", Level.ERROR, str(error), remedy)
    finally:
        slurm.close()


def _books(slurm: SlurmFacts, cluster: Cluster) -> Iterator[Finding]:
    try:
        accounts, qualities = slurm.accounts(cluster.user), slurm.qualities(cluster.user)
    except SlurmError as error:
        remedy = "Is slurmdbd running, and does it have AuthAltTypes=auth/jwt with the same key?"
        yield Finding("accounting", Level.ERROR, str(error), remedy)
        return
    yield Finding("accounting", Level.OK, f"slurmdbd answers: {len(accounts)} accounts, {len(qualities)} QOS")
    if cluster.account not in accounts:
        remedy = f"sacctmgr add account {cluster.account}"
        yield Finding("account", Level.ERROR, f"Slurm has no account {cluster.account}", remedy)
    if cluster.qos not in qualities:
        yield Finding("QOS", Level.ERROR, f"Slurm has no QOS {cluster.qos}", f"sacctmgr add qos {cluster.qos}")


def _nodes(nodes: list[Node]) -> Iterator[Finding]:
    away = [node for node in nodes if not node.is_up]
    for node in away:
        remedy = f"`scontrol show node {node.name}` says why; then `scontrol update NodeName={node.name} State=RESUME`."
        yield Finding("nodes", Level.WARNING, f"{node.name} is {', '.join(node.states)}", remedy)
    if nodes and len(away) == len(nodes):
        yield Finding("nodes", Level.ERROR, "no node can run a lab", "See above.")
    elif not away:
        yield Finding("nodes", Level.OK, f"{len(nodes)} are up")


def _flavors(
    flavors: tuple[Wanted, ...], cluster: Cluster, partitions: set[str], nodes: list[Node]
) -> Iterator[Finding]:
    wrong = 0
    for flavor in flavors:
        partition = flavor.partition or cluster.partition
        inside = [node for node in nodes if partition in node.partitions]
        problem = _unfit(flavor, partition, partitions, inside)
        if problem:
            wrong += 1
            remedy = "Change the flavor on the platform, or slurm.conf and gres.conf, then `scontrol reconfigure`."
            yield Finding(f"flavor {flavor.slug}", Level.ERROR, problem, remedy)
    if not wrong:
        yield Finding("flavors", Level.OK, f"{len(flavors)} fit onto a node")


def _unfit(flavor: Wanted, partition: str, partitions: set[str], nodes: list[Node]) -> str:
    """Why no node could ever run it; empty where one could."""
    if partition not in partitions:
        return f"there is no partition {partition}"
    wanted = gres(flavor.gres or "")
    for name in wanted:
        if not any(name in node.gres for node in nodes):
            return f"no node of the partition {partition} has {name}"
    fits = [
        node
        for node in nodes
        if node.cores >= flavor.cores
        and node.memory_mb >= flavor.memory_mb
        and all(node.gres.get(name, 0) >= number for name, number in wanted.items())
    ]
    return "" if fits else f"no node of the partition {partition} is large enough"


def readable(folder: Path = CHECKOUT, python: str = sys.executable) -> Iterator[Finding]:
    """Hubs and labs that run under other accounts read the checkout and its .venv, and run its Python."""
    what = "files for other accounts"
    closed = {path: _first_closed(path) for path in (folder, Path(python).resolve())}
    for path, way in closed.items():
        if way is not None:
            remedy = "Put the checkout where everybody may look (/opt/chancai), with .venv of the system's Python."
            yield Finding(what, Level.ERROR, f"{way} is closed to others, so they cannot use {path}", remedy)
    if not any(closed.values()):
        yield Finding(what, Level.OK, f"{folder} and its Python can be used by all")


def _first_closed(path: Path) -> Path | None:
    for step in [*reversed(path.parents), path]:
        wanted = stat.S_IXOTH | (stat.S_IROTH if step == path else 0)
        if step.stat().st_mode & wanted != wanted:
            return step
    return None


def clusters(hubs_file: str, given: Iterable[str]) -> dict[str, Cluster]:
    """By center: from `slurm` of a hub in HUBS_FILE, or from the hub's own file, CENTER=FILE, which wins.

    Raises OSError or ValueError where a file cannot be read.
    """
    found: dict[str, Cluster] = {}
    for hub in json.loads(Path(hubs_file).read_text()) if hubs_file else []:
        if isinstance(hub, dict) and isinstance(hub.get("slurm"), dict):
            found[str(hub.get("center"))] = _cluster(hub["slurm"])
    for one in given:
        center, _, file = one.partition("=")
        found[center] = _cluster(json.loads(Path(file).read_text()))
    return found


def _cluster(body: dict[str, Any]) -> Cluster:
    if not isinstance(body.get("rest_url"), str):
        raise ValueError("rest_url is missing")
    return Cluster(**{name: str(body[name]) for name in NAMED_IN_FILE if name in body})
