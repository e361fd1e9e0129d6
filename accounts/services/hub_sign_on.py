"""Codes and tokens that hubs get for a person who is signed in here (RFC 6749, 4.1; OpenID Connect Core).

Both are random strings of which only the digest is kept. A code works once: the second use takes back what
the first one gave. A token lives as long as the sign-in it came from.
"""

import logging
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, select, update

from accounts.models import AccessToken, AuthorizationCode, Person, SignIn, fingerprint
from app import clock
from app.db import db

log = logging.getLogger(__name__)
CODE_LASTS = timedelta(seconds=60)
KEPT = timedelta(days=1)  # a used code is remembered so that a replay is noticed


def hubs_entered(key: str) -> list[str]:
    """The clients (hubs) that this browser has signed in to and that still hold a token."""
    statement = (
        select(AccessToken.client_id)
        .join(SignIn, SignIn.id == AccessToken.sign_in_id)
        .where(
            SignIn.key_sha256 == fingerprint(key),
            AccessToken.revoked_at.is_(None),
            AccessToken.expires_at > clock.now(),
        )
        .distinct()
    )
    return list(db.session.scalars(statement))


def keep_code(
    secret: str,
    *,
    person_id: UUID,
    sign_in_id: UUID,
    client_id: str,
    redirect_uri: str,
    scope: str,
    nonce: str | None,
    code_challenge: str,
) -> None:
    """Keep a code made for one hub, one address of it and one person."""
    code = AuthorizationCode(
        sha256=fingerprint(secret),
        client_id=client_id,
        person_id=person_id,
        sign_in_id=sign_in_id,
        redirect_uri=redirect_uri,
        scope=scope,
        nonce=nonce,
        code_challenge=code_challenge,
        expires_at=clock.now() + CODE_LASTS,
    )
    db.session.add(code)


def redeem(secret: str, client_id: str) -> AuthorizationCode | None:
    """Use a code up. Of two who come with it at a time, one gets it; the other ends what the first got."""
    now = clock.now()
    of_client = (AuthorizationCode.sha256 == fingerprint(secret), AuthorizationCode.client_id == client_id)
    unused = update(AuthorizationCode).where(*of_client, AuthorizationCode.used_at.is_(None))
    code_id = db.session.scalar(unused.values(used_at=now).returning(AuthorizationCode.id))
    if code_id is None:
        _take_back(db.session.scalar(select(AuthorizationCode).where(*of_client)))
        return None
    code = db.session.get_one(AuthorizationCode, code_id)
    return code if code.expires_at > now and _is_signed_in(code) else None


def keep_token(code: AuthorizationCode, secret: str) -> AccessToken:
    """Keep a token made for a code. It ends when the sign-in does."""
    sign_in = db.session.get_one(SignIn, code.sign_in_id)
    token = AccessToken(
        sha256=fingerprint(secret),
        client_id=code.client_id,
        person_id=code.person_id,
        sign_in_id=code.sign_in_id,
        code_id=code.id,
        scope=code.scope,
        expires_at=sign_in.expires_at,
    )
    db.session.add(token)
    return token


def revoke(token: AccessToken) -> None:
    token.revoked_at = token.revoked_at or clock.now()


def nonce_is_known(nonce: str, client_id: str) -> bool:
    """Whether that hub used the nonce lately: somebody repeats an old request."""
    statement = select(AuthorizationCode.id).where(
        AuthorizationCode.nonce == nonce, AuthorizationCode.client_id == client_id
    )
    return db.session.scalar(statement.limit(1)) is not None


def forget_old() -> int:
    """Remove tokens and codes whose time has long been over."""
    over = clock.now() - KEPT
    tokens = db.session.scalars(delete(AccessToken).where(AccessToken.expires_at < over).returning(AccessToken.id))
    done = len(tokens.all())
    alive = select(AccessToken.code_id)
    codes = delete(AuthorizationCode).where(AuthorizationCode.expires_at < over, AuthorizationCode.id.not_in(alive))
    return done + len(db.session.scalars(codes.returning(AuthorizationCode.id)).all())


def _take_back(code: AuthorizationCode | None) -> None:
    """RFC 6749, 4.1.2: a code that comes twice was stolen, or its tokens will be."""
    if code is None:
        return
    tokens = update(AccessToken).where(AccessToken.code_id == code.id, AccessToken.revoked_at.is_(None))
    db.session.execute(tokens.values(revoked_at=clock.now()))
    log.warning("code used twice; its tokens are revoked", extra={"client": code.client_id, "code_id": str(code.id)})


def _is_signed_in(code: AuthorizationCode) -> bool:
    statement = (
        select(SignIn.id)
        .join(Person, SignIn.person_id == Person.id)
        .where(
            SignIn.id == code.sign_in_id,
            SignIn.ended_at.is_(None),
            SignIn.expires_at > clock.now(),
            Person.is_active,
        )
    )
    return db.session.scalar(statement) is not None
