"""My data: have all of it, or have it forgotten."""

from flask import (
    Blueprint,
    Response,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    stream_with_context,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from accounts import exporting, queries
from accounts.services import attempts, erasing
from accounts.services import exporting as exports
from app import clock
from app.access import Actor, current_actor, require_person, signed_in
from app.db import transaction
from app.errors import DomainError
from app.problems import status_of

blp = Blueprint("my_data", __name__, url_prefix="/profile/data", template_folder="../templates")


@blp.get("")
@signed_in
def show() -> ResponseReturnValue:
    """What I can do with the data about me."""
    return _page()


@blp.post("/export")
@signed_in
def export() -> Response:
    """Everything that is kept about me, as a ZIP of JSON files."""
    return zip_of(current_actor())


@blp.post("/erase")
@signed_in
def ask_erasure() -> ResponseReturnValue:
    """Have my account erased in two weeks."""
    actor = current_actor()
    try:
        with transaction():
            attempts.count(actor.email, request.remote_addr)
        with transaction():
            erasing.ask(actor, request.form.get("password", ""))
            attempts.forgive(actor.email, request.remote_addr)
    except DomainError as refusal:
        return _page(refusal)
    flash(_("Your account will be erased in two weeks, unless you cancel it."), "success")
    return redirect(url_for(".show"), 303)


@blp.post("/keep")
@signed_in
def cancel_erasure() -> ResponseReturnValue:
    """Keep my account after all."""
    with transaction():
        erasing.cancel(current_actor())
    flash(_("Your account stays."), "success")
    return redirect(url_for(".show"), 303)


def zip_of(actor: Actor) -> Response:
    """Stream the archive: it is counted and written down before, in a transaction of its own."""
    with transaction():
        exports.begin(actor)
    name = f"chancai-{clock.now():%Y-%m-%d}.zip"
    headers = {"Content-Disposition": f"attachment; filename={name}"}
    body = stream_with_context(exporting.archive(require_person(actor)))
    return Response(body, mimetype="application/zip", headers=headers)


def _page(refusal: DomainError | None = None) -> ResponseReturnValue:
    person_id = require_person(current_actor())
    page = render_template(
        "accounts/my_data.html",
        erasure=queries.erasure(person_id),
        has_password=queries.person(person_id).password_hash is not None,
        refusal=refusal,
    )
    return make_response(page, status_of(type(refusal)) if refusal else 200)
