"""Reads on the terms of use of centers."""

from uuid import UUID

from sqlalchemy import Select, select

from app.db import db
from labs.models import CenterTerms, TermsAcceptance


def versions_of_terms(center_id: UUID) -> Select[CenterTerms]:
    """Every version, the one in force first."""
    return select(CenterTerms).where(CenterTerms.center_id == center_id).order_by(CenterTerms.number.desc())


def latest_terms(center_id: UUID) -> CenterTerms | None:
    return db.session.scalar(versions_of_terms(center_id).limit(1))


def accepted(terms: CenterTerms, person_id: UUID) -> TermsAcceptance | None:
    return db.session.get(TermsAcceptance, (terms.id, person_id))


def open_terms(center_id: UUID, person_id: UUID) -> CenterTerms | None:
    """The terms in force, where this person has not accepted them."""
    terms = latest_terms(center_id)
    return None if terms is None or accepted(terms, person_id) is not None else terms
