"""`chancai people`: what an operator does by hand, above all the first administrator of a new platform."""

import click
from flask import Flask
from flask.cli import AppGroup

from accounts import queries
from accounts.services import people, platform_roles
from app.access import SYSTEM, PlatformRole
from app.db import transaction
from app.errors import DomainError


def init_app(app: Flask) -> None:
    group = AppGroup("people", help="People and their platform roles.")

    @group.command("make-administrator")
    @click.argument("email")
    @click.option("--name", help="Needed for somebody who has no account yet.")
    @click.option("--reason", required=True, help="Written into the trail.")
    def make_administrator(email: str, name: str | None, reason: str) -> None:
        """Make somebody an administrator of the platform; who has no account gets one, and a password."""
        try:
            with transaction():
                person = queries.person_by_email(email)
                if person is None:
                    if not name:
                        raise click.ClickException("Nobody has that e-mail address. Give --name to make an account.")
                    password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
                    person = people.create(SYSTEM, email=email, name=name, password=password)
                platform_roles.grant(SYSTEM, person_id=person.id, role=PlatformRole.ADMINISTRATOR, reason=reason)
        except DomainError as refusal:
            raise click.ClickException(f"{refusal.title}. {refusal.detail or refusal.advice}") from refusal
        click.echo(f"{person.name} is an administrator of the platform, and sets up a second factor while signing in.")

    app.cli.add_command(group)
