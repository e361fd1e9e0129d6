"""The accounts API: me, my tokens, sign-ins and notices; partners and their people."""

from typing import Any
from uuid import UUID

from flask import request
from flask_smorest import Blueprint
from sqlalchemy import Select

from accounts import api_partners, api_people, api_service_tokens, policy, queries, schemas, trail
from accounts.models import Membership, Notice, Partner, Person, PersonalToken, SignIn
from accounts.schemas import (
    AskResetSchema,
    MadeTokenSchema,
    MailChoiceSchema,
    MakeTokenSchema,
    MemberSchema,
    MeSchema,
    NoticeFilterSchema,
    NoticeSchema,
    PartnerSchema,
    SignInSchema,
    TokenSchema,
    TrailSchema,
    TrailSearchSchema,
    UseResetSchema,
)
from accounts.services import attempts, mail, notices, password_reset, signing_in, tokens
from accounts.trail import Search
from app.access import current_actor, people_only, public, require_person, scope, signed_in
from app.audit import AuditEntry
from app.db import transaction
from app.errors import NotFound
from app.paging import Rows

mine = Blueprint("me", __name__, url_prefix="/api/v1/me", description="The person who asks")
partners = Blueprint("partners-api", __name__, url_prefix="/api/v1/partners", description="Partners and their people")
trails = Blueprint("trail-api", __name__, url_prefix="/api/v1/trail", description="Who did what to which row")
resets = Blueprint("resets-api", __name__, url_prefix="/api/v1/password-resets", description="Forgotten passwords")
BLUEPRINTS = (
    resets,
    mine,
    partners,
    trails,
    *api_partners.BLUEPRINTS,
    *api_people.BLUEPRINTS,
    *api_service_tokens.BLUEPRINTS,
)


@resets.post("")
@public
@resets.arguments(AskResetSchema)
@resets.response(204)
def ask_reset(body: dict[str, Any]) -> None:
    """Have a link to a new password mailed. Says the same whether or not there is such an account."""
    with transaction():
        attempts.count_reset(request.remote_addr)
    with transaction():
        password_reset.ask(body["email"])


@resets.post("/use")
@public
@resets.arguments(UseResetSchema)
@resets.response(204)
def use_reset(body: dict[str, Any]) -> None:
    """Set the new password with the key from the link: it works once. All sign-ins end."""
    with transaction():
        attempts.count_reset(request.remote_addr)
    with transaction():
        password_reset.use(body["key"], body["password"])


@mine.get("")
@signed_in
@scope("accounts:read")
@mine.response(200, MeSchema)
def show_me() -> dict[str, Any]:
    """Show who I am."""
    actor = current_actor()
    person_id = require_person(actor)
    person, memberships = queries.person(person_id), queries.memberships(person_id)
    return schemas.me(person, memberships, actor.platform_roles, actor.scopes)


@mine.get("/tokens")
@signed_in
@scope("accounts:read")
@mine.response(200, TokenSchema(many=True))
def list_tokens() -> list[PersonalToken]:
    """List my tokens that were not revoked."""
    return queries.tokens(require_person(current_actor()))


@mine.post("/tokens")
@signed_in
@people_only
@mine.arguments(MakeTokenSchema)
@mine.response(201, MadeTokenSchema)
def make_token(body: dict[str, Any]) -> dict[str, Any]:
    """Make a token. Only in a browser that is signed in: a token makes no tokens."""
    with transaction():
        row, secret = tokens.make(current_actor(), **body)
    return {name: getattr(row, name) for name in TokenSchema().fields} | {"token": secret}


@mine.delete("/tokens/<uuid:token_id>")
@signed_in
@people_only
@mine.response(204)
def revoke_token(token_id: UUID) -> None:
    """Revoke a token."""
    with transaction():
        tokens.revoke(current_actor(), token_id)


@mine.get("/sign-ins")
@signed_in
@scope("accounts:read")
@mine.response(200, SignInSchema(many=True))
def list_sign_ins() -> list[SignIn]:
    """List the browsers I am signed in with."""
    return queries.live_sign_ins(require_person(current_actor()))


