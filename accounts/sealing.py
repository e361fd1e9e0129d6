"""Secrets that must be read again (of second factors), sealed with a key made from SECRET_KEY."""

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import current_app


def seal(text: str) -> str:
    return _box(current_app.extensions["settings"].secret_key).encrypt(text.encode()).decode()


def unseal(sealed: str) -> str | None:
    """Return what was sealed; None when SECRET_KEY has changed since."""
    try:
        return _box(current_app.extensions["settings"].secret_key).decrypt(sealed.encode()).decode()
    except InvalidToken:
        return None


@lru_cache(maxsize=2)
def _box(secret_key: str) -> Fernet:
    derived = HKDF(SHA256(), length=32, salt=None, info=b"chancai sealing").derive(secret_key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
