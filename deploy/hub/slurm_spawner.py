"""How a center on a Slurm cluster starts labs: each is a job, and every word with Slurm goes through slurmrestd.

No shell, no sudo, no program of Slurm's, no root. The hub learns from the scheduler what became of a lab, never from
the lab; all a lab can tell is the port it listens on. What would only wait for its quota is cancelled and refused.
A job outlives the hub: one that comes back finds it by its number.
"""

import asyncio
import math
import os
import pwd
import re
import shlex
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from jupyterhub.spawner import Spawner

from deploy.hub import slurm_room
from deploy.hub.admission import Spec
from deploy.hub.hooks import StartFailed, StartRefused
from deploy.hub.reports import Lab, Reporter
from deploy.hub.saving import SavingSpawner
from deploy.hub.slurm_accounts import Accounts, NoAccountLeft
from deploy.hub.slurm_settings import SlurmSettings
from deploy.hub.spawners import LAB, language, server_arguments
from labs.adapters.slurmrestd import Job, Order, SlurmError, SlurmRefused, SlurmRest

QUOTA = re.compile(r"(Assoc|QOS)")  # of Slurm's reasons to let a job wait: those that time alone does not cure
WAITS_AGAIN = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED")
SECONDS_BETWEEN_LOOKS = 0.2
CODES_OF_SLURM = {2050: "cluster-quota", 2066: "cluster-quota"}  # what its refusals of a submission are called by us
NO_ASSOCIATION = (2045, "Invalid account")  # the platform's quotas are on their way to the cluster
SECONDS_FOR_QUOTAS = 30.0
SECONDS_BETWEEN_ASKING_AGAIN = 1.0
MINUTES_TO_STOP = 5  # what a hold pays for beyond its lease
MINUTES_TO_END = 2  # beyond the lease: the platform ends a lab, Slurm only one that the platform forgot
GIVEN_UP = 1
Found = TypeVar("Found")