@mine.delete("/sign-ins/<uuid:sign_in_id>")
@signed_in
@people_only
@mine.response(204)
def end_sign_in(sign_in_id: UUID) -> None:
    """End a sign-in, here and at the hubs it opened."""
    with transaction():
        signing_in.end(current_actor(), sign_in_id)


@mine.get("/mail")
@signed_in
@scope("accounts:read")
@mine.response(200, MailChoiceSchema)
def show_mail_choice() -> Person:
    """Show which notices come to me by mail."""
    return queries.person(require_person(current_actor()))


@mine.put("/mail")
@signed_in
@people_only
@mine.arguments(MailChoiceSchema)
@mine.response(200, MailChoiceSchema)
def choose_mail(body: dict[str, Any]) -> Person:
    """Choose which notices come by mail too."""
    with transaction():
        mail.choose(current_actor(), body["wants_mail"], body["unwanted_mail"])
    return queries.person(require_person(current_actor()))


@mine.get("/notices")
@signed_in
@scope("accounts:read")
@mine.arguments(NoticeFilterSchema, location="query")
@mine.response(200, NoticeSchema(many=True))
@mine.paginate(Rows)
def list_notices(query: dict[str, Any]) -> Select[Notice]:
    """List my notices, the latest first."""
    return queries.notices(require_person(current_actor()), unread_only=query["unread"])


@mine.post("/notices/read")
@signed_in
@scope("accounts:write")
@mine.response(204)
def read_all_notices() -> None:
    """Mark all my notices as read."""
    with transaction():
        notices.mark_all_read(current_actor())


@mine.post("/notices/<uuid:notice_id>/read")
@signed_in
@scope("accounts:write")
@mine.response(200, NoticeSchema)
def read_notice(notice_id: UUID) -> Notice:
    """Mark a notice as read."""
    with transaction():
        return notices.mark_read(current_actor(), notice_id)


@mine.get("/trail")
@signed_in
@scope("accounts:read")
@mine.arguments(TrailSearchSchema, location="query")
@mine.response(200, TrailSchema(many=True))
@mine.paginate(Rows)
def list_my_trail(query: dict[str, Any]) -> Select[AuditEntry]:
    """List what I did and what was done to my account, the latest first."""
    return trail.of_person(require_person(current_actor()), Search(**query))


@trails.get("")
@signed_in
@scope("accounts:read")
@trails.arguments(TrailSearchSchema, location="query")
@trails.response(200, TrailSchema(many=True))
@trails.paginate(Rows)
def list_trail(query: dict[str, Any]) -> Select[AuditEntry]:
    """List all that was changed. For the platform's administrators."""
    if not policy.may_see_trail(current_actor()):
        raise NotFound
    return trail.everything(Search(**query))


@partners.get("/<slug>/trail")
@signed_in
@scope("accounts:read")
@partners.arguments(TrailSearchSchema, location="query")
@partners.response(200, TrailSchema(many=True))
@partners.paginate(Rows)
def list_partner_trail(query: dict[str, Any], slug: str) -> Select[AuditEntry]:
    """List what was changed at a partner. For its administrators."""
    partner = queries.partner(slug)
    if not policy.may_see_people(current_actor(), partner.id):
        raise NotFound
    return trail.of_partner(partner.id, Search(**query))


@partners.get("")
@signed_in
@scope("accounts:read")
@partners.response(200, PartnerSchema(many=True))
@partners.paginate(Rows)
def list_partners() -> Select[Partner]:
    """List the partners."""
    return queries.partners()


@partners.get("/<slug>")
@signed_in
@scope("accounts:read")
@partners.response(200, PartnerSchema)
def show_partner(slug: str) -> Partner:
    """Show a partner."""
    return queries.partner(slug)


@partners.get("/<slug>/members")
@signed_in
@scope("accounts:read")
@partners.response(200, MemberSchema(many=True))
@partners.paginate(Rows)
def list_members(slug: str) -> Select[Membership]:
    """List a partner's people, one row for each role. For the partner's administrators."""
    partner = queries.partner(slug)
    if not policy.may_see_people(current_actor(), partner.id):
        raise NotFound
    return queries.members(partner.id)
