"""The command `chancai`: `run`, `doctor` and `translations` need nothing, every other command needs the application."""

import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click
from flask import Flask
from flask.cli import FlaskGroup
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from app import catalogs, logs
from app.config import Settings, SettingsError
from app.embedded import commands, database, environment
from app.embedded.doctor import Finding, Level
from app.embedded.errors import CannotStart
from app.embedded.var import Var


def _create_app() -> Flask:
    """Late, so that `run` and `doctor` work where the application cannot be made."""
    from app.factory import create_app

    environment.adopt()
    logs.configure()
    return create_app()


def _examine_centers(var: Var, slurm_files: Sequence[str]) -> list[Finding]:
    """What the doctor finds at the centers; nothing where no platform is set up or runs here."""
    if var.is_claimed():
        environment.adopt_from(var, os.environ)
    try:
        settings = Settings.from_env()
    except SettingsError as problem:
        is_set_up = os.environ.get("HUBS_FILE") or os.environ.get("DATABASE_URL")
        return [Finding("settings", Level.ERROR, str(problem))] if is_set_up else []
    if not settings.hubs:
        return []
    from app.factory import create_app
    from labs import examining

    logs.configure(logging.ERROR)
    try:
        with create_app(settings).app_context():
            found, findings = examining.subjects(
                settings, examining.clusters(os.environ.get("HUBS_FILE", ""), slurm_files)
            )
    except (OSError, ValueError) as problem:
        return [Finding("SLURM_FILE", Level.ERROR, f"cannot be read: {problem}", "Is it the file that the hub reads?")]
    except SQLAlchemyError as problem:
        why = str(problem).split("\n")[0]
        return [Finding("centers", Level.ERROR, f"cannot be listed: {why}", "Mend the database first, see above.")]
    return findings + [finding for subject in found for finding in examining.examine(subject)]


@click.group(cls=FlaskGroup, create_app=_create_app, add_version_option=False)
def chancai() -> None:
    """Chancai: courses, labs and contests of a regional AI talent center."""


chancai.add_command(commands.run)
chancai.add_command(commands.doctor)
commands.MORE_CHECKS.append(_examine_centers)
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
