"""The operators' guide: every figure that an alarm asks for exists, and every alarm is explained."""

import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from app.heartbeat import JobTally, WorkerBeat
from labs.jobs.auditing import audit_ledger
from tests.labs.conftest import build

GUIDE = Path(__file__).parents[2] / "docs" / "operators"
RULES = yaml.safe_load((GUIDE / "alerts.yml").read_text())["groups"][0]["rules"]


@pytest.fixture
def figures(app, make, hub):
    """The names of everything that /metrics tells, once everything there can be is there."""
    import sqlalchemy as sa

    from app.db import db

    build(app, make, hub).running()
    audit_ledger()
    now = sa.func.now()
    db.session.add(WorkerBeat(id=1, host="here", pid=1, started_at=now, beat_at=now))
    nothing = {"failures": 0, "done": 0, "seconds": 0, "longest_seconds": 0}
    db.session.add(JobTally(job="end_leases", runs=1, succeeded_at=now, **nothing))
    db.session.flush()
    client = app.test_client()
    client.get("/healthz")
    text = client.get("/metrics", headers={"Authorization": "Bearer the token of Prometheus"}).text
    families = list(text_string_to_metric_families(text))  # one without a row today is told all the same
    return {family.name for family in families} | {sample.name for family in families for sample in family.samples}


def test_every_figure_of_an_alarm_exists(figures):
    asked = {name for rule in RULES for name in re.findall(r"chancai_\w+", rule["expr"])}

    assert len(asked) > 10
    assert asked - figures == set()


def test_every_figure_of_the_guide_exists(figures):
    named = set(re.findall(r"`(chancai_\w+)", (GUIDE / "watching.md").read_text()))

    histograms = {name.removesuffix("_bucket") for name in figures}
    assert named - figures - histograms == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alarm_is_explained(rule):
    assert f"\n## {rule['alert']}\n" in (GUIDE / "breaks.md").read_text()
