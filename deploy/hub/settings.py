"""What a hub is told from outside: its environment and its object in HUBS_FILE. docs/hub.md lists the names."""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

SECRETS = ("token", "client_id", "client_secret", "admission_secret")
SHORTEST_SECRET = 16


class BadSettings(SystemExit):
    """Said on the console; the hub does not start."""


@dataclass(frozen=True)
class Settings:
    """A center's hub. Ports and folders matter only where hub, proxy and labs share one host."""

    center: str
    public_url: str
    platform_url: str
    token: str = field(repr=False)
    client_id: str
    client_secret: str = field(repr=False)
    admission_secret: str = field(repr=False)
    hub_dir: Path
    homes_dir: Path
    bind_host: str
    bind_port: int
    api_port: int
    proxy_api_port: int
    spawner: str
    log_level: str

    @property
    def secure(self) -> bool:
        return self.public_url.startswith("https://")


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings, or a sentence that says what is wrong with them."""
    center = environment.get("HUB_CENTER") or "embedded"
    credentials = _credentials(Path(_needed(environment, "HUBS_FILE")), center)
    return Settings(
        center=center,
        public_url=_url(environment, "HUB_PUBLIC_URL"),
        platform_url=_url(environment, "PLATFORM_URL"),
        token=credentials["token"],
        client_id=credentials["client_id"],
        client_secret=credentials["client_secret"],
        admission_secret=credentials["admission_secret"],
        hub_dir=_folder(environment, "HUB_DIR"),
        homes_dir=_folder(environment, "HOMES_DIR"),
        bind_host=environment.get("HUB_BIND_HOST") or "127.0.0.1",
        bind_port=_port(environment, "HUB_BIND_PORT"),
        api_port=_port(environment, "HUB_API_PORT"),
        proxy_api_port=_port(environment, "HUB_PROXY_API_PORT"),
        spawner=_one_of(environment, "HUB_SPAWNER", ("auto", "bubblewrap", "plain")),
        log_level=_one_of(environment, "HUB_LOG_LEVEL", ("INFO", "DEBUG", "WARN", "ERROR", "CRITICAL")),
    )


def of_keeper(environment: Mapping[str, str] = os.environ) -> tuple[str, str, str]:
    """What the keeper of a cluster's quotas needs: the center, the platform's address, and the center's secret."""
    center = _needed(environment, "HUB_CENTER")
    credentials = _credentials(Path(_needed(environment, "HUBS_FILE")), center)
    return center, _url(environment, "PLATFORM_URL"), credentials["admission_secret"]


def kept_secret(file: Path) -> str:
    """A secret of 32 bytes in hex, made at the first start and kept."""
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "w") as stream:
            stream.write(secrets.token_hex(32))
        return file.read_text().strip()


def _credentials(file: Path, center: str) -> dict[str, str]:
    try:
        hubs = json.loads(file.read_text())
        found = next(hub for hub in hubs if hub["center"] == center)
    except OSError as error:
        raise BadSettings(f"HUBS_FILE {file} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise BadSettings(f"HUBS_FILE {file} is not a JSON list of hubs") from error
    except StopIteration:
        raise BadSettings(f"HUBS_FILE {file} has no hub of the center {center!r}") from None
    for name in SECRETS:
        if not isinstance(found.get(name), str) or not found[name]:
            raise BadSettings(f"HUBS_FILE {file}: the hub of {center!r} has no {name}")
        if name != "client_id" and len(found[name]) < SHORTEST_SECRET:
            raise BadSettings(f"HUBS_FILE {file}: {name} of {center!r} is too short to be a secret")
    return {name: found[name] for name in SECRETS}


def _needed(environment: Mapping[str, str], name: str) -> str:
    if not environment.get(name):
        raise BadSettings(f"{name} is not set")
    return environment[name]


def _url(environment: Mapping[str, str], name: str) -> str:
    url = _needed(environment, name).rstrip("/")
    parsed = urlsplit(url)
    if parsed.scheme not in ("http", "https") or not parsed.hostname or parsed.path or parsed.query:
        raise BadSettings(f"{name} must be like https://host:port, not {url!r}")
    return url


def _port(environment: Mapping[str, str], name: str) -> int:
    text = _needed(environment, name)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise BadSettings(f"{name} must be a port, not {text!r}")
    return int(text)


def _folder(environment: Mapping[str, str], name: str) -> Path:
    folder = Path(_needed(environment, name))
    if not folder.is_absolute():
        raise BadSettings(f"{name} must be an absolute path, not {str(folder)!r}")
    return folder


def _one_of(environment: Mapping[str, str], name: str, words: tuple[str, ...]) -> str:
    word = environment.get(name) or words[0]
    if word not in words:
        raise BadSettings(f"{name} must be one of {', '.join(words)}, not {word!r}")
    return word
