"""`GET /metrics` for Prometheus: what the web processes counted, and what the tables say at that moment.

Requests are counted by each web process and added up when asked: with PROMETHEUS_MULTIPROC_DIR in the environment, over
all processes that share that folder; without it, of the one process that answers. What stands in tables is read when
asked, within a few seconds altogether, and never kept.
"""

import contextlib
import hmac
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from flask import Blueprint, Flask, Response, current_app, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from werkzeug.exceptions import Unauthorized

from app.access import internal
from app.config import LOOPBACK, Settings
from app.db import db

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # seconds
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
ROUTE = "chancai.route"  # where a request that Flask did not see says which route it was
SECONDS_FOR_TABLES = 3.0  # Prometheus itself gives up after ten

Read = Callable[[], Iterable[Metric]]  # asks the tables; in a transaction of its own that ends without a commit

blp = Blueprint("metrics", __name__)


def init_app(app: Flask, reads: Iterable[Read]) -> None:
    requests = Requests()
    app.extensions["metrics"] = (requests, list(reads))
    app.wsgi_app = Counting(app.wsgi_app, requests)  # type: ignore[method-assign]
    app.register_blueprint(blp)


@blp.get("/metrics")
@internal
def show() -> Response:
    """What Prometheus asks for, in its text format."""
    _check_who_asks()
    requests, reads = current_app.extensions["metrics"]
    registry = CollectorRegistry()
    requests.register_with(registry)
    registry.register(_Tables(reads))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _check_who_asks() -> None:
    """Whoever has the token. Where none is set: this machine, and only where the platform itself is for this machine
    alone, since behind a proxy on the same host everybody comes from here."""
    settings: Settings = current_app.extensions["settings"]
    if settings.metrics_token:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {settings.metrics_token}".encode()):
            raise Unauthorized
    elif urlsplit(settings.platform_url).hostname not in LOOPBACK or request.remote_addr not in LOOPBACK:
        raise Unauthorized


class Requests:
    """The counters of this process. A route is an endpoint's name, never an address: the code has so many, no more."""

    def __init__(self) -> None:
        self._own = CollectorRegistry()
        self._answered = Counter(
            "chancai_http_requests", "Requests answered", ["route", "method", "status"], registry=self._own
        )
        self._seconds = Histogram(
            "chancai_http_request_seconds",
            "From the first look at a request to its answer",
            ["route", "method"],
            buckets=BUCKETS,
            registry=self._own,
        )
        self.under_way = Gauge(
            "chancai_http_requests_in_flight", "Requests under way", registry=self._own, multiprocess_mode="livesum"
        )
        self._known: dict[tuple[str, str, str], tuple[Any, Any]] = {}

    def answered(self, route: str, method: str, status: str, seconds: float) -> None:
        try:
            counter, histogram = self._known[route, method, status]
        except KeyError:
            counter, histogram = self._known[route, method, status] = self._of(route, method, status)
        counter.inc()
        histogram.observe(seconds)

    def _of(self, route: str, method: str, status: str) -> tuple[Any, Any]:
        method = method if method in METHODS else "other"
        return self._answered.labels(route, method, status), self._seconds.labels(route, method)

    def register_with(self, registry: CollectorRegistry) -> None:
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if folder:
            _forget_the_dead(Path(folder))
            MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
        else:
            registry.register(_All(self._own))


class _All(Collector):
    """Everything another registry has."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        return self._registry.collect()


def _forget_the_dead(folder: Path) -> None:
    """A process that was killed leaves its requests "under way" for ever; what it counted stays counted."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if not Path("/proc", pid).exists() and Path("/proc/self").exists():
            file.unlink(missing_ok=True)


class Counting:
    """Counts what passes. It stands before Flask, so that faults are counted too, and costs a few microseconds."""

    def __init__(self, inner: "WSGIApplication", requests: Requests) -> None:
        self._inner = inner
        self._requests = requests

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        status, route = "500", "none"

        def start(line: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal status, route
            status = line[:3]
            asked = environ.get("werkzeug.request")  # Flask takes it away when it is done
            route = getattr(asked, "endpoint", None) or environ.get(ROUTE, "none")
            return start_response(line, headers, exc_info) if exc_info else start_response(line, headers)

        began = time.perf_counter()
        self._requests.under_way.inc()
        try:
            return self._inner(environ, start)
        finally:
            self._requests.under_way.dec()
            self._requests.answered(route, environ["REQUEST_METHOD"], status, time.perf_counter() - began)


class _Tables(Collector):
    """What the tables say now. A database that is away, or slow, takes these figures away and no others."""

    def __init__(self, reads: list[Read]) -> None:
        self._reads = reads

    def collect(self) -> Iterator[Metric]:
        began = time.perf_counter()
        families: list[Metric] = []
        try:
            for read in self._reads:
                _limit(SECONDS_FOR_TABLES - (time.perf_counter() - began))
                families += read()
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            log.warning("tables could not be read for metrics", extra={"why": str(error).split("\n")[0]})
            families = []
        finally:
            with contextlib.suppress(sa.exc.DBAPIError):
                db.session.rollback()
        yield gauge("chancai_database_up", "Whether the tables could be read in time", bool(families))
        yield gauge("chancai_metrics_seconds", "How long reading the tables took", time.perf_counter() - began)
        yield from families


def _limit(seconds: float) -> None:
    """How long each of the next statements may take."""
    milliseconds = max(1, round(seconds * 1000))
    db.session.execute(sa.text(f"SET LOCAL statement_timeout = {milliseconds}"))


# How reads put their figures


def gauge(name: str, says: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, says)
    family.add_metric([], float(value))
    return family


def counters(name: str, says: str, labels: Iterable[str], rows: Iterable[tuple[Iterable[object], float]]) -> Metric:
    """As `gauges`, for what only grows; the name gets its `_total` from the library."""
    family = CounterMetricFamily(name, says, labels=list(labels))
    for values, figure in rows:
        family.add_metric([str(value) for value in values], float(figure))
    return family


def gauges(
    name: str, says: str, labels: Iterable[str], rows: Iterable[tuple[Iterable[object], float | None]]
) -> Metric:
    """One figure for each row of labels; a row without a figure is left out."""
    family = GaugeMetricFamily(name, says, labels=list(labels))
    for values, figure in rows:
        if figure is not None:
            family.add_metric([str(value) for value in values], float(figure))
    return family
