"""What Prometheus reads: who may, that its own parser takes it, that it stays small, and that it tells the truth."""

import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

import labs.metrics
from app import clock, heartbeat, metrics
from app.db import db
from app.heartbeat import Heart, JobTally, WorkerBeat
from labs.jobs.auditing import audit_ledger
from labs.models import Center, Purse
from tests.labs.conftest import build
from tests.make import sign_in

TOKEN = {"Authorization": "Bearer the token of Prometheus"}


@pytest.fixture
def scrape(app, database):
    """Ask as Prometheus does, and read the answer with its own parser: {name: {labels: figure}}."""

    def ask():
        answer = app.test_client().get("/metrics", headers=TOKEN)
        assert answer.status_code == 200
        assert answer.content_type.startswith("text/plain; version=")
        figures = {}
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                figures.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
        return figures

    return ask


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer something else"}, {"Authorization": "the token"}])
def test_nobody_without_the_token_reads_it(app, database, headers):
    assert app.test_client().get("/metrics", headers=headers).status_code == 401


def test_no_person_reads_it(app, make):
    assert sign_in(app, make.platform("administrator")).get("/metrics").status_code == 401


@pytest.mark.parametrize(
    ("platform_url", "address", "status"),
    [
        ("http://127.0.0.1:8600", "127.0.0.1", 200),
        ("http://127.0.0.1:8600", "10.0.0.9", 401),
        ("https://chancai.example", "127.0.0.1", 401),  # that is the proxy in front of us, so anybody
    ],
)
def test_without_a_token_only_a_platform_for_this_machine_answers_this_machine(
    app, database, monkeypatch, platform_url, address, status
):
    settings = replace(app.extensions["settings"], metrics_token="", platform_url=platform_url)
    monkeypatch.setitem(app.extensions, "settings", settings)

    answer = app.test_client().get("/metrics", environ_overrides={"REMOTE_ADDR": address})

    assert answer.status_code == status


def test_requests_are_counted_by_route_and_not_by_address(app, make, scrape):
    def count():
        return scrape()["chancai_http_requests_total"].get(("GET", "courses.show", "404"), 0)

    before = count()
    for name in ("one", "two", "three"):
        app.test_client().get(f"/courses/{name}")

    assert count() == before + 3
    assert scrape()["chancai_http_requests_in_flight"] == {(): 1}  # the asking itself


def test_strangers_cannot_make_it_grow(app, scrape):
    app.test_client().get("/nothing")
    app.test_client().open("/nothing", method="BREW")
    before = sum(len(rows) for rows in scrape().values())

    for number in range(50):
        app.test_client().get(f"/nothing/{number}")
        app.test_client().open("/", method=f"BREW{number}")

    after = scrape()
    assert sum(len(rows) for rows in after.values()) <= before + 4 * (len(metrics.BUCKETS) + 4)
    assert {method for method, _route, _status in after["chancai_http_requests_total"]} <= metrics.METHODS | {"other"}


def test_a_fault_is_counted_as_one(app, database, scrape, monkeypatch):
    def break_down():
        raise RuntimeError("on purpose")

    monkeypatch.setitem(app.view_functions, "site.healthz", break_down)
    app.testing = False
    try:
        app.test_client().get("/healthz")
    finally:
        app.testing = True

    found = scrape()["chancai_http_requests_total"]
    assert found["GET", "site.healthz", "500"] >= 1, found


def test_it_names_nobody(app, make, hub, scrape):
    campus = build(app, make, hub)
    campus.running()

    text = app.test_client().get("/metrics", headers=TOKEN).text

    for secret in (campus.student.name, campus.student.email, campus.student.id.hex, str(campus.student.id), "lab-"):
        assert secret not in text


def test_labs_are_counted_as_they_are(app, make, hub, scrape):
    campus = build(app, make, hub)
    campus.running()
    center = db.session.scalars(sa.select(Center)).one()

    figures = scrape()

    assert figures["chancai_sessions"] == {(center.slug, "running"): 1}
    assert figures["chancai_center_up"] == {(center.slug, "host"): 1}
    assert figures["chancai_ledger_open_holds"] == {(): 1}
    assert figures["chancai_starts_last_hour"] == {(center.slug, "ready"): 1, (center.slug, "failed"): 0}
    assert sum(figures["chancai_drift"].values()) == 0


def test_a_center_that_is_lost_shows(app, make, hub, scrape):
    build(app, make, hub)
    center = db.session.scalars(sa.select(Center)).one()
    center.unreachable_since = clock.now() - timedelta(minutes=2)
    db.session.flush()

    figures = scrape()

    assert figures["chancai_center_up"] == {(center.slug, "host"): 0}
    assert figures["chancai_center_unreachable_seconds"] == {(center.slug,): 120}
    assert figures["chancai_drift"][center.slug, "unreachable"] == 1


