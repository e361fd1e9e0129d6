"""Read the accounting of every center with a scheduler, between two transactions, and follow what it says."""

import logging
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import select

from app.db import db, transaction
from labs.adapters.slurmrestd import Slurm, SlurmError
from labs.models import Center, CenterKind
from labs.queries.evidence import differences, open_jobs
from labs.services import accounting, evidence

log = logging.getLogger(__name__)


def import_accounting() -> int:
    """Take in what schedulers say was run, and set right what was charged otherwise."""
    return sum(_import(center_id, slurm) for center_id, slurm in _slurms())


def _slurms() -> list[tuple[UUID, Slurm]]:
    known: dict[str, Slurm] = current_app.extensions["slurms"]
    statement = select(Center.id, Center.slug).where(Center.kind == CenterKind.SLURM).order_by(Center.slug)
    with transaction():
        centers = db.session.execute(statement).all()
    return [(center_id, known[slug]) for center_id, slug in centers if slug in known]


def _import(center_id: UUID, slurm: Slurm) -> int:
    with transaction():
        window = accounting.window(center_id)
        again = accounting.retry(center_id)
    work_ids, job_ids, done = set(again.work_ids), set(), 0
    try:
        for since, until in window.slices():
            rows = slurm.rest.accounting(slurm.user, since, None if until == window.until else until)
            taken = _take_in(center_id, rows)
            work_ids |= taken.work_ids
            job_ids |= taken.job_ids
            done += taken.new + taken.changed
            with transaction():
                accounting.move(center_id, until)
        for job_id in _unseen(center_id, job_ids):
            taken = _take_in(center_id, slurm.rest.accounting_of(slurm.user, job_id))
            work_ids |= taken.work_ids
            done += taken.changed
    except SlurmError as error:
        log.warning("accounting did not answer", extra={"center": center_id, "why": str(error)})
        with transaction():
            accounting.silent(center_id, str(error))
    else:
        with transaction():
            accounting.finished(center_id, window)
    return done + _follow(center_id, work_ids, everything=window.is_wide)


def _take_in(center_id: UUID, rows: list[Any]) -> accounting.Taken:
    with transaction():
        taken = accounting.take_in(center_id, rows)
    with transaction():
        accounting.nobody_s(center_id, taken.work_ids)
    return taken


def _unseen(center_id: UUID, seen: set[int]) -> list[int]:
    """Jobs without an end that no window showed: their end came late, and lies before it."""
    with transaction():
        return [job_id for job_id in open_jobs(center_id) if job_id not in seen][: accounting.STILL_OPEN]


def _follow(center_id: UUID, work_ids: set[str], *, everything: bool) -> int:
    """Now and then look at every difference, also at those whose rows were taken in by a worker that then died."""
    with transaction():
        if everything:
            work_ids |= {one.session_id.hex for one in differences()}
        found = evidence.to_weigh(center_id, work_ids)
    done = 0
    for session_id in found:
        with transaction():
            done += evidence.weigh(session_id)
    return done
