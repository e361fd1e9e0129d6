"""Where everything of one cluster lies: folders, ports, accounts. Kept in `cluster.json`, so that all of it can go."""

import json
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.cluster.errors import NoCluster

DEFAULT_FOLDER = Path("/var/lib/chancai-cluster")
DEFAULT_NAME = "chancai"
DEFAULT_PORT = 16800
NODES = ("n1", "n2", "n3", "n4")
LAB_PORTS = (20000, 29999)
OFFSETS = {"slurmctld": 0, "slurmdbd": 1, "slurmrestd": 2, "mariadb": 3, "hub": 5, "hub_api": 6, "proxy_api": 7}


@dataclass(frozen=True)
class Layout:
    """One cluster. `port` is the first of twenty; `places` is how many people can have an account on it."""

    folder: Path
    name: str
    port: int
    places: int
    database_password: str

    # Accounts of the machine

    @property
    def hub_account(self) -> str:
        return f"{self.name}-hub"

    @property
    def rest_account(self) -> str:
        return f"{self.name}-rest"

    @property
    def keeper_account(self) -> str:
        """Keeps the quotas: of the machine's accounts the only one that Slurm calls an administrator."""
        return f"{self.name}-keeper"

    @property
    def lab_accounts(self) -> list[str]:
        return [f"{self.name}{number:03}" for number in range(1, self.places + 1)]

    @property
    def accounts(self) -> list[str]:
        return [self.hub_account, self.rest_account, self.keeper_account, *self.lab_accounts]

    # Addresses

    def port_of(self, part: str) -> int:
        return self.port + (10 + NODES.index(part) if part in NODES else OFFSETS[part])

    @property
    def rest_url(self) -> str:
        return f"http://127.0.0.1:{self.port_of('slurmrestd')}"

    @property
    def host(self) -> str:
        return socket.gethostname().split(".")[0]

    # Folders and files

    @property
    def etc(self) -> Path:
        return self.folder / "etc"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def logs(self) -> Path:
        return self.folder / "log"

    @property
    def homes(self) -> Path:
        return self.folder / "homes"

    @property
    def rooms(self) -> Path:
        return self.folder / "rooms"

    @property
    def slurm_conf(self) -> Path:
        return self.etc / "slurm.conf"

    @property
    def jwt_key(self) -> Path:
        return self.etc / "jwt.key"

    @property
    def hub_jwt_key(self) -> Path:
        """The same key, in a file that the hub's account can read."""
        return self.etc / "hub-jwt.key"

    @property
    def munge_socket(self) -> Path:
        return self.run / "munge" / "munge.socket"

    @property
    def database_socket(self) -> Path:
        return self.run / "mariadb" / "mariadb.sock"

    # Kept

    def keep(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        file = self.folder / "cluster.json"
        file.touch(0o600)
        file.write_text(json.dumps({**asdict(self), "folder": str(self.folder)}, indent=2))


def kept(folder: Path) -> Layout | None:
    """The cluster in this folder; None where there is none."""
    try:
        body = json.loads((folder / "cluster.json").read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise NoCluster(f"{folder}/cluster.json cannot be read: {error}") from error
    return Layout(**{**body, "folder": folder})


def new(folder: Path, name: str = DEFAULT_NAME, port: int = DEFAULT_PORT, places: int = 40) -> Layout:
    return Layout(folder, name, port, places, secrets.token_hex(16))
