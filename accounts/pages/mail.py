"""The mails that went out, or would have: for the platform's administrators."""

from flask import Blueprint, current_app, render_template

from accounts import policy
from accounts.services import mail
from app.access import current_actor, signed_in
from app.errors import NotFound
from app.paging import page_of

blp = Blueprint("mail", __name__, template_folder="../templates")


@blp.get("/operations/mail")
@signed_in
def index() -> str:
    """The latest mails, and what became of them."""
    actor = current_actor()
    if not policy.may_see_trail(actor):
        raise NotFound
    has_server = bool(current_app.extensions["settings"].smtp_url)
    return render_template("accounts/mail.html", pager=page_of(mail.all_mails(actor)), has_server=has_server)