class SlurmSpawner(SavingSpawner, Spawner):
    """`slurm` and `accounts` are the hub's, for all of its labs; no settings, since of settings each gets a copy."""

    settings: SlurmSettings
    slurm: SlurmRest
    accounts: Accounts
    reporter: Reporter | None = None
    threads = ThreadPoolExecutor(16, "slurm")
    granted: Spec | None = None
    job_id = 0
    account = ""
    _room = ""
    _seen = "waiting to be submitted"
    _ran = False
    _lease_ends_at = ""
    _changing: asyncio.Future[None] | None = None  # kept, since nobody else does

    # What JupyterHub asks of a spawner

    async def start(self) -> tuple[str, int]:
        if self.granted is None:
            raise StartRefused("this start was not admitted")
        self.account = self.account_of_person()
        await self._cancel_leftovers()
        self._room = str(slurm_room.make(Path(self.settings.rooms_dir), self.name, self.granted.files))
        self.job_id = await self._submit(self._order(self.granted))
        job, port = await self._wait_for_port()
        self._ran = True
        self._was_asked_to_save = False
        self._report()
        return self.settings.nodes.get(job.node, job.node), port

    async def poll(self) -> int | None:
        """None: it runs, or Slurm does not answer, which says nothing of the lab."""
        if not self.job_id:
            return 0
        try:
            job = await self._ask(self.slurm.job, self.account, self.job_id)
        except SlurmError as error:
            self.log.warning("%s: Slurm does not say how job %i is: %s", self._log_name, self.job_id, error)
            return None
        if job is None:
            return GIVEN_UP
        if self._ran and job.state in WAITS_AGAIN:
            return await self._give_up(job)
        if not job.has_ended:
            return None
        self.log.info("%s: job %i has ended: %s %s", self._log_name, self.job_id, job.state, job.reason)
        return os.waitstatus_to_exitcode(job.exit_status) if job.exit_status else 0

    async def _give_up(self, job: Job) -> int | None:
        """Its node died, and Slurm would run it again from its beginning, whenever that is: this lab is over."""
        self.log.warning(
            "%s: job %i waits again (%s %s), and is cancelled", self._log_name, job.id, job.state, job.reason
        )
        try:
            await self._ask(self.slurm.cancel, self.account, job.id)
        except SlurmError as error:
            self.log.warning("%s: job %i is not cancelled: %s", self._log_name, job.id, error)
            return None  # asked again with the next look
        return GIVEN_UP

    async def stop(self, now: bool = False) -> None:
        """Ask Slurm to cancel the job, and see it ended. Raises what keeps Slurm from it: then nothing is forgotten."""
        await self.save_documents()
        if not self.job_id:
            return
        await self._ask(self.slurm.cancel, self.account, self.job_id)
        while (job := await self._ask(self.slurm.job, self.account, self.job_id)) and not job.has_ended:
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()
        if self.job_id:
            state |= {"job_id": self.job_id, "account": self.account, "room": self._room}
            state |= {"session": self.granted.session if self.granted else ""}
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """A hub that comes back: the job went on without it, and its end is to be told like any other's."""
        super().load_state(state)
        if state.get("job_id"):
            self.job_id, self.account, self._room = int(state["job_id"]), state["account"], state["room"]
            self.granted = Spec(session=state["session"], cores=1, memory_mb=64)
            self._ran = True
            self._report()

    def clear_state(self) -> None:
        super().clear_state()
        if self.reporter:
            self.reporter.remove(self.name)
        if self._room:
            slurm_room.remove(self.room)
        self.job_id, self._room, self._ran = 0, "", False

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        told = ""
        while True:
            if self._seen != told:
                told = self._seen
                yield {"message": told, "progress": 60 if self.job_id else 20}
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    def get_env(self) -> dict[str, str]:
        """The lab's whole environment: nothing is inherited from the hub."""
        env = {
            **super().get_env(),
            "HOME": str(self.home),
            "USER": self.account,
            "SHELL": "/bin/bash",
            "PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin",
            "JUPYTER_CONFIG_PATH": str(LAB / "config"),
            "CHANCAI_ROOM": self._room,
            **language(self.granted.language if self.granted else "en"),
        }
        return {name: str(value) for name, value in env.items() if value is not None}

    # What saving asks

    @property
    def home(self) -> Path:
        return Path(self.settings.homes_dir, self.account)

    @property
    def room(self) -> Path:
        return Path(self._room)

    @property
    def uid(self) -> int:
        return pwd.getpwnam(self.account).pw_uid

    def may_be_asked(self) -> bool:
        return bool(self.job_id)

    # Parts

    def account_of_person(self) -> str:
        """The account of the cluster that this person's labs run as. Raises `StartRefused`."""
        try:
            return self.accounts.of(self.user.name)
        except NoAccountLeft:
            raise StartRefused("This cluster has no account left for another person.", "cluster-full") from None

    def _report(self) -> None:
        if self.reporter:
            self.reporter.add(Lab(self.name, self.home, self.room, self.uid, self._lease_moved))

    def _lease_moved(self, ends_at: str) -> None:
        """The platform gave more time: let the scheduler not end the job before."""
        if ends_at != self._lease_ends_at:
            self._lease_ends_at = ends_at
            self._changing = asyncio.ensure_future(self._prolong(ends_at))

    async def _prolong(self, ends_at: str) -> None:
        """Raise the job's time limit where it has become too short. Only an operator of Slurm's may."""
        try:
            job = await self._ask(self.slurm.job, self.account, self.job_id)
            if job is None or job.started_at is None or job.minutes is None:
                return
            minutes = minutes_until(ends_at, job.started_at) + MINUTES_TO_STOP
            if minutes > job.minutes + 1:  # a lease begins some seconds after its job
                await self._ask(partial(self.slurm.change, time_limit=minutes), self.settings.operator, self.job_id)
        except (SlurmError, ValueError) as error:
            self._lease_ends_at = ""  # again with the next round
            self.log.warning("%s: job %i got no more time: %s", self._log_name, self.job_id, error)

    def _order(self, spec: Spec) -> Order:
        asked, center = spec.slurm, self.settings
        gres = asked.gres or (f"{center.accelerator}:{spec.accelerators}" if spec.accelerators else "")
        return Order(
            name=self.name,
            script=f"#!/bin/bash\nexec {shlex.join(self._command(spec))}\n",
            account=asked.account or center.account,
            qos=asked.qos or center.qos,
            partition=asked.partition or center.partition,
            gres=gres,
            reservation=asked.reservation,
            minutes=asked.minutes or minutes_until(spec.lease_ends_at) + MINUTES_TO_END,
            cores=math.ceil(spec.cores),
            memory_mb=spec.memory_mb,
            folder=str(self.home),
            output=str(self.home / ".lab.log"),
            comment=f"session={spec.session}",
            environment=self.get_env(),
        )

    def _command(self, spec: Spec) -> list[str]:
        first, last = self.settings.lab_ports
        here = [self.settings.lab_ip, str(first), str(last)]
        limits = {"CORE": 0}
        return [
            *[sys.executable, "-I", str(LAB / "job.py"), *here],
            *server_arguments(spec, limits, "--ServerApp.port_retries=0", f"--ServerApp.root_dir={self.home}"),
            *self.get_args(),
        ]

    async def _cancel_leftovers(self) -> None:
        """A hub that died while it started this lab knows nothing of the job it left behind."""
        for job in await self._asked_for_start(self.slurm.jobs, self.account):
            if job.name == self.name and not job.has_ended:
                self.log.warning("%s: job %i of an earlier start is cancelled", self._log_name, job.id)
                await self._asked_for_start(self.slurm.cancel, self.account, job.id)

    async def _submit(self, order: Order) -> int:
        """A person's first lab on a budget may come before the cluster knows of it: that is waited for."""
        deadline = monotonic() + SECONDS_FOR_QUOTAS
        while True:
            try:
                job_id: int = await self._ask(self.slurm.submit, self.account, order)
                break
            except SlurmError as error:
                if not _means_no_association(error) or monotonic() > deadline:
                    raise self._as_start_failure(error) from error
            self._seen = "The cluster is being told of this budget"
            await asyncio.sleep(SECONDS_BETWEEN_ASKING_AGAIN)
        self._seen = f"Job {job_id} is in the queue"
        return job_id

    async def _wait_for_port(self) -> tuple[Job, int]:
        """Look until the lab says where it listens. Raises `StartRefused` when it will never."""
        while True:
            job = await self._asked_for_start(self.slurm.job, self.account, self.job_id)
            if job is None or job.has_ended:
                state = job.state if job else "forgotten"
                raise RuntimeError(f"The lab's job {self.job_id} ended before it answered: {state}")
            if job.is_pending:
                await self._refuse_if_over_quota(job)
                self._seen = f"Job {job.id} is in the queue ({job.reason or 'waiting'})"
            else:
                self._seen = f"Job {job.id} runs on {job.node}"
                port = await asyncio.to_thread(slurm_room.port, self.room, self.uid, self.settings.lab_ports)
                if port:
                    return job, port
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    async def _refuse_if_over_quota(self, job: Job) -> None:
        if not QUOTA.match(job.reason):
            return
        await self._ask(self.slurm.cancel, self.account, job.id)
        raise StartRefused(f"The cluster's quota does not allow this lab ({job.reason}).", "cluster-quota")

    async def _asked_for_start(self, call: Any, *arguments: Any) -> Any:
        """A call whose failure is the failure of the start, in words for the person who waits."""
        try:
            return await self._ask(call, *arguments)
        except SlurmError as error:
            raise self._as_start_failure(error) from error

    def _as_start_failure(self, error: SlurmError) -> Exception:
        if _means_no_association(error):
            return StartFailed("The cluster does not know of this budget and this person yet.", "cluster-account")
        if isinstance(error, SlurmRefused):
            code = CODES_OF_SLURM.get(error.code, "cluster-refused")
            return StartRefused(f"The cluster refused this lab: {error.message} ({error.code}).", code)
        self.log.error("%s: %s", self._log_name, error)
        return StartFailed("The cluster does not answer. Please try again in a minute.", "cluster-silent")

    async def _ask(self, call: Any, *arguments: Any) -> Any:
        """In a thread: Slurm may take its time, and the hub has other things to do."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, partial(call, *arguments))


def _means_no_association(error: SlurmError) -> bool:
    return isinstance(error, SlurmRefused) and (error.code == NO_ASSOCIATION[0] or NO_ASSOCIATION[1] in error.message)


def minutes_until(moment: str | None, now: datetime | None = None) -> int:
    """Whole minutes, rounded up; an hour where nobody said."""
    if not moment:
        return 60
    left = datetime.fromisoformat(moment) - (now or datetime.now(UTC))
    return max(1, math.ceil(left.total_seconds() / 60))
