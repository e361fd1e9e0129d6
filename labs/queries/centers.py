"""Reads on centers, flavors and lab templates."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import joinedload

from app.db import db
from app.errors import NotFound
from labs.errors import UnknownCenter
from labs.models import (
    Center,
    Flavor,
    LabFile,
    LabTemplate,
    Rate,
    template_flavor,
)


def center(slug: str, *, lock: bool = False) -> Center:
    statement = select(Center).where(Center.slug == slug)
    found = db.session.scalar(statement.with_for_update() if lock else statement)
    if found is None:
        raise UnknownCenter(center=slug)
    return found


def centers() -> list[Center]:
    return list(db.session.scalars(select(Center).options(joinedload(Center.flavors)).order_by(Center.slug)).unique())


def flavor(flavor_id: UUID) -> Flavor:
    found = db.session.get(Flavor, flavor_id)
    if found is None:
        raise NotFound
    return found


def rates_of(flavor_id: UUID) -> Select[Rate]:
    """What a flavor costs, cost and will cost; the last to begin first."""
    return select(Rate).where(Rate.flavor_id == flavor_id).order_by(Rate.valid_from.desc())


def flavors_of(template_id: UUID) -> list[Flavor]:
    """What a template may run with, the cheapest first."""
    return list(
        db.session.scalars(
            select(Flavor)
            .join(template_flavor, template_flavor.c.flavor_id == Flavor.id)
            .where(template_flavor.c.template_id == template_id, Flavor.is_active)
            .order_by(Flavor.price_micro, Flavor.slug)
        )
    )


def lies_in(region: str | None, wanted: str | None) -> bool:
    """Whether a center's region is, or is part of, the one that is wanted: CN-SC lies in CN. Not said is nowhere."""
    return not wanted or (region is not None and (region == wanted or region.startswith(f"{wanted}-")))


def template(template_id: UUID) -> LabTemplate:
    found = db.session.get(LabTemplate, template_id)
    if found is None:
        raise NotFound
    return found


def first_file(template_id: UUID) -> LabFile | None:
    """What JupyterLab opens: the first notebook by name."""
    return db.session.scalar(
        select(LabFile)
        .where(LabFile.template_id == template_id, LabFile.path.endswith(".ipynb"))
        .order_by(LabFile.path)
        .limit(1)
    )


def rows(statement: Select[Any]) -> list[Any]:
    return list(db.session.scalars(statement).unique())
