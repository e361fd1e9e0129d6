"""The hub asks before each start, and learns what it may start: one order, one start."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from app import clock
from app.db import db
from labs import queries, slurm_names
from labs.models import GRACE_SECONDS, Budget, CenterKind, HoldState, LabFile, LabSession, SessionState
from labs.queries import homes
from labs.services import slurm_users


@dataclass(frozen=True)
class SlurmOrder:
    """What a Slurm cluster is told of the job that a lab becomes. A class's reservation will be one more field."""

    account: str
    qos: str
    partition: str | None  # None: the center's own default, like the next
    gres: str | None
    minutes: int  # until the scheduler ends what the platform forgot


@dataclass(frozen=True)
class Order:
    """What the hub is to start: size, language, files. Limits come from here only."""

    session_id: UUID
    cores: float
    memory_mb: int
    accelerators: int
    pool: str | None  # which nodes of the center; None: its plain ones
    lease_ends_at: datetime
    display_name: str
    language: str
    time_zone: str
    default_path: str | None
    home_left_bytes: int | None  # None: the center has no quota
    files: list[tuple[str, bytes]]
    slurm: SlurmOrder | None = None  # None: the center is no Slurm cluster


@dataclass(frozen=True)
class NoOrder:
    """Why the hub must not start a server."""

    code: str
    reason: str


def redeem(center_slug: str, hub_name: str, server_name: str, runs_as: str = "") -> Order | NoOrder:
    """Hand out the order for this server, once for each attempt; say why not otherwise.

    `runs_as` is the account of the cluster that the hub has given to the person, where it is in front of one.
    """
    session = _locked(center_slug, hub_name, server_name)
    if session is None:
        return NoOrder("not-ordered", "This server was not ordered on the platform.")
    if runs_as and session.center.kind is CenterKind.SLURM:
        slurm_users.note(session.center_id, session.person_id, runs_as)
    if session.state is not SessionState.STARTING:
        return NoOrder("not-starting", "This lab is not waiting for its start.")
    if session.hold is None or session.hold.state is not HoldState.OPEN:
        return NoOrder("nothing-reserved", "No credits are put aside for this lab.")
    if session.admitted_attempt >= session.attempts:
        return NoOrder("order-used", "This order was used already.")
    session.admitted_attempt, session.admitted_at = session.attempts, clock.now()
    return _order(session)


def ended(center_slug: str, hub_name: str, server_name: str) -> LabSession | None:
    """The hub says that a server has stopped: look at it at once. Hearsay until the hub is asked again."""
    session = _locked(center_slug, hub_name, server_name)
    if session is None:
        return None
    if session.state in (SessionState.RUNNING, SessionState.STOPPING):
        session.last_running_at = clock.now()  # until now it ran
    if session.state is SessionState.RUNNING and not session.missing:
        session.missing = 1
    return session


def _locked(center_slug: str, hub_name: str, server_name: str) -> LabSession | None:
    """The session of this server, when it is this center's and this person's; locked until the transaction ends."""
    try:
        session_id = UUID(hex=server_name.removeprefix("lab-"))
    except ValueError:
        return None
    session = db.session.get(LabSession, session_id, populate_existing=True, with_for_update={"of": LabSession})
    if session is None or session.center.slug != center_slug or session.person.hub_name != hub_name:
        return None
    return session


def _order(session: LabSession) -> Order:
    folder, flavor = session.template.folder, session.flavor
    files = db.session.execute(
        select(LabFile.path, LabFile.content).where(LabFile.template_id == session.template_id).order_by(LabFile.path)
    ).all()
    first = queries.first_file(session.template_id)
    english = session.person.language == "en"
    return Order(
        session_id=session.id,
        cores=flavor.cores,
        memory_mb=flavor.memory_mb,
        accelerators=flavor.accelerators,
        pool=flavor.partition if session.center.kind is CenterKind.KUBERNETES else None,
        lease_ends_at=clock.now() + timedelta(minutes=session.lease_minutes),
        display_name=session.template.title_en if english else session.template.title_zh,
        language=session.person.language,
        time_zone=session.person.time_zone,
        default_path=f"{folder}/{first.path}" if first else None,
        home_left_bytes=_home_left(session),
        files=[(f"{folder}/{path}", content) for path, content in files],
        slurm=_slurm(session) if session.center.kind is CenterKind.SLURM else None,
    )


def _slurm(session: LabSession) -> SlurmOrder:
    """The account is the budget's, whose quota binds; a rescue lab is free, and runs on its partner's."""
    if session.flavor.is_rescue:
        account = slurm_names.of_partner(db.session.get_one(Budget, session.budget_id).partner_id)
    else:
        account = slurm_names.of_budget(session.budget_id)
    return SlurmOrder(
        account=account,
        qos=slurm_names.LAB,
        partition=session.flavor.partition,
        gres=session.flavor.gres,
        minutes=session.lease_minutes + GRACE_SECONDS // 60,  # what its hold pays for
    )


def _home_left(session: LabSession) -> int | None:
    quota, usage = session.center.home_quota_bytes, homes.home_usage(session.person_id, session.center_id)
    return None if quota is None else max(0, quota - (usage.size_bytes if usage else 0))
