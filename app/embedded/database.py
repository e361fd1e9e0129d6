"""Is the database of DATABASE_URL there? Asked once, plainly, before anything is started on it."""

import psycopg
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.embedded.errors import CannotStart
from app.embedded.var import CHECKOUT

SHAPE = "postgresql+psycopg://user:password@host:5432/database"
OLDEST = 150000  # PostgreSQL 15, as libpq counts versions


def parsed(url: str) -> URL:
    try:
        found = make_url(url)
    except (ArgumentError, ValueError):
        raise CannotStart(f"DATABASE_URL is not a URL of the shape {SHAPE}.") from None
    if found.get_backend_name() != "postgresql":
        raise CannotStart(f"DATABASE_URL names {found.get_backend_name()}, and Chancai needs PostgreSQL: {SHAPE}.")
    return found.set(drivername="postgresql+psycopg")


def check(url: str) -> str:
    """The server's version, or a sentence on why it cannot be reached; never with the password."""
    target = parsed(url)
    try:
        with psycopg.connect(_conninfo(target), connect_timeout=5) as connection:
            version = connection.info.server_version
    except psycopg.Error as problem:
        raise CannotStart(
            f"The database {_shown(target)} cannot be reached: {_reason(problem, target)}. Start it or correct "
            "DATABASE_URL; without DATABASE_URL, `chancai run` starts a PostgreSQL of its own."
        ) from None
    if version < OLDEST:
        raise CannotStart(f"The database {_shown(target)} is PostgreSQL {version // 10000}; Chancai needs 15 or newer.")
    return f"{version // 10000}.{version % 10000}"


def is_current(url: str) -> bool:
    """Whether the tables are at the newest migration; found out without loading the application."""
    with psycopg.connect(_conninfo(parsed(url)), connect_timeout=5) as connection:
        exists = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall() if exists == (True,) else []
    migrations = Config()
    migrations.set_main_option("script_location", str(CHECKOUT / "migrations"))
    return {row[0] for row in rows} == set(ScriptDirectory.from_config(migrations).get_heads())


def _conninfo(target: URL) -> str:
    """For libpq, which does not read URLs the way SQLAlchemy writes them."""
    known = {"host": target.host, "port": target.port, "user": target.username, "password": target.password}
    known |= {"dbname": target.database, **{name: _one(value) for name, value in target.query.items()}}
    return make_conninfo("", **{name: value for name, value in known.items() if value is not None})


def _one(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ",".join(value)


def _shown(target: URL) -> str:
    host = target.host or target.query.get("host") or "on the local socket"
    return f"{target.database or ''} at {host}{f':{target.port}' if target.port else ''}"


def _reason(problem: psycopg.Error, target: URL) -> str:
    first = str(problem).strip().split("\n")[0].removeprefix("connection failed: ").rstrip(".")
    password = target.password
    return first.replace(str(password), "***") if password else first
