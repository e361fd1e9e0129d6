"""The secrets of one installation: made once, kept in the var folder in files that only their owner can read."""

import json
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

CENTER = "embedded"
KEPT = ("token", "client_secret", "admission_secret")


def secret_key(folder: Path) -> str:
    """What sessions are signed with."""
    path = folder / "secret_key"
    if not path.exists():
        write_private(path, secrets.token_hex(32))
    return path.read_text().strip()


def oidc_key(folder: Path) -> Path:
    """The file of the key that identity tokens are signed with."""
    path = folder / "oidc.pem"
    if not path.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_private(path, pem.decode())
    return path


def hubs(folder: Path, *, api_url: str, public_url: str) -> Path:
    """The file of the hub's addresses and shared secrets; addresses may change between starts, secrets do not."""
    path = folder / "hubs.json"
    known = json.loads(path.read_text())[0] if path.exists() else {}
    hub = {
        "center": CENTER,
        "api_url": api_url,
        "public_url": public_url,
        "client_id": f"hub-{CENTER}",
        **{name: known.get(name) or secrets.token_hex(32) for name in KEPT},
    }
    write_private(path, json.dumps([hub], indent=2) + "\n")
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
