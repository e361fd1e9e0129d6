"""The terms of use of a center: read and accept them; operators write them."""

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from app.access import current_actor, signed_in
from app.db import transaction
from app.errors import Invalid
from labs import policy, queries
from labs.pages.blueprint import blp
from labs.services import terms as services


@blp.get("/centers/<slug>/terms")
@signed_in
def terms(slug: str) -> str:
    """The terms in force, and the ones before."""
    actor = current_actor()
    center = queries.center(slug)
    versions = queries.rows(queries.versions_of_terms(center.id))
    acceptance = queries.accepted(versions[0], actor.person_id) if versions and actor.person_id else None
    return render_template(
        "labs/terms.html",
        center=center,
        versions=versions,
        accepted_at=acceptance.accepted_at if acceptance else None,
        may_publish=policy.may_operate(actor),
    )


@blp.post("/centers/<slug>/terms/accept")
@signed_in
def accept_terms(slug: str) -> ResponseReturnValue:
    with transaction():
        services.accept(current_actor(), slug, request.form.get("number", 0, type=int))
    return redirect(url_for(".terms", slug=slug), 303)


@blp.post("/centers/<slug>/terms")
@signed_in
def publish_terms(slug: str) -> ResponseReturnValue:
    """New terms, in both languages."""
    texts = {name: request.form.get(name, "").strip() for name in ("text_zh", "text_en")}
    with transaction():
        if not all(texts.values()) and policy.may_operate(current_actor()):
            empty = [name for name, text in texts.items() if not text]
            raise Invalid(errors=[{"pointer": f"#/{name}", "detail": _("Write the terms.")} for name in empty])
        services.publish(current_actor(), slug, **texts)
    return redirect(url_for(".terms", slug=slug), 303)
