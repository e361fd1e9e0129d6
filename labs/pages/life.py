"""What people press while a lab runs: more time, keep running, let somebody look inside; and one's files."""

from uuid import UUID

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from app.access import current_actor, signed_in
from app.db import transaction
from app.errors import Invalid
from labs.deciding import deciding
from labs.pages import labs
from labs.pages.blueprint import blp
from labs.services import extension, idle, rescue, views


@blp.post("/labs/<uuid:session_id>/extend")
@signed_in
def extend(session_id: UUID) -> ResponseReturnValue:
    """Give a lab more time. The key comes with the form, so a double click is one extension."""
    minutes, key = request.form.get("minutes", type=int), request.form.get("key", "")[:200]
    if minutes is None or not key:
        raise Invalid(errors=[{"pointer": "#/minutes", "detail": _("Say for how many minutes.")}])
    actor = current_actor()
    with deciding(actor, "extend", session_id=session_id, minutes=minutes, key=key) as question:
        question.answer(extension.extend(actor, session_id, minutes, key))
    return labs.answered(session_id)


@blp.post("/labs/<uuid:session_id>/keep-alive")
@signed_in
def keep_alive(session_id: UUID) -> ResponseReturnValue:
    """Do not take my lab for idle."""
    minutes = request.form.get("minutes", idle.LONGEST_KEEP_ALIVE, type=int)
    actor = current_actor()
    with deciding(actor, "keep-alive", session_id=session_id, minutes=minutes) as question:
        question.answer(idle.keep_running(actor, session_id, minutes))
    return labs.answered(session_id)


@blp.post("/labs/<uuid:session_id>/looks")
@signed_in
def ask_to_look(session_id: UUID) -> ResponseReturnValue:
    """Ask the lab's person to be let in."""
    with transaction():
        views.ask(current_actor(), session_id, request.form.get("reason", ""))
    return redirect(url_for(".show", session_id=session_id), 303)


@blp.post("/labs/looks/<uuid:look_id>/answer")
@signed_in
def answer_look(look_id: UUID) -> ResponseReturnValue:
    """Yes, or no."""
    with transaction():
        view = views.answer(current_actor(), look_id, yes=request.form.get("answer") == "yes")
        session_id = view.session_id
    return labs.answered(session_id)


@blp.post("/labs/looks/<uuid:look_id>/end")
@signed_in
def end_look(look_id: UUID) -> ResponseReturnValue:
    """Take it back, or be done with it."""
    with transaction():
        session_id = views.end(current_actor(), look_id).session_id
    return labs.answered(session_id)


@blp.post("/labs/<uuid:session_id>/look")
@signed_in
def look(session_id: UUID) -> ResponseReturnValue:
    """Go inside somebody's lab, who said yes. What can be changed there is nothing."""
    with transaction():
        session = views.enter(current_actor(), session_id)
        url = labs.lab_url(session)
    return redirect(url, 303)


@blp.post("/labs/files")
@signed_in
def open_files() -> ResponseReturnValue:
    """My files at a center, whatever my budgets say."""
    actor = current_actor()
    with deciding(actor, "rescue") as question:
        session_id = question.answer(rescue.open_files(actor, request.form.get("center", ""))).id
    return redirect(url_for(".show", session_id=session_id, enter=1), 303)
