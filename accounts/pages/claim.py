"""Take the role that a partner keeps for me: with the code from an invitation."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from accounts.errors import EmailTaken, InvitationUnknown, TooManyAttempts
from accounts.models import Invitation
from accounts.pages.sign_in import open_session
from accounts.services import attempts, invitations
from app.access import current_actor, public, signed_in
from app.db import transaction
from app.errors import DomainError, Invalid
from app.locale import language, pick
from app.problems import status_of

blp = Blueprint("claim", __name__, url_prefix="/claim", template_folder="../templates")


@blp.get("")
@public
def show() -> str:
    """Ask for the code; the link in an invitation fills it in."""
    return render_template("accounts/claim.html", code=request.args.get("code", "")[:40], refusal=None)


@blp.post("")
@public
def look_up() -> ResponseReturnValue:
    """Show what the code opens, before anything is taken."""
    code = request.form.get("code", "")
    try:
        invitation = _counted(code)
    except (InvitationUnknown, TooManyAttempts) as refusal:
        return _refused(code, refusal)
    return _review(code, invitation)


@blp.post("/accept")
@signed_in
def accept() -> ResponseReturnValue:
    """Take the role with the account that is signed in."""
    code = request.form.get("code", "")
    try:
        invitation = _counted(code)
        with transaction():
            invitations.accept(current_actor(), code)
    except (InvitationUnknown, TooManyAttempts) as refusal:
        return _refused(code, refusal)
    flash(_("You belong to %(partner)s now.", partner=pick(invitation.partner)), "success")
    return redirect(url_for("profile.show"), 303)


@blp.post("/new")
@public
def accept_as_new() -> ResponseReturnValue:
    """Make an account, take the role with it, and sign in."""
    code = request.form.get("code", "")
    wanted = {name: request.form.get(name, "") for name in ("name", "email", "password")}
    try:
        invitation = _counted(code)
    except (InvitationUnknown, TooManyAttempts) as refusal:
        return _refused(code, refusal)
    try:
        with transaction():
            person = invitations.accept_as_new(code, **wanted, language=language())
    except InvitationUnknown as refusal:
        return _refused(code, refusal)
    except (Invalid, EmailTaken) as refusal:
        return _review(code, invitation, refusal)
    open_session(person)
    flash(_("Welcome. You belong to %(partner)s now.", partner=pick(invitation.partner)), "success")
    return redirect(url_for("site.home"), 303)


def _counted(code: str) -> Invitation:
    """Look the code up; wrong ones count against the address they come from."""
    with transaction():
        attempts.count_invitation(request.remote_addr)
    invitation = invitations.look_up(code)
    with transaction():
        attempts.forgive_invitation(request.remote_addr)
    return invitation


def _review(code: str, invitation: Invitation, refusal: DomainError | None = None) -> ResponseReturnValue:
    page = render_template(
        "accounts/claim_review.html", code=code, invitation=invitation, refusal=refusal, form=request.form
    )
    return make_response(page, status_of(type(refusal)) if refusal else 200)


def _refused(code: str, refusal: DomainError) -> ResponseReturnValue:
    page = render_template("accounts/claim.html", code=code[:40], refusal=refusal)
    headers = {"Retry-After": str(refusal.retry_after)} if isinstance(refusal, TooManyAttempts) else {}
    return make_response(page, status_of(type(refusal)), headers)
