"""Settings: read once from the environment, checked at the start, never read again elsewhere."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")
READS = "reads"  # the name of the engine for single reads
SHORTEST_TOKEN = 20
LIMITS = "-c lock_timeout=4s -c statement_timeout=30s -c timezone=UTC"  # nobody waits for ever
POOL: dict[str, Any] = {
    "hide_parameters": True,  # errors are logged; what people typed is not
    "pool_timeout": 10,
    "pool_use_lifo": True,
}


class SettingsError(RuntimeError):
    """The environment does not say what the program needs; the message is a sentence for people."""


@dataclass(frozen=True, kw_only=True)
class SlurmAccess:
    """How the platform speaks to a center's slurmrestd: with the cluster's key, or a token kept fresh in a file."""

    rest_url: str
    jwt_key_file: str = ""
    token_file: str = ""
    api: str = "v0.0.38"
    user: str = "slurm"  # in whose name: one that sees every job

    def __post_init__(self) -> None:
        if bool(self.jwt_key_file) == bool(self.token_file):
            raise ValueError("either a jwt_key_file or a token_file")


@dataclass(frozen=True, kw_only=True)
class HubSettings:
    """How to reach the hub of one center, and the secrets the two sides share."""

    center: str
    api_url: str
    public_url: str
    token: str = field(repr=False)
    client_id: str
    client_secret: str = field(repr=False)
    admission_secret: str = field(repr=False)
    slurm: SlurmAccess | None = None  # of a center of kind slurm


@dataclass(frozen=True, kw_only=True)
class Settings:
    database_url: str = field(repr=False)
    secret_key: str = field(repr=False)
    platform_url: str = "http://127.0.0.1:8600"
    hubs: tuple[HubSettings, ...] = ()
    oidc_key: str = field(default="", repr=False)  # PEM of an RSA private key
    secure_cookies: bool = True
    var_dir: Path = Path("var")
    smtp_url: str = field(default="", repr=False)  # smtp://user:password@host:587 (STARTTLS) or smtps://…; "": caught
    mail_from: str = "Chancai <no-reply@localhost>"
    metrics_token: str = field(default="", repr=False)  # what Prometheus shows to read /metrics; "": this host only
    demo: bool = False  # show the demo's people, with their passwords, on the sign-in page

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        secrets = {name: _secret(env, name) for name in ("DATABASE_URL", "SECRET_KEY", "SMTP_URL", "METRICS_TOKEN")}
        missing = [name for name in ("DATABASE_URL", "SECRET_KEY") if not secrets[name]]
        if missing:
            raise SettingsError(f"Set {', '.join(missing)} in the environment, or start everything with `make run`.")
        platform_url = env.get("PLATFORM_URL", cls.platform_url).rstrip("/")
        demo = env.get("DEMO", "0") == "1"
        if demo and urlsplit(platform_url).hostname not in LOOPBACK:
            raise SettingsError(
                "DEMO=1 lets anybody be anybody: it is only for a platform on this machine (127.0.0.1)."
            )
        return cls(
            database_url=secrets["DATABASE_URL"],
            secret_key=secrets["SECRET_KEY"],
            platform_url=platform_url,
            hubs=_hubs(env.get("HUBS_FILE", "")),
            oidc_key=_text_of(env.get("OIDC_KEY_FILE", "")),
            secure_cookies=env.get("SECURE_COOKIES", "1") != "0",
            var_dir=Path(env.get("VAR_DIR", "var")),
            smtp_url=secrets["SMTP_URL"],
            mail_from=env.get("MAIL_FROM", cls.mail_from),
            metrics_token=_long_enough(secrets["METRICS_TOKEN"]),
            demo=demo,
        )

    def as_flask(self) -> dict[str, Any]:
        return {
            "SQLALCHEMY_DATABASE_URI": self.database_url,
            "SQLALCHEMY_ENGINE_OPTIONS": {
                **POOL,
                "pool_pre_ping": True,
                "pool_size": 8,
                "max_overflow": 16,
                "connect_args": {"connect_timeout": 5, "options": LIMITS},
            },
            "SQLALCHEMY_BINDS": {
                READS: {  # app.statements.Read, which asks again where a ping would have helped
                    **POOL,
                    "url": self.database_url,
                    "isolation_level": "AUTOCOMMIT",
                    "skip_autocommit_rollback": True,
                    "pool_size": 4,
                    "max_overflow": 12,
                    "connect_args": {
                        "connect_timeout": 5,
                        "options": f"{LIMITS} -c default_transaction_read_only=on",
                    },
                }
            },
            "SECRET_KEY": self.secret_key,
            "SESSION_COOKIE_NAME": "chancai_session",
            "SESSION_COOKIE_SECURE": self.secure_cookies,
            "SESSION_COOKIE_HTTPONLY": True,
            "SESSION_COOKIE_SAMESITE": "Lax",
            "MAX_CONTENT_LENGTH": 16 * 1024 * 1024,
            "BABEL_DEFAULT_LOCALE": "zh_CN",
            "API_TITLE": "Chancai",
            "API_VERSION": "v1",
            "OPENAPI_VERSION": "3.1.0",
            "OPENAPI_URL_PREFIX": "/api/v1",
            "OPENAPI_JSON_PATH": "openapi.json",
        }


def _secret(env: Mapping[str, str], name: str) -> str:
    """From the environment, or from the file that NAME_FILE names, where only this service can read it."""
    return env.get(name) or _text_of(env.get(f"{name}_FILE", "")).strip()


def _long_enough(token: str) -> str:
    if token and len(token) < SHORTEST_TOKEN:
        raise SettingsError(f"METRICS_TOKEN must have {SHORTEST_TOKEN} characters or more.")
    return token


def _text_of(path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text()
    except OSError as error:
        raise SettingsError(f"The file {path} cannot be read: {error.strerror}.") from error


def _hubs(path: str) -> tuple[HubSettings, ...]:
    if not path:
        return ()
    names = {f.name for f in fields(HubSettings)}
    try:
        return tuple(_hub({k: v for k, v in row.items() if k in names}) for row in json.loads(_text_of(path)))
    except (ValueError, TypeError, AttributeError) as error:
        raise SettingsError(
            f"HUBS_FILE {path} is not a JSON list of hubs, each with {', '.join(sorted(names))}."
        ) from error


def _hub(row: dict[str, Any]) -> HubSettings:
    slurm = row.pop("slurm", None)
    return HubSettings(**row, slurm=SlurmAccess(**slurm) if slurm else None)
