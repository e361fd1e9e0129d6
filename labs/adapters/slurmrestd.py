"""A typed client of slurmrestd (Slurm 22.05, v0.0.38): jobs submitted, looked at, changed, cancelled, accounted for.

Every call ends within its time, every answer is checked, and every failure is a `SlurmError` that says which call and
what Slurm said; never a token. The version of the API stands in every address and is a setting.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import httpx
import jwt

LONGEST_ANSWER_BYTES = 256 * 1024 * 1024
LONGEST_MESSAGE = 300
SECONDS_OF_A_TOKEN = 60
NO_SUCH_JOB = (2017, "Invalid job id specified")
NOTHING_FOUND = 9003
NOT_EVER = 2**32 - 2  # a number that Slurm leaves open
PENDING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SUSPENDED", "RESIZING"})
RUNNING = frozenset({"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "STOPPED"})


class SlurmError(Exception):
    """A call to slurmrestd did not give what was asked."""

    def __init__(self, call: str, message: str, status: int | None = None) -> None:
        super().__init__(f"{call}: {f'{status} ' if status else ''}{message}")
        self.call = call
        self.message = message
        self.status = status


class SlurmUnreachable(SlurmError):
    """No answer, half an answer, or one that means that slurmctld or slurmdbd is away: try again."""


class SlurmDenied(SlurmError):
    """The token is not believed: expired, of another cluster, or of somebody who may not do this."""


class SlurmRefused(SlurmError):
    """Slurm understood and said no. `code` is Slurm's own, such as `AssocGrpCPUMinutesLimit` or 2050.

    `job_id` is there when it took the job all the same, which then waits: "Requested nodes are busy".
    """

    def __init__(
        self, call: str, message: str, status: int | None = None, code: int = 0, job_id: int | None = None
    ) -> None:
        super().__init__(call, message, status)
        self.code = code
        self.job_id = job_id


class SlurmFault(SlurmError):
    """Slurm failed inside, or its answer makes no sense."""


class Tokens(Protocol):
    """Where a token for an account of the cluster comes from."""

    def of(self, account: str) -> str: ...


@dataclass(frozen=True)
class SignedTokens:
    """Signs them with the cluster's key. Who holds that key may do anything on the cluster."""

    key_file: Path
    seconds: int = SECONDS_OF_A_TOKEN

    def of(self, account: str) -> str:
        now = int(time.time())
        claims = {"exp": now + self.seconds, "iat": now, "sun": account}
        return jwt.encode(claims, self.key_file.read_bytes(), "HS256")


@dataclass(frozen=True)
class GivenToken:
    """One that `scontrol token` made for a Slurm operator, kept in a file that a timer of the site writes anew."""

    file: Path

    def of(self, account: str) -> str:
        return self.file.read_text().strip().removeprefix("SLURM_JWT=")


@dataclass(frozen=True)
class Order:
    """A job to be submitted. What is None or empty Slurm decides."""

    name: str
    script: str
    account: str
    partition: str
    folder: str
    output: str
    minutes: int
    cores: int
    memory_mb: int
    qos: str = ""
    gres: str = ""
    reservation: str = ""
    comment: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def body(self) -> dict[str, Any]:
        job: dict[str, Any] = {
            "name": self.name,
            "account": self.account,
            "partition": self.partition,
            "current_working_directory": self.folder,
            "standard_output": self.output,
            "time_limit": self.minutes,
            "tasks": 1,
            "cpus_per_task": self.cores,
            "memory_per_node": self.memory_mb,
            "requeue": False,
            "environment": {"PATH": "/usr/local/bin:/usr/bin:/bin", **self.environment},
        }
        more = {"qos": self.qos, "gres": self.gres, "reservation": self.reservation, "comment": self.comment}
        return {"script": self.script, "job": job | {name: value for name, value in more.items() if value}}


@dataclass(frozen=True)
class Job:
    """A job as slurmctld knows it now."""

    id: int
    name: str
    account: str
    user: str
    state: str
    reason: str
    node: str
    started_at: datetime | None
    ended_at: datetime | None
    exit_status: int  # as wait(2) gives it: 768 is exit 3
    minutes: int | None

    @property
    def is_pending(self) -> bool:
        return self.state in PENDING

    @property
    def is_running(self) -> bool:
        return self.state in RUNNING

    @property
    def has_ended(self) -> bool:
        return not self.is_pending and not self.is_running


@dataclass(frozen=True)
class Slurm:
    """A center's slurmrestd, and the account in whose name the platform looks: one that sees all jobs."""

    rest: "SlurmRest"
    user: str


@dataclass(frozen=True)
class Answer:
    call: str
    status: int
    body: dict[str, Any]
    errors: tuple[tuple[int, str], ...]


