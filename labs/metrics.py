"""What Prometheus is told of labs: centers, sessions, the line, starts, drift, the ledger."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from app.metrics import gauge, gauges
from labs.models import CenterState
from labs.queries import figures as read
from labs.queries.drift import DriftKind, drift_counts

MICRO = 1_000_000


def figures() -> Iterator[Metric]:
    yield from _centers()
    yield from _sessions()
    yield from _ledger()


def _centers() -> Iterator[Metric]:
    centers = read.centers()
    yield gauges(
        "chancai_center_up",
        "Whether the hub of a center answers",
        ["center", "kind"],
        (([c.slug, c.kind], c.unreachable_seconds == 0) for c in centers),
    )
    yield gauges(
        "chancai_center_unreachable_seconds",
        "Since the hub of a center no longer answers; 0 while it does",
        ["center"],
        (([c.slug], c.unreachable_seconds) for c in centers),
    )
    yield gauges(
        "chancai_center_state",
        "1 for what the operator wants of a center",
        ["center", "state"],
        (([c.slug, state], c.state is state) for c in centers for state in CenterState),
    )
    yield gauges("chancai_center_places", "Labs at once", ["center"], (([c.slug], c.places) for c in centers))
    yield gauges("chancai_center_places_taken", "Of these", ["center"], (([c.slug], c.taken) for c in centers))
    counts = drift_counts()
    yield gauges(
        "chancai_drift",
        "Differences between what is believed and what is there",
        ["center", "kind"],
        (([c.slug, kind], counts.get(c.slug, {}).get(kind, 0)) for c in centers for kind in DriftKind),
    )


def _sessions() -> Iterator[Metric]:
    yield gauges(
        "chancai_sessions",
        "Labs that are live, by state",
        ["center", "state"],
        (([slug, state], number) for slug, state, number in read.sessions()),
    )
    lines = read.lines()
    yield gauges("chancai_line_length", "Who waits for a place", ["center"], (([x.center], x.waiting) for x in lines))
    yield gauges(
        "chancai_line_oldest_seconds",
        "How long the first in line has waited",
        ["center"],
        (([x.center], x.longest_seconds) for x in lines),
    )
    starts = read.starts()
    yield gauges(
        "chancai_starts_last_hour",
        "Starts that ended within the last hour",
        ["center", "outcome"],
        (
            ([x.center, outcome], number)
            for x in starts
            for outcome, number in (("ready", x.ready), ("failed", x.failed))
        ),
    )
    yield gauges(
        "chancai_start_seconds_last_hour",
        "From the order to a lab that is ready",
        ["center", "quantile"],
        (
            ([x.center, quantile], seconds)
            for x in starts
            for quantile, seconds in zip(read.QUANTILES, x.seconds, strict=True)
        ),
    )
    yield gauges(
        "chancai_decisions_last_hour",
        "Answers to requests for compute, by class of the refusal",
        ["outcome", "refusal"],
        (([outcome, kind or ""], number) for outcome, kind, number in read.decisions()),
    )


def _ledger() -> Iterator[Metric]:
    number, micro = read.open_holds()
    yield gauge("chancai_ledger_open_holds", "Promises of credits that are open", number)
    yield gauge("chancai_ledger_held_credits", "What they add up to", micro / MICRO)
    audit = read.latest_audit()
    if audit is not None:
        differences, seconds, ago = audit
        yield gauge("chancai_ledger_differences", "Balances that differ from their entries", differences)
        yield gauge("chancai_ledger_audit_seconds", "How long the last audit took", seconds)
        yield gauge("chancai_ledger_audit_age_seconds", "Since the last audit", ago)
