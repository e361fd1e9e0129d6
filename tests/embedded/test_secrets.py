"""Secrets are made once and are for their owner's eyes only."""

import json
import stat

from cryptography.hazmat.primitives import serialization

from app.embedded import secrets

ADDRESSES = {"api_url": "http://127.0.0.1:8701/hub/api", "public_url": "http://localhost:8700"}


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_secret_key_is_the_same_at_the_next_start(tmp_path):
    first = secrets.secret_key(tmp_path)

    assert len(first) == 64
    assert secrets.secret_key(tmp_path) == first


def test_secrets_survive_a_change_of_address(tmp_path):
    before = json.loads(secrets.hubs(tmp_path, **ADDRESSES).read_text())[0]
    after = json.loads(
        secrets.hubs(tmp_path, api_url=ADDRESSES["api_url"], public_url="http://localhost:8710").read_text()
    )[0]

    assert after["public_url"] == "http://localhost:8710"
    assert {name: after[name] for name in secrets.KEPT} == {name: before[name] for name in secrets.KEPT}
    assert len({before[name] for name in secrets.KEPT}) == len(secrets.KEPT)


def test_nobody_else_can_read_them(tmp_path):
    secrets.secret_key(tmp_path)
    secrets.oidc_key(tmp_path)
    secrets.hubs(tmp_path, **ADDRESSES)

    assert {path.name: mode(path) for path in tmp_path.iterdir()} == {
        "secret_key": 0o600,
        "oidc.pem": 0o600,
        "hubs.json": 0o600,
    }


def test_what_is_written_is_private_whatever_lay_there(tmp_path):
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)

    secrets.write_private(path, "new")

    assert (path.read_text(), mode(path)) == ("new", 0o600)


def test_identity_tokens_are_signed_with_a_key_of_3072_bits(tmp_path):
    key = serialization.load_pem_private_key(secrets.oidc_key(tmp_path).read_bytes(), password=None)

    assert key.key_size == 3072
    assert secrets.oidc_key(tmp_path).read_bytes() == (tmp_path / "oidc.pem").read_bytes()
