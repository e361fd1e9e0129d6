"""A second factor: a code from an app that changes every thirty seconds (RFC 6238), and codes for when it is lost.

A code works once, also within its thirty seconds. Whoever knows the password and guesses is stopped for the
account as a whole: at this point somebody else knows the password, and waiting is the lesser harm.
"""

import secrets
from uuid import UUID

import pyotp
from flask_babel import lazy_gettext as _
from sqlalchemy import delete, or_, update
from sqlalchemy.dialects.postgresql import insert

from accounts import policy, queries, sealing
from accounts.errors import SecondFactorExists, SecondFactorRequired, WrongCode
from accounts.models import Person, RecoveryCode, SecondFactor, SignIn, fingerprint
from accounts.services import notices
from app import audit, clock
from app.access import Actor, require, require_person
from app.db import db
from app.errors import NotFound

ISSUER = "Chancai"
STEP = 30
RECOVERY_CODES = 10
ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # nothing that is misread


def begin(person_id: UUID) -> SecondFactor:
    """Make a secret for the person's app. It counts for nothing until a code of it has been shown."""
    sealed = sealing.seal(pyotp.random_base32())
    row = insert(SecondFactor).values(person_id=person_id, sealed_secret=sealed)
    db.session.execute(row.on_conflict_do_nothing(index_elements=["person_id"]))
    factor = queries.second_factor(person_id, lock=True)
    assert factor is not None
    if factor.confirmed_at is not None:
        raise SecondFactorExists
    factor.sealed_secret = sealed
    return factor


def address(factor: SecondFactor) -> str:
    """What the app reads from the picture: otpauth://totp/…"""
    person = queries.person(factor.person_id)
    return pyotp.TOTP(secret(factor)).provisioning_uri(name=person.email, issuer_name=ISSUER)


def secret(factor: SecondFactor) -> str:
    found = sealing.unseal(factor.sealed_secret)
    if found is None:
        raise NotFound
    return found


def confirm(actor: Actor, code: str, sign_in_id: UUID | None = None) -> list[str]:
    """Turn the second factor on, with the first code of the app; return the recovery codes, shown this once.

    It counts as shown in the sign-in in which that happens.
    """
    person_id = require_person(actor)
    require(policy.may_change_person(actor, person_id))
    factor = queries.second_factor(person_id, lock=True)
    if factor is None or factor.confirmed_at is not None:
        raise NotFound
    if not _use_app_code(factor, code):
        raise WrongCode
    factor.confirmed_at = clock.now()
    here = update(SignIn).where(SignIn.id == sign_in_id, SignIn.person_id == person_id)
    db.session.execute(here.values(second_factor_at=clock.now()))
    audit.record(actor, "second-factor.on", factor)
    return _new_recovery_codes(person_id)


def check(person: Person, code: str) -> None:
    """Accept a code of the app or a recovery code, once; else refuse."""
    factor = queries.second_factor(person.id, lock=True)
    if factor is None or factor.confirmed_at is None:
        raise WrongCode
    if not _use_app_code(factor, code) and not _use_recovery_code(person, code):
        raise WrongCode


def turn_off(actor: Actor, code: str, *, is_required: bool) -> None:
    """Turn one's own second factor off, with a code of it; not where the role asks for one."""
    person_id = require_person(actor)
    require(policy.may_change_person(actor, person_id))
    if is_required and policy.needs_second_factor(actor):
        raise SecondFactorRequired
    check(queries.person(person_id), code)
    _remove(actor, person_id, "second-factor.off")


def renew_recovery_codes(actor: Actor, code: str) -> list[str]:
    """Make new recovery codes; the old ones end."""
    person_id = require_person(actor)
    require(policy.may_change_person(actor, person_id))
    check(queries.person(person_id), code)
    factor = queries.second_factor(person_id)
    assert factor is not None
    audit.record(actor, "second-factor.new-recovery-codes", factor)
    return _new_recovery_codes(person_id)


def reset(actor: Actor, person_id: UUID, reason: str) -> None:
    """Take somebody's second factor away who lost the phone and the codes. Only other people's."""
    require(policy.may_close_accounts(actor) and actor.person_id != person_id)
    _remove(actor, person_id, "second-factor.reset", reason)


def _remove(actor: Actor, person_id: UUID, action: str, reason: str | None = None) -> None:
    factor = queries.second_factor(person_id, lock=True)
    if factor is None:
        raise NotFound
    audit.record(actor, action, factor, reason=reason)
    db.session.execute(update(SignIn).where(SignIn.person_id == person_id).values(second_factor_at=None))
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.person_id == person_id))
    db.session.delete(factor)


def _use_app_code(factor: SecondFactor, code: str) -> bool:
    """Whether it is the code of now, or of the step before or after; a step counts once (RFC 6238, 5.2)."""
    found = sealing.unseal(factor.sealed_secret)
    digits = code.replace(" ", "")
    if found is None or len(digits) != 6 or not digits.isascii() or not digits.isdigit():
        return False
    app, now = pyotp.TOTP(found), int(clock.now().timestamp()) // STEP
    matching = [step for step in (now - 1, now, now + 1) if secrets.compare_digest(app.at(step * STEP), digits)]
    if not matching:
        return False
    unused = update(SecondFactor).where(
        SecondFactor.id == factor.id, or_(SecondFactor.last_step.is_(None), SecondFactor.last_step < matching[-1])
    )
    return db.session.scalar(unused.values(last_step=matching[-1]).returning(SecondFactor.id)) is not None


def _use_recovery_code(person: Person, code: str) -> bool:
    plain = "".join(c for c in code.lower() if c in ALPHABET)
    unused = update(RecoveryCode).where(
        RecoveryCode.person_id == person.id,
        RecoveryCode.sha256 == fingerprint(f"{person.id} {plain}"),
        RecoveryCode.used_at.is_(None),
    )
    row = db.session.scalar(unused.values(used_at=clock.now()).returning(RecoveryCode.id))
    if row is None:
        return False
    left = queries.recovery_codes_left(person.id)
    audit.record(queries.actor(person.id), "second-factor.recovery-code", person, left=left)
    notices.notify(person.id, "recovery-code-used", f"recovery-code:{row}", url="/profile#second-factor", left=left)
    return True


def _new_recovery_codes(person_id: UUID) -> list[str]:
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.person_id == person_id))
    codes = ["".join(secrets.choice(ALPHABET) for _n in range(16)) for _code in range(RECOVERY_CODES)]
    db.session.add_all(
        RecoveryCode(person_id=person_id, sha256=fingerprint(f"{person_id} {code}"), used_at=None) for code in codes
    )
    db.session.flush()
    return ["-".join(code[i : i + 4] for i in range(0, 16, 4)) for code in codes]


notices.describe(
    "recovery-code-used",
    _("A recovery code was used to sign in"),
    _("%(left)s are left. If it was not you, change your password and make new recovery codes."),
    is_essential=True,
)
