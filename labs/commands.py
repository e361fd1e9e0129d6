"""`chancai ledger`, `chancai statements` and `chancai homes`: what an operator asks of labs on the command line."""

from collections.abc import Iterator
from uuid import UUID

import click
from flask import Flask
from flask.cli import AppGroup

import accounts.queries
from app.access import SYSTEM
from app.db import transaction
from app.errors import NotFound
from app.locale import MICRO, credits_text
from app.paging import count
from labs import ledger, queries
from labs.ledger.explaining import Explanation, explain
from labs.queries import evidence
from labs.queries.drift import drift
from labs.services import homes, verifying


def init_app(app: Flask) -> None:
    group = AppGroup("ledger", help="The ledger of credits.")

    @group.command("audit")
    def audit() -> None:
        """Recompute every balance from the entries; exit 1 when one differs."""
        differences = ledger.audit()
        for found in differences:
            says, adds_up = credits_text(found.cached, 6), credits_text(found.computed, 6)
            click.echo(f"{found.what} {found.id}: says {says}, adds up to {adds_up}")
        if differences:
            raise click.ClickException(f"{len(differences)} balances differ from their entries.")
        click.echo("Every balance is what its entries add up to.")
        _tell_flaws(verifying.verify(SYSTEM))

    @group.command("explain")
    @click.argument("session_id", metavar="SESSION", type=click.UUID)
    def explain_session(session_id: UUID) -> None:
        """Tell the account of one session: rate, hold, tranches, each booking, what returned."""
        try:
            session = queries.session(SYSTEM, session_id)
        except NotFound as error:
            raise click.ClickException(f"There is no session {session_id}.") from error
        for line in _told(explain(session)):
            click.echo(line)

    app.cli.add_command(group)
    app.cli.add_command(_statements())
    app.cli.add_command(_homes())
    app.cli.add_command(_labs())


def _told(account: Explanation) -> Iterator[str]:
    session, hold = account.session, account.hold
    yield f"Session {session.id}: {session.state}; {session.person.name}, {session.template.title_en}"
    yield f"asked for {session.flavor.slug} at {session.center.slug}, {session.lease_minutes} min, {session.created_at}"
    if hold is None:
        yield "holds nothing: it never left the line"
        return
    yield f"rate {_exact(hold.price_micro)} an hour, pinned {hold.created_at}"
    for band in account.bands:
        days = ",".join(str(day) for day in band["days"])
        price = _exact(band["price_micro"])
        yield f"  days {days} {band['from']}-{band['until']} {hold.time_zone}: {price} an hour"
    yield f"hold {hold.id}: {_exact(hold.amount)} for {hold.seconds} s, {hold.state}"
    for part in account.parts:
        until = part.valid_until.isoformat()
        yield f"  tranche {part.tranche_id} until {until}: {_exact(part.amount_micro)}, used {_exact(part.used_micro)}"
    for booked in account.commands:
        moves = ", ".join(f"{move.account} {move.amount_micro / MICRO:+.6f}" for move in booked.movements)
        yield f"{booked.at.isoformat()} {booked.command}: {moves or 'nothing moved'} {booked.reason or ''}".rstrip()
    yield f"used {_exact(hold.posted_micro)} in {hold.posted_seconds} s since {hold.started_at}"
    yield f"returned {_exact(account.returned_micro)}, of which expired {_exact(account.expired_micro)}"
    yield f"beyond the hold {_exact(account.overrun_micro)}, given back {_exact(hold.corrected_micro)}"
    yield f"borne by the center {_exact(account.lost_micro)}"


def _exact(micro: int) -> str:
    return f"{micro / MICRO:.6f}"


def _statements() -> AppGroup:
    group = AppGroup("statements", help="Statements of closed months.")

    @group.command("verify")
    @click.option("--partner", help="The short name of one partner; without it, all are verified.")
    def verify(partner: str | None) -> None:
        """Recompute the hash and the sums of every statement; exit 1 when one is not as it was signed."""
        try:
            partner_id = accounts.queries.partner(partner).id if partner else None
        except NotFound as error:
            raise click.ClickException(f"There is no partner {partner}.") from error
        _tell_flaws(verifying.verify(SYSTEM, partner_id))

    return group


def _tell_flaws(flaws: list[verifying.Flaw]) -> None:
    for flaw in flaws:
        click.echo(f"{flaw.partner} {flaw.month}: {flaw.text}".strip())
    if flaws:
        raise click.ClickException(f"{len(flaws)} faults in the statements.")
    click.echo("Every statement is as it was signed.")


def _labs() -> AppGroup:
    group = AppGroup("labs", help="What runs at the centers.")

    @group.command("drift")
    def show_drift() -> None:
        """Say where what is believed and what is there part; exit 1 when they do."""
        report = drift()
        for item in report.items:
            since = f" since {item.since.isoformat(timespec='seconds')}" if item.since else ""
            click.echo(f"{item.center}: {item.kind} {item.subject_id} {item.what}".rstrip() + since)
        if report.total:
            raise click.ClickException(f"{report.total} differences.")
        click.echo("What is believed to run is what runs.")

    @group.command("accounting")
    def show_accounting() -> None:
        """Say where charges and the schedulers' accounting part; exit 1 when they do, or rows make no sense."""
        found, rejects = evidence.differences(), count(evidence.rejects())
        for one in found:
            seconds = f"charged {one.charged_seconds} s, accounting says {one.accounted_seconds} s"
            click.echo(f"{one.center}: {one.kind} {one.session_id} {seconds}")
        for cursor in evidence.cursors():
            state = f"does not answer: {cursor.why}" if cursor.silent_since else "answers"
            click.echo(f"{cursor.center.slug}: read until {cursor.read_until.isoformat(timespec='seconds')}, {state}")
        if found or rejects:
            raise click.ClickException(f"{len(found)} differences, {rejects} rows that make no sense.")
        click.echo("What was charged is what the schedulers say was run.")

    return group


def _homes() -> AppGroup:
    group = AppGroup("homes", help="Home folders of erased people, which are to be deleted at the centers.")

    @group.command("list")
    def list_waiting() -> None:
        """Name the folders that are still to be deleted, one in each line."""
        for row in homes.waiting(SYSTEM):
            click.echo(row.hub_name)

    @group.command("removed")
    @click.argument("name")
    def removed(name: str) -> None:
        """Say that a folder is deleted at every center."""
        try:
            with transaction():
                homes.mark_removed(SYSTEM, name)
        except NotFound as error:
            raise click.ClickException(f"No home folder {name} is to be deleted.") from error

    return group
