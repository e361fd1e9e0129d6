"""The composition root: the one module that knows every domain."""

import importlib.metadata
from pathlib import Path

import jinja2
from flask import Blueprint, Flask
from flask_migrate import Migrate

import accounts.access_matrix
import accounts.api
import accounts.commands
import accounts.jobs
import accounts.life
import accounts.metrics
import accounts.oidc
import accounts.pages
import accounts.sign_on
import courses.access_matrix
import courses.api
import courses.life
import courses.pages
import labs.access_matrix
import labs.api
import labs.api.hold_edge
import labs.commands
import labs.internal
import labs.jobs
import labs.life
import labs.metrics
import labs.pages
import labs.services.clock_steps
from app import (
    access_matrix,
    access_page,
    apidocs,
    assets,
    catalogs,
    csrf,
    demo,
    jobs,
    locale,
    logs,
    metrics,
    pages,
    problems,
)
from app.access_matrix import Section
from app.config import Settings, SlurmAccess
from app.cookies import CookieSessions
from app.db import db
from app.jobs import Job
from app.orjsons import Json
from labs.adapters import Hub
from labs.adapters.jupyterhub import JupyterHub
from labs.adapters.slurmrestd import GivenToken, SignedTokens, Slurm, SlurmRest


def create_app(settings: Settings | None = None, hubs: dict[str, Hub] | None = None) -> Flask:
    """Put the application together. `hubs` (by center) stand in for the real ones in tests."""
    settings = settings or Settings.from_env()
    app = Flask(__name__, static_folder=None)
    app.json = Json(app)
    app.session_interface = CookieSessions()
    app.config.from_mapping(settings.as_flask())
    app.config["API_SPEC_OPTIONS"] = {"info": {"version": importlib.metadata.version("chancai")}}
    app.jinja_options = {"undefined": jinja2.StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    app.extensions["settings"] = settings
    app.extensions["hubs"] = hubs if hubs is not None else _hubs(settings)
    app.extensions["slurms"] = {hub.center: _slurm(hub.slurm) for hub in settings.hubs if hub.slurm}

    logs.init_app(app)
    db.init_app(app)
    Migrate(app, db, directory=str(Path(__file__).parents[1] / "migrations"), compare_type=True, render_as_batch=False)
    catalogs.compile_stale()
    locale.init_app(app)
    assets.init_app(app)
    csrf.init_app(app)
    problems.init_app(app)
    accounts.sign_on.init_app(app)
    accounts.oidc.init_app(app)

    api = problems.ProblemApi(app)
    for blueprint in _api_blueprints():
        api.register_blueprint(blueprint)
    for page_blueprint in _page_blueprints():
        app.register_blueprint(page_blueprint)
    pages.init_app(
        app,
        home_parts=[labs.pages.home_part, courses.pages.home_part, accounts.pages.notices.home_part],
        count_unread=accounts.pages.notices.count_unread,
    )
    apidocs.init_app(app)
    access_page.init_app(app, _access_matrix())
    jobs.init_app(app, _jobs(), [labs.services.clock_steps.follow])
    accounts.commands.init_app(app)
    labs.commands.init_app(app)
    demo.init_app(app, shown=settings.demo)
    labs.api.hold_edge.init_app(app)  # before Flask; and before it again what counts
    metrics.init_app(
        app, [jobs.figures, labs.metrics.figures, accounts.metrics.figures]
    )  # outermost: it counts what passes
    return app


def _api_blueprints() -> list[Blueprint]:
    return [*accounts.api.BLUEPRINTS, *labs.api.BLUEPRINTS, *courses.api.BLUEPRINTS]


def _page_blueprints() -> list[Blueprint]:
    return [*accounts.pages.BLUEPRINTS, labs.pages.blp, labs.internal.blp, *courses.pages.BLUEPRINTS]


def _jobs() -> list[Job]:
    return [*accounts.jobs.JOBS, *labs.jobs.JOBS]


def _access_matrix() -> list[Section]:
    domains = (access_matrix, accounts.access_matrix, courses.access_matrix, labs.access_matrix)
    return [section for domain in domains for section in domain.MATRIX]


def _hubs(settings: Settings) -> dict[str, Hub]:
    return {hub.center: JupyterHub(hub.api_url, hub.token, headers=logs.request_id_header) for hub in settings.hubs}


def _slurm(access: SlurmAccess) -> Slurm:
    tokens = SignedTokens(Path(access.jwt_key_file)) if access.jwt_key_file else GivenToken(Path(access.token_file))
    return Slurm(SlurmRest(access.rest_url, tokens, api=access.api, call_seconds=60), access.user)
