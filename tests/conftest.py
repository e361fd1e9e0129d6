"""Fixtures for every test: an app, a database that forgets, clients, a frozen clock."""

import os
from collections.abc import Iterator
from contextvars import Context
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask, has_app_context
from flask.testing import FlaskClient
from flask_migrate import upgrade
from werkzeug.test import TestResponse
from xdist.scheduler import LoadScopeScheduling

from accounts.models import Person
from app.config import READS, HubSettings, Settings
from app.db import Base, db
from app.factory import create_app
from tests import postgres
from tests.campus import campus
from tests.fakes import FakeHub
from tests.make import Make, as_actor, sign_in
from tests.one_playwright import one_playwright

NOW = "2026-03-02T09:00:00+00:00"

# Tests that share something heavy, a real hub or a whole campus, run one after another in one worker. By path, since
# pytest-xdist 3.8 does not see its own `xdist_group` marks under pytest 9.2.
TOGETHER = {
    "tests/browser/": "campus",
    "tests/embedded/test_run.py": "campus",
    "tests/hub/": "hub",
    "tests/labs/test_faults_for_real.py": "campus that is broken",
    "tests/labs/test_clock_for_real.py": "campus whose clock is set",
}

__all__ = ["as_actor", "campus", "sign_in"]


def pytest_configure(config: pytest.Config) -> None:
    """One PostgreSQL for all workers: started before them, by the process they descend from."""
    if getattr(config.option, "numprocesses", None):
        postgres.share()


def pytest_sessionfinish() -> None:
    """End the browser's driver with the session, while its loop can still be ended in order."""
    if one_playwright.cache_info().currsize:
        one_playwright().stop()


class Scheduling(LoadScopeScheduling):
    """Each test to the worker that is free; those of a group to one and the same."""

    def _split_scope(self, nodeid: str) -> str:
        return next((group for start, group in TOGETHER.items() if nodeid.startswith(start)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


class Client(FlaskClient):
    """Sends each request from a fresh context, as a server would, and says where it comes from, as a browser does.

    So the view has its own `g`, user and session, and what it forgets to commit is lost and fails the test.
    """

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        if has_app_context():  # not so when following a redirect
            db.session.commit()
        if args and isinstance(args[0], str):
            headers = dict(kwargs.pop("headers", None) or {})
            if not {"Sec-Fetch-Site", "Origin", "Authorization"} & set(headers):
                headers["Sec-Fetch-Site"] = "same-origin"
            kwargs["headers"] = headers
        return Context().run(super().open, *args, **kwargs)


@pytest.fixture(scope="session")
def hub() -> FakeHub:
    return FakeHub()


@pytest.fixture(scope="session")
def settings() -> Settings:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    center = HubSettings(
        center="embedded",
        api_url="http://127.0.0.1:1/hub/api",
        public_url="http://labs.test",
        token="hub-token",
        client_id="hub-embedded",
        client_secret="client-secret",
        admission_secret="admission-secret",
    )
    return Settings(
        database_url=postgres.url(),
        secret_key="test",
        platform_url="http://localhost",
        hubs=(center,),
        oidc_key=pem,
        secure_cookies=False,
        metrics_token="the token of Prometheus",
    )


@pytest.fixture(scope="session")
def app(hub: FakeHub, settings: Settings) -> Iterator[Flask]:
    app = create_app(settings, hubs={"embedded": hub})
    app.testing = True
    app.test_client_class = Client
    with app.app_context():
        db.session.execute(sa.text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
        db.session.commit()
        upgrade()
    yield app
    with app.app_context():
        for engine in db.engines.values():
            engine.dispose()


@pytest.fixture(autouse=True)
def clock(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Time stands still, except where everything runs for real."""
    if request.node.get_closest_marker("campus") or request.node.get_closest_marker("hub"):
        yield None
        return
    mark = request.node.get_closest_marker("now")
    with time_machine.travel(mark.args[0] if mark else NOW, tick=False) as coordinates:
        yield coordinates


class Within:
    """Stands for the engine of single reads: they see what the test's own transaction has not committed."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def raw_connection(self) -> "Within":
        return self

    def cursor(self) -> "Within":
        return self

    def execute(self, text: str, values: dict[str, Any]) -> None:
        self._result = self._connection.exec_driver_sql(text, values)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._result]

    def close(self) -> None:
        """The test goes on with the connection."""


@pytest.fixture
def database(app: Flask, hub: FakeHub) -> Iterator[None]:
    """One outer transaction for each test, rolled back at its end; commits inside become savepoints."""
    hub.reset()
    with app.app_context():
        engine = db.engine
        with engine.connect() as connection, connection.begin() as outer:
            db.engines[None] = connection  # type: ignore[index]
            reads, db.engines[READS] = db.engines[READS], Within(connection)  # type: ignore[index]
            db.session.configure(join_transaction_mode="create_savepoint")
            try:
                yield
            finally:
                db.session.remove()
                db.engines[None] = engine  # type: ignore[index]
                db.engines[READS] = reads  # type: ignore[index]
                outer.rollback()


@pytest.fixture
def committed(app: Flask, hub: FakeHub) -> Iterator[Make]:
    """A database that remembers, for threads and races; emptied afterwards."""
    hub.reset()
    with app.app_context():
        yield Make()
        db.session.rollback()
        tables = ", ".join(f'"{table.name}"' for table in Base.metadata.sorted_tables)
        db.session.execute(sa.text(f"TRUNCATE {tables} CASCADE"))
        db.session.commit()
        db.session.remove()


@pytest.fixture
def make(database: None) -> Make:
    return Make()


@pytest.fixture
def client(app: Flask, database: None) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def student(make: Make) -> Person:
    return make.person(name="王伟", language="en")


@pytest.fixture
def as_student(app: Flask, student: Person) -> FlaskClient:
    return sign_in(app, student)


os.environ.setdefault("AUTHLIB_INSECURE_TRANSPORT", "1")
