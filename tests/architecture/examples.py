"""What is sent to each route that wants something, so that it can do its work for those who may."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from io import BytesIO
from typing import Any
from uuid import UUID

import pyotp
import sqlalchemy as sa
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from accounts.models import IdentityProvider, PasswordReset, SecondFactor, fingerprint
from accounts.models_life import Erasure
from app import clock
from app.db import db
from labs.models import (
    Budget,
    BudgetKind,
    Command,
    LabSession,
    LedgerTransaction,
    SessionState,
    SessionView,
    ViewState,
)
from tests.architecture.world import ISSUER, PASSWORD, World

HUB = "http://labs.test/hub/oauth_callback"
LOGO = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><rect width="1" height="1"/></svg>'
NEW_PASSWORD = "another horse battery"


@dataclass
class Example:
    """A body (`json` or `form`), and what else belongs to the request. An empty one says: nothing is needed."""

    json: dict[str, Any] | None = None
    form: dict[str, Any] | None = None
    body: bytes | None = None
    query: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    session: dict[str, Any] = field(default_factory=dict)  # of the browser, beside the sign-in
    ids: dict[str, Any] = field(default_factory=dict)  # in the address of this route, instead of the usual ones
    arrange: Callable[[], None] | None = None  # done before, and undone with the request


NOTHING = Example()


def example(world: World, walker: UUID | None, route: str) -> Example:
    """What this walker sends to the route. Routes that only read need no entry, unless they ask for more."""
    known = _examples(world, walker)
    if route in known:
        return known[route]
    assert route.startswith("GET "), f"{route}: add what it is sent to tests/architecture/examples.py (or NOTHING)"
    return NOTHING


def _examples(world: World, walker: UUID | None) -> dict[str, Example]:
    return _of_accounts(world, walker) | _of_partners(world) | _of_labs(world) | _of_courses(world)


def _of_accounts(world: World, walker: UUID | None) -> dict[str, Example]:
    code = pyotp.TOTP(world.secret).at(clock.now())
    soon = clock.now().timestamp() + 60
    arrival = {"issuer": ISSUER, "subject": "a-new-one", "name": None, "email": None}
    half_way = {
        "person": world.student_id.hex,
        "password": fingerprint(world.password_hash),
        "until": soon,
        "way_back": "/",
    }
    departure = {
        "slug": world.ids["slug"],
        "state": "state",
        "nonce": "nonce",
        "verifier": "verifier",
        "until": soon,
        "way_back": "/",
        "link": None,
    }
    authorization = {
        "response_type": "code",
        "client_id": "hub-embedded",
        "redirect_uri": HUB,
        "scope": "openid profile",
        "state": "state",
        "code_challenge": create_s256_code_challenge("v" * 43),
        "code_challenge_method": "S256",
    }
    token = {"name": "walk", "scopes": ["labs:read"], "days": 7}
    return {
        "POST /language": Example(form={"language": "en", "next": "/"}),
        "POST /sign-in": Example(form={"email": "student@home.example", "password": PASSWORD}),
        "GET /sign-in/code": Example(session={"half_way": half_way}),
        "POST /sign-in/code": Example(form={"code": code}, session={"half_way": half_way}),
        "GET /sign-in/back": Example(query={"state": "state", "code": "code"}, session={"departure": departure}),
        "POST /sign-out": NOTHING,
        "POST /sign-in/forgot": Example(form={"email": "student@home.example"}),
        "GET /sign-in/reset": Example(query={"key": "reset-key"}, arrange=lambda: _wants_password(world)),
        "POST /sign-in/reset": Example(
            form={"key": "reset-key", "password": NEW_PASSWORD}, arrange=lambda: _wants_password(world)
        ),
        "POST /api/v1/password-resets": Example(json={"email": "student@home.example"}),
        "POST /api/v1/password-resets/use": Example(
            json={"key": "reset-key", "password": NEW_PASSWORD}, arrange=lambda: _wants_password(world)
        ),
        "POST /claim": Example(form={"code": world.code}),
        "POST /claim/accept": Example(form={"code": world.code}),
        "POST /claim/new": Example(
            form={"code": world.code, "name": "New", "email": "new@home.example", "password": NEW_PASSWORD}
        ),
        "GET /oauth/authorize": Example(query=authorization),
        "POST /oauth/token": Example(form={"grant_type": "authorization_code", "code": "x", "redirect_uri": HUB}),
        "POST /oauth/revoke": Example(form={"token": "x"}),
        "POST /profile": Example(form={"name": "Renamed", "language": "en", "time_zone": "UTC"}),
        "POST /profile/mail": Example(form={"wants_mail": "1"}),
        "POST /profile/password": Example(form={"current": PASSWORD, "new": NEW_PASSWORD}),
        "POST /profile/tokens": Example(form={"purpose": "walk", "scopes": ["labs:read"], "days": "7"}),
        "POST /api/v1/me/tokens": Example(json=token),
        "POST /profile/tokens/<token_id>/revoke": NOTHING,
        "DELETE /api/v1/me/tokens/<token_id>": NOTHING,
        "POST /profile/sign-ins/<sign_in_id>/end": NOTHING,
        "DELETE /api/v1/me/sign-ins/<sign_in_id>": NOTHING,
        "POST /profile/second-factor": Example(arrange=_not_confirmed),
        "POST /profile/second-factor/confirm": Example(form={"code": code}, arrange=_not_confirmed),
        "POST /profile/second-factor/recovery-codes": Example(form={"code": code}),
        "POST /profile/second-factor/off": Example(form={"code": code}),
        "POST /profile/identities": Example(
            session={"arrival": {"person": str(walker) if walker else "", "until": soon, "arrival": arrival}}
        ),
        "POST /profile/identities/<identity_id>/unlink": NOTHING,
        "POST /profile/data/export": NOTHING,
        "POST /profile/data/erase": Example(form={"password": PASSWORD}),
        "POST /profile/data/keep": Example(arrange=lambda: _asks_erasure(walker)),
        "POST /api/v1/me/export": NOTHING,
        "POST /api/v1/me/erasure": Example(json={"password": PASSWORD}),
        "DELETE /api/v1/me/erasure": Example(arrange=lambda: _asks_erasure(walker)),
        "POST /notices/read": NOTHING,
        "POST /notices/<notice_id>/open": NOTHING,
        "PUT /api/v1/me/mail": Example(json={"wants_mail": False, "unwanted_mail": []}),
        "POST /api/v1/me/notices/read": NOTHING,
        "POST /api/v1/me/notices/<notice_id>/read": NOTHING,
        "POST /partners/<slug>/invitations": Example(form={"name": "New", "role": "teacher"}),
        "POST /partners/<slug>/invitations/<invitation_id>/take-back": NOTHING,
        "POST /partners/<slug>/sign-on": Example(
            form={"issuer": "https://other.example", "client_id": "chancai", "client_secret": "x", "role": "student"},
            arrange=_not_connected,
        ),
        "POST /partners/<slug>/sign-on/disconnect": NOTHING,
    }


def _wants_password(world: World) -> None:
    """Somebody asked for a new password, and got a link."""
    expires = clock.now() + timedelta(minutes=5)
    db.session.add(
        PasswordReset(
            email="student@home.example",
            person_id=world.student_id,
            sha256=fingerprint("reset-key"),
            expires_at=expires,
        )
    )
    db.session.commit()


def _of_partners(world: World) -> dict[str, Example]:
    contact = {"name": "Chen", "role": "Registry", "email": "chen@home.example"}
    partner = {"slug": "new", "kind": "university", "title_zh": "新", "title_en": "New", "time_zone": "UTC"}
    agreement = {"reference": "2027"}
    ending = {"until_at": None, "reason": "open-ended"}
    role = {"role": "coordinator", "reason": "walk"}
    token = {"name": "walk", "scopes": ["labs:read"], "days": 30}
    token_form = {"purpose": "walk", "scopes": ["labs:read"], "days": "30"}
    of_partner = Example(ids={"token_id": world.partner_token_id})
    of_platform = Example(ids={"token_id": world.platform_token_id})
    erasure = {"confirmation": "student@home.example", "reason": "walk"}
    two = {"kept_id": world.ids["person_id"], "merged_id": str(world.double_id)}
    return {
        "POST /partners/<slug>/settings": Example(form={"time_zone": "UTC"}),
        "POST /partners/<slug>/settings/contacts": Example(form=contact),
        "POST /partners/<slug>/settings/contacts/<contact_id>/remove": NOTHING,
        "POST /partners/<slug>/settings/logo": Example(form={"logo": (BytesIO(LOGO), "logo.svg")}),
        "POST /partners/<slug>/settings/logo/remove": NOTHING,
        "PATCH /api/v1/partners/<slug>": Example(json={"time_zone": "UTC"}),
        "POST /api/v1/partners/<slug>/contacts": Example(json=contact),
        "DELETE /api/v1/partners/<slug>/contacts/<contact_id>": NOTHING,
        "PUT /api/v1/partners/<slug>/logo": Example(body=LOGO),
        "DELETE /api/v1/partners/<slug>/logo": NOTHING,
        "POST /administration/partners": Example(form=partner),
        "POST /administration/partners/<slug>/names": Example(form={"title_zh": "新", "title_en": "New"}),
        "POST /administration/partners/<slug>/domains": Example(form={"email_domains": "home.example"}),
        "POST /administration/partners/<slug>/agreements": Example(form=agreement),
        "POST /administration/partners/<slug>/agreements/<agreement_id>/end": Example(form={"reason": "open-ended"}),
        "POST /api/v1/partners": Example(json=partner),
        "POST /api/v1/partners/<slug>/agreements": Example(json=agreement),
        "POST /api/v1/partners/<slug>/agreements/<agreement_id>/end": Example(json=ending),
        "POST /partners/<slug>/tokens": Example(form=token_form),
        "POST /partners/<slug>/tokens/<token_id>/revoke": of_partner,
        "POST /api/v1/partners/<slug>/tokens": Example(json=token),
        "DELETE /api/v1/partners/<slug>/tokens/<token_id>": of_partner,
        "POST /administration/tokens": Example(form=token_form),
        "POST /administration/tokens/<token_id>/revoke": of_platform,
        "POST /api/v1/service-tokens": Example(json=token),
        "DELETE /api/v1/service-tokens/<token_id>": of_platform,
        "POST /administration/people/<person_id>/close": Example(form={"reason": "walk"}),
        "POST /administration/people/<person_id>/reopen": Example(form={"reason": "walk"}),
        "POST /administration/people/<person_id>/erase": Example(form=erasure),
        "POST /api/v1/people/<person_id>/erase": Example(json=erasure),
        "POST /administration/merge": Example(form={"kept": two["kept_id"], "merged": two["merged_id"], "reason": "x"}),
        "POST /administration/merges/<merge_id>/undo": Example(form={"reason": "walk"}),
        "POST /api/v1/people/<person_id>/close": Example(json={"reason": "walk"}),
        "POST /api/v1/people/<person_id>/reopen": Example(json={"reason": "walk"}),
        "POST /api/v1/merges/preview": Example(json=two),
        "POST /api/v1/merges": Example(json=two | {"reason": "walk"}),
        "POST /api/v1/merges/<merge_id>/undo": Example(json={"reason": "walk"}),
        "POST /administration/roles": Example(form=role | {"email": "student@home.example"}),
        "POST /administration/roles/<grant_id>/end": Example(form={"reason": "walk"}),
        "POST /api/v1/platform-roles": Example(json=role | {"person_id": world.ids["person_id"]}),
        "POST /api/v1/platform-roles/<grant_id>/end": Example(json={"reason": "walk"}),
    }


def _closed(budget_id: UUID) -> None:
    db.session.get_one(Budget, budget_id).is_closed = True


def _charged(session_id: UUID) -> None:
    """The lab has ended and was charged."""
    session = db.session.get_one(LabSession, session_id)
    session.state, session.charged_micro = SessionState.SETTLED, 1_000_000


def _of_labs(world: World) -> dict[str, Example]:
    now = clock.now()
    transfer = {"amount_micro": 1_000_000, "key": "walk-walk"}
    valid = {"valid_from": now.isoformat(), "valid_until": now.replace(year=now.year + 1).isoformat()}
    partners = {"budget_id": world.partner_budget_id}
    root = {
        "title_zh": "项目",
        "title_en": "Program",
        "starts_at": valid["valid_from"],
        "ends_at": valid["valid_until"],
    }
    program = root | {"kind": "program"}
    days = {"title_zh": "项目", "title_en": "Program", "starts_on": "2026-01-01", "ends_on": "2027-01-01"}
    center = {"slug": "embedded"}
    in_charge = {"person_id": str(world.school.teacher.id)}
    hub = {"center": "embedded", "user": "u", "server": "lab-0"}
    wish = {
        "budget_id": world.ids["budget_id"],
        "person_id": world.ids["person_id"],
        "flavor_id": str(world.flavor_id),
        "seconds": 600,
        "purpose": "walk",
    }
    keyed = {"Idempotency-Key": "walk-walk"}
    return {
        "POST /api/v1/holds/": Example(json=wish, headers=keyed),
        "POST /api/v1/holds/<hold_id>/extend": Example(json={"seconds": 60}, headers=keyed),
        "POST /api/v1/holds/<hold_id>/usage": Example(json={"seconds": 60}),
        "POST /api/v1/holds/<hold_id>/settle": Example(json={"seconds": 60}),
        "POST /api/v1/holds/<hold_id>/void": NOTHING,
        "POST /labs/<session_id>/stop": NOTHING,
        "POST /api/v1/lab-sessions/<session_id>/stop": NOTHING,
        "POST /labs/<session_id>/extend": Example(form={"minutes": "15", "key": "walk"}),
        "POST /api/v1/lab-sessions/<session_id>/extensions": Example(
            json={"minutes": 15}, headers={"Idempotency-Key": "walk"}
        ),
        "POST /operations/flavors/<flavor_id>/rates": Example(form={"price": "2"}),
        "POST /api/v1/flavors/<flavor_id>/rates": Example(json={"price_micro": 2_000_000}),
        "POST /labs/<session_id>/keep-alive": Example(form={"minutes": "60"}),
        "POST /api/v1/lab-sessions/<session_id>/keep-alive": Example(json={}),
        "POST /labs/<session_id>/looks": Example(form={"reason": "walk"}),
        "POST /api/v1/lab-sessions/<session_id>/looks": Example(json={"reason": "walk"}),
        "POST /labs/<session_id>/look": Example(arrange=_let_in),
        "POST /labs/looks/<look_id>/answer": Example(form={"answer": "yes"}),
        "POST /api/v1/lab-looks/<look_id>/answer": Example(json={"yes": True}),
        "POST /labs/looks/<look_id>/end": NOTHING,
        "POST /api/v1/lab-looks/<look_id>/end": NOTHING,
        "POST /labs/files": Example(form={"center": "embedded"}),
        "POST /api/v1/centers/<slug>/files": Example(ids=center),
        "POST /labs/<session_id>/accept": NOTHING,
        "GET /labs/decisions/<decision_id>": NOTHING,
        "GET /centers/<slug>/terms": Example(ids=center),
        "GET /api/v1/centers/<slug>/terms": Example(ids=center),
        "POST /centers/<slug>/terms/accept": Example(form={"number": "1"}, ids=center),
        "POST /api/v1/centers/<slug>/terms/<number>/acceptance": Example(ids=center),
        "POST /centers/<slug>/terms": Example(form={"text_zh": "条款", "text_en": "Terms"}, ids=center),
        "POST /api/v1/centers/<slug>/terms": Example(json={"text_zh": "条款", "text_en": "Terms"}, ids=center),
        "POST /api/v1/lab-sessions/<session_id>/accept": NOTHING,
        "POST /internal/admission": Example(json=hub),
        "POST /internal/ended": Example(json=hub),
        "POST /internal/labs": Example(json={"center": "embedded", "labs": []}),
        "POST /internal/quotas": Example(json={"center": "embedded"}),
        "POST /budgets/<budget_id>/members/<person_id>": Example(form={"cap": "5"}),
        "PUT /api/v1/budgets/<budget_id>/members/<person_id>": Example(json={"cap_micro": 5_000_000}),
        "POST /budgets/<budget_id>/managers": Example(
            form={"email": "spare@home.example"}, arrange=lambda: _a_project(world)
        ),
        "POST /budgets/<budget_id>/managers/<person_id>/relieve": Example(
            ids=in_charge, arrange=lambda: _a_project(world)
        ),
        "PUT /api/v1/budgets/<budget_id>/managers/<person_id>": Example(arrange=lambda: _a_project(world)),
        "DELETE /api/v1/budgets/<budget_id>/managers/<person_id>": Example(
            ids=in_charge, arrange=lambda: _a_project(world)
        ),
        "POST /budgets/<budget_id>/shares": Example(form={"how": "raise", "amount": "1"}),
        "POST /budgets/<budget_id>/below": Example(form=days | {"kind": "program"}, ids=partners),
        "POST /budgets/<budget_id>/change": Example(form=days),
        "POST /budgets/<budget_id>/move": Example(form={"to": world.partner_budget_id, "amount": "1", "key": "walk"}),
        "POST /budgets/<budget_id>/pull-back": Example(form={"amount": "1", "key": "walk"}),
        "POST /budgets/<budget_id>/close": NOTHING,
        "POST /api/v1/budgets/<budget_id>/pull-backs": Example(json=transfer),
        "POST /api/v1/budgets/<budget_id>/close": NOTHING,
        "POST /partners/<slug>/budget": Example(form=days, arrange=lambda: _closed(world.partner_budget_id)),
        "POST /budgets/<budget_id>/requests": Example(form={"kind": "supplement", "amount": "1", "reason": "walk"}),
        "GET /labs/<session_id>/correction": Example(arrange=lambda: _charged(world.session_id)),
        "POST /labs/<session_id>/correction": Example(
            form={"amount": "0.1", "reason": "walk"}, arrange=lambda: _charged(world.session_id)
        ),
        "POST /requests/<request_id>/approve": NOTHING,
        "POST /requests/<request_id>/decline": Example(form={"note": "walk"}),
        "POST /requests/<request_id>/withdraw": NOTHING,
        "POST /api/v1/budgets/<budget_id>/shares": Example(json={"raise_micro": 1_000_000}),
        "POST /api/v1/budgets/<budget_id>/below": Example(json=program, ids=partners),
        "PATCH /api/v1/budgets/<budget_id>": Example(json={"title_en": "Renamed"}),
        "POST /api/v1/budgets/<budget_id>/moves": Example(
            json={"from_id": world.partner_budget_id, "amount_micro": 1, "key": "walk-move"}
        ),
        "POST /api/v1/partners/<slug>/budgets": Example(json=root, arrange=lambda: _closed(world.partner_budget_id)),
        "POST /api/v1/compute-requests/": Example(
            json={
                "kind": "supplement",
                "budget_id": world.ids["budget_id"],
                "amount_micro": 1_000_000,
                "reason": "walk",
            }
        ),
        "POST /api/v1/compute-requests/<request_id>/approve": Example(json={}),
        "POST /api/v1/compute-requests/<request_id>/decline": Example(json={"note": "walk"}),
        "POST /api/v1/compute-requests/<request_id>/withdraw": NOTHING,
        "POST /budgets/<budget_id>/fund": Example(form={"amount": "1", "key": "walk"}),
        "POST /api/v1/budgets/<budget_id>/transfers": Example(json=transfer),
        "POST /budgets/<budget_id>/grant": Example(form={"amount": "1", "key": "walk"}, ids=partners),
        "POST /api/v1/budgets/<budget_id>/grants": Example(json=transfer | valid, ids=partners),
        "POST /operations/centers/<slug>/state": Example(form={"state": "draining"}, ids=center),
        "POST /operations/accounting/rejects/<reject_id>/dismiss": NOTHING,
        "POST /operations/accounting/rejects/<reject_id>/again": NOTHING,
        "PATCH /api/v1/accounting/rejects/<reject_id>": Example(json={"state": "dismissed"}),
        "POST /operations/centers/<slug>/idle": Example(form={"idle_minutes": "20"}, ids=center),
        "POST /operations/centers/<slug>/region": Example(form={"region": "CN-SC"}, ids=center),
        "PATCH /api/v1/centers/<slug>": Example(json={"state": "draining"}, ids=center),
        "POST /operations/periods": Example(form={"month": "2026-02"}, arrange=_booked_in_february),
        "POST /api/v1/periods": Example(json={"month": "2026-02"}, arrange=_booked_in_february),
    }


def _a_project(world: World) -> None:
    """Not a run: so that who looks after it can be chosen."""
    budget_id = UUID(world.ids["budget_id"])
    db.session.execute(sa.update(Budget).where(Budget.id == budget_id).values(kind=BudgetKind.PROJECT))
    db.session.commit()


def _let_in() -> None:
    """The student said yes, and the hub knows."""
    db.session.execute(sa.update(SessionView).values(state=ViewState.GRANTED, shared_at=clock.now()))
    db.session.commit()


def _booked_in_february() -> None:
    """So that there is a month to close."""
    row = LedgerTransaction(key="february", command=Command.VOID, body_sha256="0")
    row.created_at = clock.now() - timedelta(days=10)
    db.session.add(row)


def _of_courses(world: World) -> dict[str, Example]:
    lab = {"unit_id": world.lab_unit}
    lease = {"flavor_id": str(world.flavor_id), "minutes": 30}
    course = {"slug": world.course_slug}
    return {
        "GET /courses/<slug>": Example(ids=course),
        "GET /api/v1/courses/<slug>": Example(ids=course),
        "POST /runs/<run_id>/enroll": NOTHING,
        "POST /api/v1/runs/<run_id>/enrollments": Example(json={}),
        "POST /runs/<run_id>/withdraw": NOTHING,
        "DELETE /api/v1/runs/<run_id>/enrollments": NOTHING,
        "POST /runs/<run_id>/units/<unit_id>/launch": Example(form=lease, ids=lab),
        "GET /api/v1/runs/<run_id>/units/<unit_id>/launch-panel": Example(ids=lab),
        "POST /api/v1/runs/<run_id>/units/<unit_id>/sessions": Example(json=lease, ids=lab),
        "POST /runs/<run_id>/units/<unit_id>/idle": Example(form={"idle_minutes": "45"}, ids=lab),
        "PUT /api/v1/runs/<run_id>/units/<unit_id>/idle": Example(json={"idle_minutes": 45}, ids=lab),
        "POST /runs/<run_id>/units/<unit_id>/region": Example(form={"region": ""}, ids=lab),
        "PUT /api/v1/runs/<run_id>/units/<unit_id>/region": Example(json={"region": None}, ids=lab),
        "POST /runs/<run_id>/class/people": Example(form={"email": "spare@home.example"}),
        "POST /runs/<run_id>/class/removals": Example(form={"person_id": world.ids["person_id"], "reason": "left"}),
        "DELETE /api/v1/runs/<run_id>/enrollments/<person_id>": Example(json={"reason": "left"}),
        "POST /runs/<run_id>/class/labs/<session_id>/stop": NOTHING,
        "POST /runs/<run_id>/class/labs": Example(form={"which": "shown", "action": "stop"}),
        "POST /api/v1/runs/<run_id>/class/actions": Example(
            json={"action": "stop", "session_ids": [world.ids["session_id"]]}
        ),
    }


def _not_confirmed() -> None:
    db.session.execute(sa.update(SecondFactor).values(confirmed_at=None))


def _asks_erasure(walker: UUID | None) -> None:
    if walker is not None:
        db.session.add(Erasure(person_id=walker, by_id=walker, reason="", due_at=clock.now() + timedelta(days=1)))


def _not_connected() -> None:
    db.session.execute(sa.delete(IdentityProvider))
