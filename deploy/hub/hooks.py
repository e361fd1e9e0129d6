"""What the hub does around every start and end of a server, whoever asked for it: ask the platform, and tell it."""

import asyncio
import math
import re
from collections.abc import Awaitable, Callable
from typing import Any

from tornado import web

from deploy.hub.admission import Platform, Refused, Spec

SESSION = re.compile(r"[0-9a-f]{32}")
Hook = Callable[[Any], Awaitable[None]]


class StartRefused(web.HTTPError):
    """A 403: does not count as a fault of the hub, and its reason is shown in the progress of the start."""

    def __init__(self, reason: str, code: str = "") -> None:
        """`code` is stable and for the platform, which finds it in brackets behind the reason."""
        said = f"{reason} [{code}]" if code else reason
        super().__init__(403, "%s", said)
        self.jupyterhub_message = said


class StartFailed(web.HTTPError):
    """A 503: this start has come to nothing, and another one may well succeed. Not counted as a fault of the hub."""

    def __init__(self, reason: str, code: str) -> None:
        said = f"{reason} [{code}]"
        super().__init__(503, "%s", said)
        self.jupyterhub_message = said


def before_start(platform: Platform) -> Hook:
    """Ask for leave, and take the lab's limits from the answer. Without a clear yes nothing starts."""

    async def ask(spawner: Any) -> None:
        spawner.granted = None
        runs_as = spawner.account_of_person() if hasattr(spawner, "account_of_person") else ""
        try:
            spec = await platform.admit(spawner.user.name, spawner.name, runs_as)
        except Refused as refusal:
            spawner.log.warning("%s not admitted: %s", spawner._log_name, refusal)
            raise StartRefused(str(refusal)) from refusal
        spawner.granted = spec
        spawner.cpu_limit = spec.cores
        spawner.mem_limit = spec.memory_mb << 20
        spawner.default_url = spec.default_url
        spawner.environment = environment(spec, platform)

    return ask


def after_end(platform: Platform) -> Hook:
    """Tell the platform, without keeping anybody waiting; when it does not hear, its own sweep finds out."""
    telling: set[asyncio.Task[None]] = set()

    async def tell(user: str, server: str, log: Any) -> None:
        try:
            await platform.tell_ended(user, server)
        except Exception as error:
            log.warning("The platform did not hear that %s:%s ended: %s", user, server, error)

    async def ended(spawner: Any) -> None:
        if getattr(spawner, "granted", None) is None:
            return
        spawner.granted = None
        task = asyncio.ensure_future(tell(spawner.user.name, spawner.name, spawner.log))
        telling.add(task)
        task.add_done_callback(telling.discard)

    return ended


def environment(spec: Spec, platform: Platform) -> dict[str, str]:
    threads = str(max(1, math.ceil(spec.cores)))
    return {
        **spec.environment,
        "TZ": spec.timezone,
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "CHANCAI_URL": platform.url,
        "CHANCAI_SESSION": spec.session,
        "CHANCAI_LEASE_ENDS_AT": spec.lease_ends_at or "",
    }


def take_options(spawner: Any, options: dict[str, Any]) -> None:
    """A start carries the id of a session and nothing else, least of all limits."""
    if set(options) - {"session"} or not SESSION.fullmatch(str(options.get("session", "0" * 32))):
        raise web.HTTPError(400, "a start takes the option `session` only")
