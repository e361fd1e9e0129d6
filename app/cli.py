"""The command `chancai`: `run`, `doctor` and `translations` need nothing, every other command needs the application."""

import os
import sys
from typing import NoReturn

import click
from flask import Flask
from flask.cli import FlaskGroup
from sqlalchemy.exc import OperationalError

from app import catalogs, logs
from app.config import SettingsError
from app.embedded import commands, database, environment
from app.embedded.errors import CannotStart


def _create_app() -> Flask:
    """Late, so that `run` and `doctor` work where the application cannot be made."""
    from app.factory import create_app

    environment.adopt()
    logs.configure()
    return create_app()


@click.group(cls=FlaskGroup, create_app=_create_app, add_version_option=False)
def chancai() -> None:
    """Chancai: courses, labs and contests of a regional AI talent center."""


chancai.add_command(commands.run)
chancai.add_command(commands.doctor)
chancai.add_command(catalogs.cli)


def main() -> None:
    try:
        chancai.main(prog_name="chancai")
    except (SettingsError, CannotStart) as problem:
        _give_up(str(problem))
    except OperationalError as problem:
        _give_up(_why_no_database() or str(problem.orig))


def _why_no_database() -> str:
    """A sentence on why the database cannot be reached; nothing if it can, and the trouble was another."""
    try:
        database.check(os.environ.get("DATABASE_URL", ""))
    except CannotStart as problem:
        return str(problem)
    return ""


def _give_up(reason: str) -> NoReturn:
    click.echo(f"chancai: {reason}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