def test_the_counts_of_drift_are_those_of_the_report(app, make, hub):
    from labs.queries.drift import drift, drift_counts

    campus = build(app, make, hub)
    campus.running()
    center = db.session.scalars(sa.select(Center)).one()
    center.unreachable_since = clock.now()
    db.session.execute(sa.text("UPDATE center_load SET taken = taken + 3"))
    db.session.flush()

    assert drift_counts() == drift().counts
    assert len(drift_counts()[center.slug]) == 2


def test_an_audit_that_finds_a_difference_shows(app, make, scrape):
    make.budget(100)
    audit_ledger()
    assert scrape()["chancai_ledger_differences"] == {(): 0}

    db.session.execute(sa.update(Purse).values(available=Purse.available + 1))
    with clock.at(clock.now() + timedelta(seconds=1)):
        audit_ledger()

    assert scrape()["chancai_ledger_differences"][()] >= 1


def test_jobs_add_up_over_workers(app, committed):
    url = app.extensions["settings"].database_url.replace("+psycopg", "")
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for _worker in range(2):
            heart = Heart()
            heart.ran("end_leases", 0.5, 3, failed=False)
            heart.ran("end_leases", 1.5, 0, failed=True)
            heart.beat(connection)
            heart.beat(connection)  # with nothing new

    tally = db.session.scalars(sa.select(JobTally)).one()
    assert (tally.runs, tally.failures, tally.done, tally.seconds) == (4, 2, 6, 4.0)
    assert tally.longest_seconds == 1.5
    assert heartbeat.age() < heartbeat.LIVES
    with app.test_request_context():
        text = app.test_client().get("/metrics", headers=TOKEN).text
    assert 'chancai_job_runs_total{job="end_leases"} 4.0' in text
    assert 'chancai_job_late_seconds{job="end_leases"} 0.0' in text


def test_a_beat_that_cannot_be_written_is_kept_for_the_next(app, committed):
    import psycopg

    url = app.extensions["settings"].database_url.replace("+psycopg", "")
    heart = Heart()
    heart.ran("end_leases", 0.5, 3, failed=False)
    broken = psycopg.connect(url)
    broken.close()

    with pytest.raises(psycopg.Error):
        heart.beat(broken)
    with psycopg.connect(url, autocommit=True) as connection:
        heart.beat(connection)

    assert db.session.scalars(sa.select(JobTally.runs)).one() == 1


def test_whether_the_worker_lives_is_asked_on_the_command_line(app, committed):
    run = app.test_cli_runner()
    assert run.invoke(args=["jobs", "alive"]).exit_code == 1

    now = sa.func.now()
    db.session.add(WorkerBeat(id=1, host="here", pid=1, started_at=now, beat_at=now))
    db.session.commit()
    assert run.invoke(args=["jobs", "alive"]).exit_code == 0

    db.session.execute(sa.update(WorkerBeat).values(beat_at=now - timedelta(seconds=40)))
    db.session.commit()
    assert run.invoke(args=["jobs", "alive"]).exit_code == 1


def test_tables_that_do_not_answer_take_only_their_own_figures_away(app, scrape, monkeypatch):
    requests, _reads = app.extensions["metrics"]

    def slow():
        db.session.execute(sa.text("SELECT pg_sleep(5)"))
        return []

    monkeypatch.setattr(metrics, "SECONDS_FOR_TABLES", 0.05)
    monkeypatch.setitem(app.extensions, "metrics", (requests, [labs.metrics.figures, slow]))

    figures = scrape()

    assert figures["chancai_database_up"] == {(): 0}
    assert "chancai_sessions" not in figures
    assert "chancai_http_requests_total" in figures


PROCESS = """
    import sys
    from app.metrics import Counting, Requests
    def inner(environ, start):
        start("200 OK", [])
        if "die" in sys.argv:
            import os
            os.kill(os.getpid(), 9)
        return [b""]
    counting = Counting(inner, Requests())
    for _ in range(10):
        counting({"REQUEST_METHOD": "GET"}, lambda *_: None)
"""


def test_several_processes_are_added_up_and_the_dead_have_nothing_under_way(tmp_path):
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    root = Path(__file__).parents[2]

    def run(code, *arguments):
        command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
        return subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)

    for arguments in ((), (), ("die",)):
        run(PROCESS, *arguments)
    shown = run("""
        from prometheus_client import CollectorRegistry, generate_latest
        from app.metrics import Requests
        registry = CollectorRegistry()
        Requests().register_with(registry)
        print(generate_latest(registry).decode())
    """)

    assert 'chancai_http_requests_total{method="GET",route="none",status="200"} 20.0' in shown.stdout, shown.stderr
    assert "chancai_http_requests_in_flight 0.0" in shown.stdout