class SlurmRest:
    """slurmrestd behind `url`. Every call is made as an account of the cluster. Thread-safe."""

    def __init__(
        self,
        url: str,
        tokens: Tokens,
        *,
        api: str = "v0.0.38",
        connect_seconds: float = 3.0,
        call_seconds: float = 15.0,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._api = api
        self._seconds = call_seconds
        self._clock = clock
        self._http = httpx.Client(
            base_url=url.rstrip("/"),
            timeout=httpx.Timeout(call_seconds, connect=connect_seconds, pool=connect_seconds),
            transport=transport,
            trust_env=False,
            follow_redirects=False,
        )

    def __repr__(self) -> str:
        return f"SlurmRest({str(self._http.base_url)!r})"

    def close(self) -> None:
        self._http.close()

    # Calls

    def ping(self, account: str) -> str:
        """The version of Slurm. Raises `SlurmUnreachable` when slurmctld does not answer slurmrestd."""
        answer = self._call("ping", "GET", "/ping", account)
        pings = answer.body.get("pings")
        if not isinstance(pings, list) or not any(one.get("ping") == "UP" for one in pings if isinstance(one, dict)):
            raise SlurmUnreachable("ping", "slurmctld does not answer", answer.status)
        meta = answer.body.get("meta")
        slurm = meta.get("Slurm") if isinstance(meta, dict) else None
        return str(slurm.get("release", "")) if isinstance(slurm, dict) else ""

    def submit(self, account: str, order: Order) -> int:
        """The new job's number. Not to be repeated blindly: look for the name first."""
        try:
            answer = self._call("submit", "POST", "/job/submit", account, order.body())
        except SlurmRefused as refusal:
            if refusal.job_id:
                return refusal.job_id
            raise
        job_id = answer.body.get("job_id")
        if isinstance(job_id, bool) or not isinstance(job_id, int) or job_id <= 0:
            raise SlurmFault("submit", "the answer has no job_id", answer.status)
        return job_id

    def job(self, account: str, job_id: int) -> Job | None:
        """None: slurmctld does not know it, or not any more. It forgets what ended some minutes ago."""
        try:
            answer = self._call("job", "GET", f"/job/{job_id}", account)
        except SlurmRefused as refusal:
            if _means_no_job(refusal):
                return None
            raise
        jobs = _jobs(answer)
        return jobs[0] if jobs else None

    def jobs(self, account: str, since: datetime | None = None) -> list[Job]:
        """All that slurmctld knows and this account may see; with `since`, those that changed after it."""
        query = {"update_time": str(int(since.timestamp()))} if since else None
        return _jobs(self._call("jobs", "GET", "/jobs", account, query=query))

    def change(self, account: str, job_id: int, **what: Any) -> None:
        """Such as `time_limit`, in minutes: more of it only an operator of Slurm may give."""
        self._call("change", "POST", f"/job/{job_id}", account, what)

    def cancel(self, account: str, job_id: int) -> None:
        """One that has ended, or that nobody knows, is fine."""
        try:
            self._call("cancel", "DELETE", f"/job/{job_id}", account)
        except SlurmRefused as refusal:
            if not _means_no_job(refusal) and "already" not in refusal.message.lower():
                raise

    # What slurmdbd keeps

    def accounting(self, account: str, since: datetime, until: datetime | None = None) -> list[Any]:
        """Every segment of a job that waited or ran between these moments, as it came; `slurm_accounting` reads them.

        Slurm takes moments in its own zone, unless they are seconds since 1970. There are no pages: cut the time.
        """
        query = {"start_time": f"uts{int(since.timestamp())}", "skip_steps": "true"}
        if until is not None:
            query["end_time"] = f"uts{math.ceil(until.timestamp())}"
        return self._accounting("/jobs", account, query)

    def accounting_of(self, account: str, job_id: int) -> list[Any]:
        """The segments of one job, as they came."""
        return self._accounting(f"/job/{job_id}", account)

    def _accounting(self, path: str, account: str, query: Mapping[str, str] | None = None) -> list[Any]:
        try:
            answer = self._call("accounting", "GET", path, account, query=query, of="slurmdb")
        except SlurmRefused as refusal:
            if refusal.code == NOTHING_FOUND:  # said as an error, with status 200
                return []
            raise
        rows = answer.body.get("jobs")
        if not isinstance(rows, list):
            raise SlurmFault("accounting", "the answer has no list of jobs", answer.status)
        return rows

    # How a call is made

    def _call(
        self,
        call: str,
        method: str,
        path: str,
        account: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        of: str = "slurm",
    ) -> Answer:
        token = self._token(call, account)
        headers = {"X-SLURM-USER-NAME": account, "X-SLURM-USER-TOKEN": token}
        deadline = self._clock() + self._seconds
        content = bytearray()
        try:
            address = f"/{of}/{self._api}{path}"
            with self._http.stream(method, address, json=body, params=query, headers=headers) as response:
                for piece in response.iter_bytes():
                    content += piece
                    if len(content) > LONGEST_ANSWER_BYTES:
                        raise SlurmFault(call, f"the answer is longer than {LONGEST_ANSWER_BYTES} bytes")
                    if self._clock() > deadline:
                        raise SlurmUnreachable(call, f"no whole answer within {self._seconds:g} s")
        except httpx.TimeoutException as error:
            raise SlurmUnreachable(call, f"no answer in time ({type(error).__name__})") from error
        except httpx.HTTPError as error:
            raise SlurmUnreachable(call, f"{type(error).__name__}: {error}".replace(token, "[token]")) from error
        return _checked(call, response.status_code, bytes(content), token)

    def _token(self, call: str, account: str) -> str:
        try:
            return self._tokens.of(account)
        except OSError as error:
            raise SlurmDenied(call, f"there is no token to call with: {error.strerror}") from error


def _checked(call: str, status: int, content: bytes, token: str) -> Answer:
    """The answer, unless it is an error in one of Slurm's many ways to say so."""
    if status in (401, 403):
        raise SlurmDenied(call, "the token is not believed", status)
    if status in (502, 503, 504):
        raise SlurmUnreachable(call, "the server in front of slurmrestd says: later", status)
    try:
        body = json.loads(content)
    except ValueError as error:
        said = content[:LONGEST_MESSAGE].decode("utf-8", "replace").replace(token, "[token]")
        message = " ".join(said.split())
        if "authentication" in message.lower():
            raise SlurmDenied(call, message, status) from error
        raise SlurmFault(call, f"the answer is not JSON: {message}", status) from error
    if not isinstance(body, dict):
        raise SlurmFault(call, "the answer is not an object", status)
    answer = Answer(call, status, body, _errors(body, token))
    if answer.errors or status >= 400:
        _refuse(answer)
    return answer


def _errors(body: Mapping[str, Any], token: str) -> tuple[tuple[int, str], ...]:
    found = body.get("errors")
    rows = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return tuple(
        (
            int(code) if isinstance(code := one.get("error_number", one.get("error_code", 0)), int) else 0,
            str(one.get("error") or one.get("description") or "").replace(token, "[token]")[:LONGEST_MESSAGE],
        )
        for one in rows
    )


AWAY = ("unable to contact", "connection refused", "connect failure", "communication", "timed out", "not responding")
NO_REASON = (-1, "unspecified error")
DENIED = ("authentication", "access/permission denied", "invalid user", "protocol authentication")


def _refuse(answer: Answer) -> None:
    code, message = answer.errors[0] if answer.errors else (0, "no explanation")
    message = message or "no explanation"
    words = message.lower()
    if any(one in words for one in AWAY):
        raise SlurmUnreachable(answer.call, message, answer.status)
    if code == NO_REASON[0] or NO_REASON[1] in words:  # so it says, too, with an expired token and without slurmctld
        raise SlurmUnreachable(answer.call, message, answer.status)
    if any(one in words for one in DENIED):
        raise SlurmDenied(answer.call, message, answer.status)
    if not answer.errors:
        raise SlurmFault(answer.call, message, answer.status)
    job_id = answer.body.get("job_id")
    is_job = isinstance(job_id, int) and not isinstance(job_id, bool) and job_id > 0
    raise SlurmRefused(answer.call, message, answer.status, code, job_id if is_job else None)


def _means_no_job(refusal: SlurmRefused) -> bool:
    return refusal.code == NO_SUCH_JOB[0] or NO_SUCH_JOB[1].lower() in refusal.message.lower()


# What Slurm's JSON must look like


def _jobs(answer: Answer) -> list[Job]:
    rows = answer.body.get("jobs")
    if not isinstance(rows, list):
        raise SlurmFault(answer.call, "the answer has no list of jobs", answer.status)
    return [_job(answer.call, row) for row in rows]


def _job(call: str, row: Any) -> Job:
    if not isinstance(row, dict):
        raise SlurmFault(call, "a job in the answer is not an object")
    minutes = _number(row, "time_limit", call)
    return Job(
        id=_number(row, "job_id", call) or 0,
        name=_text(row, "name"),
        account=_text(row, "account"),
        user=_text(row, "user_name"),
        state=_needed(row, "job_state", call),
        reason=_text(row, "state_reason"),
        node=_text(row, "batch_host"),
        started_at=_moment(row, "start_time", call),
        ended_at=_moment(row, "end_time", call),
        exit_status=_number(row, "exit_code", call) or 0,
        minutes=None if minutes is None or minutes >= NOT_EVER else minutes,
    )


def _needed(row: Mapping[str, Any], name: str, call: str) -> str:
    if not isinstance(value := row.get(name), str):
        raise SlurmFault(call, f"a job in the answer has no {name}")
    return value


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""


def _number(row: Mapping[str, Any], name: str, call: str) -> int | None:
    value = row.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise SlurmFault(call, f"{name} of a job in the answer is no number")
    return value


def _moment(row: Mapping[str, Any], name: str, call: str) -> datetime | None:
    seconds = _number(row, name, call)
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
