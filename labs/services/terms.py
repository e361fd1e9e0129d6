"""The terms of use of a center: operators publish them, people accept them, once for each version."""

from collections.abc import Sequence
from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from app import audit, clock
from app.access import Actor, require, require_person
from app.db import db
from app.errors import Conflict, NotFound
from labs import policy, queries
from labs.models import CenterTerms, TermsAcceptance


class TermsAreOld(Conflict):
    code = "terms-are-old"
    title = _("There are newer terms of use")
    advice = _("Read the latest ones and accept those.")


def publish(actor: Actor, slug: str, *, text_zh: str, text_en: str) -> CenterTerms:
    """Put new terms in force. From now on nobody launches at this center who has not accepted them."""
    require(policy.may_operate(actor))
    center = queries.center(slug, lock=True)
    last = db.session.scalar(select(func.max(CenterTerms.number)).where(CenterTerms.center_id == center.id)) or 0
    terms = CenterTerms(center_id=center.id, number=last + 1, text_zh=text_zh.strip(), text_en=text_en.strip())
    db.session.add(terms)
    db.session.flush()
    audit.record(actor, "center.terms", center, number=terms.number)
    return terms


def accept(actor: Actor, slug: str, number: int) -> CenterTerms:
    """Accept the terms of that number, which must be the latest. Twice is once."""
    require_person(actor)
    terms = queries.latest_terms(queries.center(slug).id)
    if terms is None or number > terms.number or number < 1:
        raise NotFound
    if number < terms.number:
        raise TermsAreOld(latest=terms.number)
    return _accept(actor, terms)


def accept_read(actor: Actor, ids: Sequence[str]) -> None:
    """Accept the terms that stood beside the boxes which were ticked; what is none, or not the latest, is left out."""
    require_person(actor)
    for text in ids:
        try:
            terms = db.session.get(CenterTerms, UUID(text))
        except ValueError:
            continue
        if terms is not None and terms is queries.latest_terms(terms.center_id):
            _accept(actor, terms)


def _accept(actor: Actor, terms: CenterTerms) -> CenterTerms:
    row = {"terms_id": terms.id, "person_id": require_person(actor), "accepted_at": clock.now()}
    made = insert(TermsAcceptance).values(row).on_conflict_do_nothing().returning(TermsAcceptance.terms_id)
    if db.session.scalar(made) is not None:
        audit.record(actor, "terms.accept", terms, center=terms.center.slug, number=terms.number)
    return terms
