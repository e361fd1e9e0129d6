"""`chancai run`: PostgreSQL, the tables, the demo campus, the hub, the worker and the web server, in one go."""

import json
import os
import shutil
import signal
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import psycopg

from app.embedded import cluster, database, environment, guard, ports, postgres, secrets
from app.embedded.cluster import Hub
from app.embedded.console import Console
from app.embedded.errors import CannotStart
from app.embedded.postgres import Cluster
from app.embedded.processes import CHECKOUT, Part, Stopped, Supervisor
from app.embedded.var import Running, Var

WEB_THREADS = 16  # per worker process; measured in docs/benchmarks.md
ANSWERS_WITHIN = 90.0  # seconds; a cold start on a slow disk
WORKER_READY = ("worker ready", "another worker is at work")
HUB_CONFIG = CHECKOUT / "deploy" / "hub" / "embedded_config.py"
PASSED_TO_HUB = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ")


@dataclass(frozen=True)
class Plan:
    """What somebody asked for."""

    var: Var
    port: int
    labs_port: int
    database_url: str = ""  # an outside PostgreSQL; empty for the embedded one
    with_demo: bool = True
    center: str = secrets.CENTER
    cluster_folder: Path | None = None  # where the Slurm cluster is; None: the usual place
    hub: Hub | None = None  # that of the Slurm cluster, once it is up


SLURM = "slurm"


@dataclass(frozen=True)
class Addresses:
    web: int
    labs: int
    hub: int
    proxy_api: int

    @property
    def platform_url(self) -> str:
        return f"http://127.0.0.1:{self.web}"

    @property
    def labs_url(self) -> str:
        """On another host name than the platform: cookies of one must not reach the other."""
        return f"http://localhost:{self.labs}"

    @property
    def hub_api_url(self) -> str:
        return f"http://127.0.0.1:{self.hub}/hub/api"


def run(plan: Plan, console: Console) -> int:
    """Start everything and stay until asked to stop or a part dies; the exit status."""
    with plan.var.claimed():
        if plan.center == SLURM:
            plan = _with_cluster(plan, console)
        return guard.guarded(lambda: Campus(plan, console).live())


def _with_cluster(plan: Plan, console: Console) -> Plan:
    """The cluster's hub must know where the platform will answer, so that is decided first."""
    port = ports.choose(plan.port, [])
    if plan.port and port != plan.port:
        console.warn(f"Port {plan.port} is taken, so the platform uses {port}.")
    hub = cluster.bring_up(plan.cluster_folder, f"http://127.0.0.1:{port}", console)
    return replace(plan, port=port, hub=hub)


