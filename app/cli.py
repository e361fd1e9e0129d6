"""The command `chancai`: `run`, `doctor` and `translations` need nothing, every other command needs the application."""

import sys

import click
from flask import Flask
from flask.cli import FlaskGroup

from app import catalogs, logs
from app.config import SettingsError
from app.embedded import commands, environment


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
    except SettingsError as problem:
        click.echo(f"chancai: {problem}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
