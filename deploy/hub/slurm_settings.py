"""What a hub in front of a Slurm cluster is told of it, in the file that SLURM_FILE names. See docs/cluster.md."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from deploy.hub.settings import BadSettings
from labs.adapters.slurmrestd import GivenToken, SignedTokens, SlurmRest, Tokens


@dataclass(frozen=True, kw_only=True)
class SlurmSettings:
    """`accounts` are those of the nodes that labs may run as, one for each person. `nodes` maps names to addresses."""

    rest_url: str
    rooms_dir: str
    homes_dir: str
    accounts: list[str]
    jwt_key_file: str = ""
    token_file: str = ""
    api: str = "v0.0.38"
    partition: str = "labs"
    account: str = "chancai"
    qos: str = "lab"
    accelerator: str = "npu:ascend"
    operator: str = "slurm"  # the account that gives jobs more time
    lab_ip: str = "0.0.0.0"  # noqa: S104  (what a lab listens on; its node is behind the site's walls)
    lab_ports: tuple[int, int] = (20000, 29999)
    nodes: Mapping[str, str] = field(default_factory=dict)

    def client(self) -> SlurmRest:
        return SlurmRest(self.rest_url, self._tokens(), api=self.api)

    def _tokens(self) -> Tokens:
        return SignedTokens(Path(self.jwt_key_file)) if self.jwt_key_file else GivenToken(Path(self.token_file))


def read(environment: Mapping[str, str] = os.environ) -> SlurmSettings:
    """The settings, or a sentence that says what is wrong with them."""
    path = environment.get("SLURM_FILE")
    if not path:
        raise BadSettings("SLURM_FILE is not set")
    try:
        body = json.loads(Path(path).read_text())
    except OSError as error:
        raise BadSettings(f"SLURM_FILE {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadSettings(f"SLURM_FILE {path} is not JSON") from error
    return _checked(path, body)


def _checked(path: str, body: Any) -> SlurmSettings:
    known = {one.name for one in fields(SlurmSettings)}
    if not isinstance(body, dict) or set(body) - known:
        raise BadSettings(f"SLURM_FILE {path} may hold an object with {', '.join(sorted(known))} only")
    try:
        settings = SlurmSettings(**body)
    except TypeError as error:
        raise BadSettings(f"SLURM_FILE {path}: {error}") from error
    if bool(settings.jwt_key_file) == bool(settings.token_file):
        raise BadSettings(f"SLURM_FILE {path} must name a jwt_key_file or a token_file")
    if not settings.accounts:
        raise BadSettings(f"SLURM_FILE {path} names no accounts")
    return settings
