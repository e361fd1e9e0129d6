"""Taking in 100,000 rows of a scheduler's accounting, beside a bare COPY of the same rows in the same run."""

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from flask_migrate import upgrade

from app.config import Settings
from app.db import db, transaction
from app.factory import create_app
from app.ids import uuid7
from benchmarks.table import Measurement
from labs.models import JobSegment
from labs.services import accounting
from labs.slurm_accounting import lines, piles
from tests import postgres

ROWS = 100_000
RUNS = 7
_CENTER = """
INSERT INTO partner (id, created_at, slug, kind, title_zh, title_en, time_zone, email_domains)
    VALUES (gen_random_uuid(), now(), 'bench', 'university', 'b', 'b', 'Asia/Shanghai', '{}');
INSERT INTO center (id, created_at, slug, partner_id, title_zh, title_en, state, session_limit, kind)
    SELECT :id, now(), 'bench', id, 'c', 'c', 'up', 1000, 'slurm' FROM partner
"""


def measure() -> list[Measurement]:
    settings = Settings(
        database_url=postgres.url("bench_evidence"), secret_key="bench", platform_url="http://localhost"
    )
    app = create_app(settings, hubs={})
    center_id, rows = uuid4(), _rows()
    blob = "".join(lines(f"{center_id.hex}\t", columns) for columns, _bad, _foreign in piles(rows, 2**40))
    with app.app_context():
        upgrade()
        for statement in _CENTER.split(";\n"):
            db.session.execute(sa.text(statement), {"id": center_id} if ":id" in statement else {})
        db.session.execute(sa.text("CREATE TABLE bare (LIKE job_segment)"))
        db.session.execute(sa.text("CREATE TABLE keyed (LIKE job_segment INCLUDING INDEXES INCLUDING CONSTRAINTS)"))
        db.session.commit()
        found: dict[str, list[float]] = {"bare": [], "keyed": [], "new": [], "again": []}
        for _run in range(RUNS):
            for table in ("bare", "keyed"):
                found[table].append(_timed(lambda table=table: _copy(table, blob)))  # type: ignore[misc]
            found["new"].append(_timed(lambda: _take_in(center_id, rows, new=ROWS)))
            found["again"].append(_timed(lambda: _take_in(center_id, rows, new=0)))
            for table in ("bare", "keyed", "job_segment"):
                db.session.execute(sa.text(f"TRUNCATE {table}"))
            db.session.commit()
        db.session.remove()
        db.engine.dispose()
    bare, keyed, new, again = (statistics.median(found[name]) for name in ("bare", "keyed", "new", "again"))
    return [
        Measurement("Bare COPY into a table without keys", _rate(bare), f"{ROWS:,} rows, median of {RUNS}"),
        Measurement("Bare COPY into a table with the same keys", _rate(keyed), f"{bare / keyed:.0%} of the bare COPY"),
        Measurement(
            "Import of new rows", _rate(new), f"read, checked, told from known ones: {bare / new:.0%} of it; limit 50 %"
        ),
        Measurement("Import of rows that are known already", _rate(again), "as overlapping windows bring them"),
    ]


def _rows() -> list[dict[str, Any]]:
    """As slurmrestd gives them, as far as they are read: labs of three months."""
    return [
        {
            "job_id": number + 1000,
            "name": f"lab-{uuid7().hex}",
            "user": f"chancai{number % 400:03}",
            "account": f"b_{UUID(int=number % 100).hex}",
            "qos": "lab",
            "partition": "labs",
            "nodes": f"n{number % 4 + 1}",
            "state": {"current": "COMPLETED", "reason": "None"},
            "exit_code": {"status": "SUCCESS", "return_code": 0},
            "time": {
                "submission": (start := 1_760_000_000 + number * 78),
                "start": start + 1,
                "end": start + 1 + number % 7200,
                "suspended": 0,
            },
            "tres": {
                "allocated": [
                    {"type": "cpu", "name": None, "id": 1, "count": 2},
                    {"type": "mem", "name": None, "id": 2, "count": 4096},
                    {"type": "node", "name": None, "id": 4, "count": 1},
                    {"type": "billing", "name": None, "id": 5, "count": 2},
                ]
            },
        }
        for number in range(ROWS)
    ]


def _copy(table: str, blob: str) -> None:
    columns = ", ".join(f'"{column}"' for column in accounting.COLUMNS)
    raw: Any = db.session.connection().connection.driver_connection
    with raw.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
        copy.write(blob)
    db.session.commit()


def _take_in(center_id: UUID, rows: list[dict[str, Any]], new: int) -> None:
    with transaction():
        taken = accounting.take_in(center_id, rows)
    if (taken.new, taken.same, taken.rejected) != (new, ROWS - new, 0):
        raise RuntimeError(
            f"not what was to be imported: {taken.new} new, {taken.same} same, {taken.rejected} rejected"
        )
    if db.session.scalar(sa.select(sa.func.count()).select_from(JobSegment)) != ROWS:
        raise RuntimeError("rows are missing")
    db.session.commit()


def _timed(work: Callable[[], object]) -> float:
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _rate(seconds: float) -> str:
    return f"{ROWS / seconds:,.0f} rows/s ({seconds:.2f} s)"
