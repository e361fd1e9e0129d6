"""Logs: one object a line, with whom it is about under another name, and without secrets."""

import json
import logging
import re
from contextlib import contextmanager
from uuid import UUID

import httpx
import pytest

from app import jobs, logs
from app.db import db
from app.jobs import Job
from labs.adapters.jupyterhub import JupyterHub
from labs.jobs.starting import start_sessions
from labs.models import Decision, Outcome
from tests.labs.conftest import build
from tests.make import sign_in

PERSON = UUID("0190f000-0000-7000-8000-00000000abcd")


@contextmanager
def kept(form):
    """Everything that is written meanwhile."""
    written = []

    class Keep(logging.Handler):
        def emit(self, record):
            written.append(self.format(record))

    handler = Keep()
    handler.setFormatter(form)
    handler.addFilter(logs.Redact())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield written
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture(params=["json", "plain"])
def said(request):
    """In one of the two forms."""
    with kept(logs.JsonLine() if request.param == "json" else logs.Line("%(request_id)s %(message)s")) as written:
        yield written


@pytest.fixture
def objects():
    with kept(logs.JsonLine()) as written:
        yield lambda: [json.loads(line) for line in written]


log = logging.getLogger("tests.logs")


@pytest.mark.parametrize(
    ("message", "arguments", "extra"),
    [
        ("Authorization: Bearer %s", ("s3cret-value",), {}),
        ("asked with token=s3cret-value", (), {}),
        ("postgresql://chancai:s3cret-value@db/chancai is away", (), {}),
        ('{"client_secret": "s3cret-value"}', (), {}),
        ("no", (), {"why": "Authorization: token s3cret-value"}),
        ("no", (), {"admission_secret": "s3cret-value"}),
        ("no", (), {"jwt": "s3cret-value"}),
        ("no", (), {"why": ["password=s3cret-value"]}),
        ("no", (), {"secret_key": b"s3cret-value"}),
        ("mail to s3cret-value@students.example", (), {}),
        ("no", (), {"user": "s3cret-value"}),
    ],
)
def test_secrets_are_never_written(app, said, message, arguments, extra):
    log.warning(message, *arguments, extra=extra)

    assert len(said) == 1
    assert "s3cret-value" not in said[0]


def test_the_stack_of_a_fault_has_no_secret_either(app, said):
    try:
        raise RuntimeError("cannot reach http://x with Authorization: Bearer s3cret-value")
    except RuntimeError:
        log.exception("fault")

    assert "Traceback" in said[0]
    assert "s3cret-value" not in said[0]


def test_people_are_named_by_a_pseudonym(app, said):
    with app.app_context():
        log.info("look", extra={"user": PERSON.hex, "viewer": PERSON})

    name = logs.pseudonym(PERSON, app.secret_key)
    assert re.fullmatch("[0-9a-f]{12}", name)
    assert said[0].count(name) == 2
    assert PERSON.hex not in said[0]
    shown = app.test_cli_runner().invoke(args=["logs", "pseudonym", str(PERSON)])
    assert shown.output.strip() == name


def test_a_line_says_which_request_and_who_asked(app, make, objects, monkeypatch):
    person = make.person()
    browser = sign_in(app, person)

    def look():
        from app.access import current_actor

        assert current_actor().is_signed_in
        log.info("seen", extra={"session": "a session"})
        return "ok"

    monkeypatch.setitem(app.view_functions, "site.home", look)
    answer = browser.get("/", headers={"X-Request-Id": "asked-by-proxy-1"})

    line = next(one for one in objects() if one["message"] == "seen")
    assert answer.headers["X-Request-Id"] == "asked-by-proxy-1"
    assert line["request_id"] == "asked-by-proxy-1"
    assert line["person"] == logs.pseudonym(person.id, app.secret_key)
    assert line["session"] == "a session"
    assert line["level"] == "info"
    assert person.email not in json.dumps(objects())


@pytest.mark.parametrize("given", ["short", "x" * 65, "with space in it", 'quote"quote', ""])
def test_an_id_that_is_none_is_replaced(app, database, given):
    answer = app.test_client().get("/healthz", headers={"X-Request-Id": given})

    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"])


def test_the_lines_of_a_job_bear_its_name_and_one_number(app, database, objects):
    def sweep():
        log.info("one")
        log.info("two")
        return 1

    jobs.run_job(app, Job(sweep, every=None))
    log.info("outside")

    one, two, done, outside = objects()
    assert {one["job"], two["job"], done["job"]} == {"sweep"}
    assert one["request_id"] == two["request_id"] == done["request_id"]
    assert "job" not in outside
    assert "request_id" not in outside


def test_the_request_that_asked_for_a_lab_is_named_to_the_hub(app, make, hub, monkeypatch):
    campus = build(app, make, hub)
    session = campus.launch()
    facts = {"person_id": campus.student.id, "asked": "launch", "outcome": Outcome.GRANTED, "reason": "GRANTED"}
    db.session.add(Decision(**facts, session_id=session.id, inputs={}, request_id="the-launch-1"))
    db.session.flush()
    seen = []
    start = hub.start
    monkeypatch.setattr(hub, "start", lambda *rest: (seen.append(logs.request_id_header()), start(*rest)))

    start_sessions()

    assert seen == [{"X-Request-Id": "the-launch-1"}]


def test_calls_to_a_hub_carry_the_number():
    seen = []

    def answer(request):
        seen.append(request.headers.get("X-Request-Id"))
        return httpx.Response(200, json={"version": "6.1.1"})

    hub = JupyterHub("http://hub", "t", transport=httpx.MockTransport(answer), headers=logs.request_id_header)
    with logs.about(request_id="the-launch-1"):
        hub.version()
    hub.version()
    hub.close()

    assert seen == ["the-launch-1", None]


def test_the_form_is_chosen_by_the_environment(monkeypatch, capsys):
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        monkeypatch.setenv("LOG_FORMAT", "json")
        logs.configure()
        log.info("hello")
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
    assert json.loads(capsys.readouterr().err)["message"] == "hello"
