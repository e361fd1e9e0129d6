"""Everybody's accounts, for the platform's administrators: find one, close it, reopen it, merge two, undo that."""

from collections.abc import Callable
from uuid import UUID

from flask import flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from accounts import queries
from accounts.errors import AlreadyMerged, CannotMerge
from accounts.pages import administration
from accounts.services import erasing, merging, people
from app import clock
from app.access import current_actor, signed_in
from app.db import db, transaction
from app.errors import DomainError, Invalid, NotFound
from app.paging import page_of
from app.problems import status_of

blp = administration.blp  # these pages are a part of /administration


@blp.get("/people")
@signed_in
def find_people() -> str:
    """Everybody with an account; search by name or e-mail."""
    search = request.args.get("search", "").strip()[:100]
    pager = page_of(queries.people(search), size=50)
    return render_template("accounts/administration_people.html", pager=pager, search=search)


@blp.get("/people/<uuid:person_id>")
@signed_in
def show_person(person_id: UUID) -> ResponseReturnValue:
    """One account, and what can be done with it."""
    return _person_page(person_id)


@blp.post("/people/<uuid:person_id>/close")
@signed_in
def close_person(person_id: UUID) -> ResponseReturnValue:
    """Let nobody in with this account any more; nothing is deleted."""
    reason = request.form.get("reason", "")
    return _change(person_id, lambda: people.close(current_actor(), person_id, reason), _("The account is closed."))


@blp.post("/people/<uuid:person_id>/reopen")
@signed_in
def reopen_person(person_id: UUID) -> ResponseReturnValue:
    """Let its person in again."""
    reason = request.form.get("reason", "")
    return _change(
        person_id, lambda: people.reopen(current_actor(), person_id, reason), _("The account is open again.")
    )


@blp.post("/people/<uuid:person_id>/erase")
@signed_in
def erase_person(person_id: UUID) -> ResponseReturnValue:
    """Forget a person for good; the e-mail address is typed to confirm."""
    wanted = {name: request.form.get(name, "") for name in ("confirmation", "reason")}
    done = _("The account is erased, or will be as soon as its labs have stopped.")
    return _change(person_id, lambda: erasing.order(current_actor(), person_id, **wanted), done)


@blp.get("/merge")
@signed_in
def preview_merge() -> ResponseReturnValue:
    """What would become of two accounts that are one person."""
    return _merge_page()


@blp.post("/merge")
@signed_in
def merge() -> ResponseReturnValue:
    """Make one of two."""
    try:
        kept_id, merged_id = (UUID(request.form.get(name, "")) for name in ("kept", "merged"))
    except ValueError as error:
        raise Invalid(_("Name two different accounts.")) from error
    try:
        with transaction():
            merging.merge(current_actor(), kept_id=kept_id, merged_id=merged_id, reason=request.form.get("reason", ""))
    except (Invalid, CannotMerge, AlreadyMerged) as refusal:
        return _merge_page(refusal)
    flash(_("The two accounts are one now."), "success")
    return redirect(url_for(".show_person", person_id=kept_id), 303)


@blp.get("/merges")
@signed_in
def show_merges() -> str:
    """Which accounts became one, and which of that can be undone."""
    pager = page_of(queries.merges(), size=50)
    names = queries.names({i for row in pager.items for i in (row.kept_id, row.merged_id)})
    return render_template("accounts/administration_merges.html", pager=pager, names=names, now=clock.now())


@blp.post("/merges/<uuid:merge_id>/undo")
@signed_in
def undo_merge(merge_id: UUID) -> ResponseReturnValue:
    """Make two of one again."""
    with transaction():
        merging.undo(current_actor(), merge_id, request.form.get("reason", ""))
    flash(_("The merge is undone."), "success")
    return redirect(url_for(".show_merges"), 303)


def _change(person_id: UUID, act: Callable[[], object], done: str) -> ResponseReturnValue:
    try:
        with transaction():
            act()
    except Invalid as refusal:
        return _person_page(person_id, refusal)
    flash(done, "success")
    return redirect(url_for(".show_person", person_id=person_id), 303)


def _person_page(person_id: UUID, refusal: DomainError | None = None) -> ResponseReturnValue:
    person, into = queries.person(person_id), queries.merged_into(person_id)
    page = render_template(
        "accounts/administration_person.html",
        person=person,
        memberships=queries.memberships(person_id),
        into=queries.person(into) if into else None,
        is_erased=queries.was_erased(person_id),
        erasure=queries.erasure(person_id),
        refusal=refusal,
        form=request.form,
    )
    return make_response(page, status_of(type(refusal)) if refusal else 200)


def _merge_page(refusal: DomainError | None = None) -> ResponseReturnValue:
    """The accounts are named by e-mail or by id; nothing is looked at until both are known."""
    asked = [request.values.get(name, "").strip()[:254] for name in ("kept", "merged")]
    found = [_named(text) if text else None for text in asked]
    preview = None
    db.session.rollback()
    if found[0] is not None and found[1] is not None:
        try:
            preview = merging.preview(current_actor(), kept_id=found[0], merged_id=found[1])
        except (Invalid, AlreadyMerged) as no:
            refusal = refusal or no
    elif all(asked):
        refusal = refusal or NotFound(_("There is no account with that address."))
    page = render_template(
        "accounts/administration_merge.html", asked=asked, preview=preview, refusal=refusal, form=request.form
    )
    return make_response(page, status_of(type(refusal)) if refusal and request.method == "POST" else 200)


def _named(text: str) -> UUID | None:
    try:
        return queries.person(UUID(text)).id
    except (ValueError, NotFound):
        person = queries.person_by_email(text)
        return person.id if person else None
