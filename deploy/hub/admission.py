"""What a hub asks the platform before it starts a server, and what it tells it while one runs and after it has ended.

The platform's answer is the only source of a lab's limits. No answer, or one that makes no sense, means no lab.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from deploy.hub.lesson_files import BadPath, LessonFile, parts

SECONDS_TO_ANSWER = 10.0
SECONDS_TO_HEAR = 3.0
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
TIMEZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}")
WORD_OF_SLURM = re.compile(r"[A-Za-z0-9_.:,=@-]{0,128}")
POOL = re.compile(r"[A-Za-z0-9_.-]{0,63}")
LONGEST_MINUTES = 7 * 24 * 60
RESERVED = re.compile(
    r"(JUPYTER|JPY_|LD_|PYTHON|CHANCAI_|MEM_LIMIT|CPU_LIMIT).*|PATH|HOME|USER|SHELL|TMPDIR|BASH_ENV|ENV"
)
LANGUAGES = ("en", "zh_CN")
NOT_REACHED = "The platform cannot be reached, and no lab starts without it. Please try again in a minute."


class Refused(Exception):
    """The platform says no, or does not answer as it should. The text is fit for the person who waits."""


@dataclass(frozen=True)
class SlurmOrder:
    """What the platform says of the job a lab becomes. What is empty the center's settings say."""

    minutes: int | None = None
    account: str = ""
    qos: str = ""
    partition: str = ""
    gres: str = ""
    reservation: str = ""


@dataclass(frozen=True)
class Spec:
    """What the platform grants to one start."""

    session: str
    cores: float
    memory_mb: int
    language: str = "en"
    timezone: str = "UTC"
    lease_ends_at: str | None = None
    default_path: str | None = None
    home_left_bytes: int | None = None  # of the center's quota; None: there is none
    environment: Mapping[str, str] = field(default_factory=dict)
    files: tuple[LessonFile, ...] = ()
    accelerators: int = 0
    pool: str = ""  # which nodes of a Kubernetes cluster; empty: its plain ones
    slurm: SlurmOrder = SlurmOrder()

    @property
    def default_url(self) -> str:
        return f"/lab/tree/{quote(self.default_path)}" if self.default_path else "/lab"


@dataclass(frozen=True)
class Platform:
    """Where the platform listens, and how this center proves that it is itself."""

    url: str
    center: str
    secret: str = field(repr=False)

    async def admit(self, user: str, server: str, runs_as: str = "") -> Spec:
        """Ask for leave to start the server, which would run as this account of the cluster's, where there is one.

        Raises `Refused`.
        """
        asked = {"user": user, "server": server} | ({"runs_as": runs_as} if runs_as else {})
        try:
            body = json.loads(await self._send("admission", asked, SECONDS_TO_ANSWER))
        except Exception as error:
            raise Refused(NOT_REACHED) from error
        return read_answer(body)

    async def tell_ended(self, user: str, server: str) -> None:
        await self._post("ended", user, server, SECONDS_TO_HEAR)

    async def report(self, labs: list[dict[str, Any]]) -> Any:
        """Tell what labs do; what they are to know."""
        return json.loads(await self._send("labs", {"labs": labs}, SECONDS_TO_ANSWER))

    async def _post(self, what: str, user: str, server: str, seconds: float) -> bytes:
        return await self._send(what, {"user": user, "server": server}, seconds)

    async def _send(self, what: str, body: dict[str, Any], seconds: float) -> bytes:
        request = HTTPRequest(
            f"{self.url}/internal/{what}",
            method="POST",
            headers={"Authorization": f"Bearer {self.secret}", "Content-Type": "application/json"},
            body=json.dumps({"center": self.center, **body}),
            connect_timeout=min(3.0, seconds),
            request_timeout=seconds,
            follow_redirects=False,
        )
        answer = await AsyncHTTPClient().fetch(request)
        return bytes(answer.body)


def read_answer(body: Any) -> Spec:
    """The spec inside an admission's answer, checked to the last field. Raises `Refused`."""
    if isinstance(body, dict) and body.get("allow") is False:
        raise Refused(str(body.get("reason") or "The platform refuses this lab.")[:500])
    try:
        if body["allow"] is not True:
            raise ValueError("allow is neither true nor false")
        return _spec(body["spec"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Refused(f"The platform's answer makes no sense ({type(error).__name__}: {error})."[:300]) from error


def _spec(spec: Mapping[str, Any]) -> Spec:
    cores, memory_mb = float(spec["cores"]), int(spec["memory_mb"])
    if not 0 < cores <= 1024 or not 64 <= memory_mb <= 16_777_216:
        raise ValueError("cores or memory_mb out of all bounds")
    timezone = str(spec.get("timezone") or "UTC")
    default_path = spec.get("default_path")
    if default_path is not None:
        parts(str(default_path))
    return Spec(
        session=str(spec["session"]),
        cores=cores,
        memory_mb=memory_mb,
        language=_language(spec.get("language")),
        timezone=timezone if TIMEZONE.fullmatch(timezone) else "UTC",
        lease_ends_at=spec.get("lease_ends_at") and str(spec["lease_ends_at"]),
        default_path=default_path,
        home_left_bytes=_bytes(spec.get("home_left_bytes")),
        environment=_environment(spec.get("environment") or {}),
        files=tuple(_file(file) for file in spec.get("files") or ()),
        accelerators=_number(spec.get("accelerators") or 0, 1024),
        pool=_pool(spec.get("pool") or ""),
        slurm=_slurm(spec.get("slurm") or {}),
    )


def _number(value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"{value!r:.40} is out of all bounds")
    return value


def _pool(name: Any) -> str:
    if not isinstance(name, str) or not POOL.fullmatch(name):
        raise ValueError("pool is no name of nodes")
    return name


def _slurm(order: Mapping[str, Any]) -> SlurmOrder:
    words = {name: str(order.get(name) or "") for name in ("account", "qos", "partition", "gres", "reservation")}
    for name, word in words.items():
        if not WORD_OF_SLURM.fullmatch(word):
            raise ValueError(f"{name} is no word of Slurm's")
    minutes = order.get("minutes")
    return SlurmOrder(minutes=None if minutes is None else max(1, _number(minutes, LONGEST_MINUTES)), **words)


def _bytes(count: Any) -> int | None:
    if count is None:
        return None
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise ValueError("home_left_bytes is no number of bytes")
    return count


def _language(language: Any) -> str:
    wanted = str(language or "").replace("-", "_")
    return wanted if wanted in LANGUAGES else LANGUAGES[0]


def _environment(environment: Mapping[str, Any]) -> dict[str, str]:
    for name, value in environment.items():
        if not VARIABLE.fullmatch(name) or RESERVED.fullmatch(name):
            raise ValueError(f"a lab may not set {name[:64]!r}")
        if "\0" in str(value):
            raise ValueError(f"{name} has a NUL in it")
    return {name: str(value) for name, value in environment.items()}


def _file(file: Mapping[str, Any]) -> LessonFile:
    path = str(file["path"])
    try:
        parts(path)
        return LessonFile(path, base64.b64decode(file["base64"], validate=True))
    except BadPath:
        raise
    except binascii.Error as error:
        raise ValueError(f"{path} is not base64") from error
