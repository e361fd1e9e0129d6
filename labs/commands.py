"""`chancai ledger`: what an operator asks of the ledger on the command line."""

import click
from flask import Flask
from flask.cli import AppGroup

from app.locale import credits_text
from labs import ledger_audit


def init_app(app: Flask) -> None:
    group = AppGroup("ledger", help="The ledger of credits.")

    @group.command("audit")
    def audit() -> None:
        """Recompute every balance from the entries; exit 1 when one differs."""
        differences = ledger_audit.audit()
        for found in differences:
            says, adds_up = credits_text(found.cached, 6), credits_text(found.computed, 6)
            click.echo(f"{found.what} {found.id}: says {says}, adds up to {adds_up}")
        if differences:
            raise click.ClickException(f"{len(differences)} balances differ from their entries.")
        click.echo("Every balance is what its entries add up to.")

    app.cli.add_command(group)