@dataclass
class Campus:
    plan: Plan
    console: Console
    supervisor: Supervisor = field(init=False)
    addresses: Addresses = field(init=False)
    database_cluster: Cluster | None = None

    def __post_init__(self) -> None:
        self.supervisor = Supervisor(self.console)

    def live(self) -> int:
        self.supervisor.listen_for_stop()
        try:
            self._start()
            return self._mourn(self.supervisor.watch())
        except Stopped:
            self.console.say("Stopping …")
            return 0
        except CannotStart as problem:
            self.console.fail(str(problem))
            return problem.exit_code
        finally:
            self.supervisor.stop_all()
            if self.database_cluster is not None:
                postgres.tidy(self.database_cluster)
            self.plan.var.forget()
            self.console.say("Stopped; nothing is left running.")

    def _start(self) -> None:
        began = time.monotonic()
        self.console.say(f"Chancai starts in {self.plan.var.path}")
        self._end_leftovers()
        self.addresses = self._choose_ports()
        hub = None if self.plan.hub else self._start_hub()
        url = self._start_database()
        env = self._platform_env(url)
        self._update_tables(env)
        web = self._start_web(env)  # it loads while the demo is made
        sign_ins = self._load_demo(env) if self.plan.with_demo else []
        with self.console.step("Starting JupyterHub", f"Labs answer at {self.addresses.labs_url}"):
            self._wait_for_answer(hub, f"http://127.0.0.1:{self.addresses.hub}/hub/health")
            worker = self._start_worker(env)  # not before there is a hub to ask
            self._wait_for_answer(hub, f"http://127.0.0.1:{self.addresses.labs}/hub/health")
        with self.console.step("Starting the worker", "Worker is at work"):
            self.supervisor.wait_for(worker, lambda: worker.is_ready, ANSWERS_WITHIN)
        with self.console.step("Starting the web server", f"Platform answers at {self.addresses.platform_url}"):
            self._wait_for_answer(web, f"{self.addresses.platform_url}/readyz")
        self._remember(sign_ins)
        self._greet(sign_ins, time.monotonic() - began)

    def _end_leftovers(self) -> None:
        ended = self.plan.var.end_leftovers()
        if ended:
            self.console.warn(f"Ended what a killed start had left running: {', '.join(ended)}.")

    def _choose_ports(self) -> Addresses:
        if self.plan.hub is not None:
            hub = self.plan.hub
            return Addresses(self.plan.port, hub.public_port, hub.api_port, hub.proxy_api_port)
        chosen: list[int] = []
        wanted = {"platform": self.plan.port, "labs": self.plan.labs_port}
        wanted |= {"hub": self.plan.labs_port and self.plan.labs_port + 1}
        wanted |= {"proxy": self.plan.labs_port and self.plan.labs_port + 2}
        for name, preferred in wanted.items():
            port = ports.choose(preferred, chosen)
            if preferred and port != preferred:
                self.console.warn(f"Port {preferred} is taken, so the {name} uses {port}.")
            chosen.append(port)
        return Addresses(*chosen)

    def _start_database(self) -> str:
        if self.plan.database_url:
            with self.console.step("Asking for the database", "") as step:
                step.done = f"Database answers: PostgreSQL {database.check(self.plan.database_url)}"
            return self.plan.database_url
        with self.console.step("Starting PostgreSQL", "") as step:
            made = self.database_cluster = postgres.prepare(self.plan.var.path)
            for note in made.notes:
                self.console.warn(note)
            part = self.supervisor.start(
                "postgres",
                made.command(),
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
                account=made.account,
                stop_signal=signal.SIGINT,  # "fast": does not wait for sessions that never end
                grace=30,
            )
            step.done = f"PostgreSQL {self._wait_for_postgres(made, part)} on a socket in {made.socket}"
        return made.url()

    def _update_tables(self, env: dict[str, str]) -> None:
        with self.console.step("Updating the tables", "Tables are up to date"):
            if not database.is_current(env["DATABASE_URL"]):
                self.plan.var.forget_demo()  # a migration may have changed who there is
                self.supervisor.run("migrate", _chancai("db", "upgrade"), env=env)

    def _wait_for_postgres(self, made: Cluster, part: Part) -> str:
        try:
            version = postgres.wait_until_ready(made, lambda: self.supervisor.lives(part))
            postgres.create_database(made)
        except (CannotStart, psycopg.Error) as problem:
            raise CannotStart(postgres.explain("\n".join(part.said), made) or str(problem)) from None
        return version

    def _platform_env(self, url: str) -> dict[str, str]:
        """What web, worker and commands read; kept in the var folder too, for commands typed by hand."""
        var = self.plan.var
        settings = {
            "DATABASE_URL": url,
            "SECRET_KEY": secrets.secret_key(var.secrets),
            "PLATFORM_URL": self.addresses.platform_url,
            "HUBS_FILE": str(self._hubs_file()),
            "OIDC_KEY_FILE": str(secrets.oidc_key(var.secrets)),
            "SECURE_COOKIES": "0",
            "VAR_DIR": str(var.path),
            "DEMO": "1" if self.plan.with_demo else "0",
        }
        environment.keep(var, settings)
        return {**os.environ, **settings, "PYTHONUNBUFFERED": "1"}

    def _hubs_file(self) -> Path:
        if self.plan.hub is not None:
            return self.plan.hub.hubs_file
        return secrets.hubs(
            self.plan.var.secrets, api_url=self.addresses.hub_api_url, public_url=self.addresses.labs_url
        )

    def _start_hub(self) -> Part:
        """The hub first: it takes longest, and needs nothing of the platform until somebody comes."""
        return self.supervisor.start(
            "hub",
            [sys.executable, "-m", "jupyterhub", "-f", str(HUB_CONFIG)],
            env={
                **{name: os.environ[name] for name in PASSED_TO_HUB if name in os.environ},
                "HUB_DIR": str(self.plan.var.hub),
                "HOMES_DIR": str(self.plan.var.homes),
                "HUB_BIND_PORT": str(self.addresses.labs),
                "HUB_API_PORT": str(self.addresses.hub),
                "HUB_PROXY_API_PORT": str(self.addresses.proxy_api),
                "HUB_PUBLIC_URL": self.addresses.labs_url,
                "PLATFORM_URL": self.addresses.platform_url,
                "HUBS_FILE": str(self._hubs_file()),
                "HUB_CENTER": secrets.CENTER,
                "HUB_SPAWNER": os.environ.get("HUB_SPAWNER", "auto"),
                "HUB_LOG_LEVEL": os.environ.get("HUB_LOG_LEVEL", "WARN"),
                "PYTHONUNBUFFERED": "1",
            },
            grace=20,
        )

    def _start_worker(self, env: dict[str, str]) -> Part:
        return self.supervisor.start("worker", _chancai("jobs", "run"), env=env, ready_words=WORKER_READY)

    def _start_web(self, env: dict[str, str]) -> Part:
        figures = self.plan.var.path / "metrics"  # what the processes count together, for /metrics
        shutil.rmtree(figures, ignore_errors=True)
        figures.mkdir(mode=0o700, parents=True)
        env = {**env, "PROMETHEUS_MULTIPROC_DIR": str(figures)}
        options = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(self.addresses.web)]
        options += ["--workers", str(os.cpu_count() or 1), "--blocking-threads", str(WEB_THREADS), "--no-ws"]
        options += ["--respawn-failed-workers", "--workers-kill-timeout", "10", "--log-level", "error"]
        return self.supervisor.start("web", [sys.executable, "-m", "granian", *options, "app.wsgi:app"], env=env)

    def _load_demo(self, env: dict[str, str]) -> list[dict[str, Any]]:
        known = self.plan.var.demo()
        if known is not None and not self.plan.database_url:  # an outside database may be another one each time
            return known
        with self.console.step("Loading the demo campus", "Demo campus is there"):
            said = self.supervisor.run(
                "demo", _chancai("demo", "load", "--if-empty", "--json", "--center", self.plan.center), env=env
            )
        self.plan.var.remember_demo(_sign_ins(said))
        return _sign_ins(said)

    def _wait_for_answer(self, part: Part | None, url: str) -> None:
        """Of a part of ours, or of the cluster's hub, which is none."""
        if part is not None:
            self.supervisor.wait_for(part, lambda: answers(url), ANSWERS_WITHIN)
        elif not answers(url):
            raise CannotStart(f"The hub of the Slurm cluster does not answer at {url}.")

    def _remember(self, sign_ins: list[dict[str, Any]]) -> None:
        parts = {part.name: (part.process.pid, _began(part.process.pid)) for part in self.supervisor.parts}
        self.plan.var.remember(
            Running(
                pid=os.getppid(),
                platform=self.addresses.platform_url,
                labs=self.addresses.labs_url,
                parts=parts,
                sign_ins=sign_ins,
            )
        )

    def _greet(self, sign_ins: list[dict[str, Any]], seconds: float) -> None:
        say = self.console.say
        say()
        say(f"Chancai is ready after {seconds:.1f} seconds: {self.addresses.platform_url}")
        if sign_ins:
            say("Sign in as")
            width = max(len(str(person["login"])) for person in sign_ins)
            for person in sign_ins:
                say(f"  {person['login']:<{width}}  {person['password']}  {person['role']}")
        say("Ctrl-C stops everything.")
        say()

    def _mourn(self, part: Part) -> int:
        self.console.fail(f"{part.name} {part.ending}. Everything else is stopped.")
        if part.has_said("No space left on device"):
            self.console.fail(f"The disk that holds {self.plan.var.path} is full. Make room, then start again.")
        return 1


def _chancai(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "app.cli", *arguments]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _began(pid: int) -> float:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return 0.0


def _sign_ins(said: list[str]) -> list[dict[str, Any]]:
    """The sign-ins in the JSON line that `chancai demo load --json` ends with."""
    for line in reversed(said):
        if line.startswith("{"):
            found: list[dict[str, Any]] = json.loads(line)["sign_ins"]
            return found
    return []
