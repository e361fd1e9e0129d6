"""The operator's page of rates, and everybody's page of a session's account."""

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from werkzeug.exceptions import BadRequest

from app import clock, locale
from app.access import current_actor, require, signed_in
from app.db import transaction
from app.locale import MICRO
from labs import policy, queries
from labs.ledger.explaining import explain
from labs.pages.blueprint import blp
from labs.services import rates
from labs.tariff import minutes

BANDS = 3  # rows of the form


@blp.app_template_filter("band_name")
def band_name(band: dict[str, Any]) -> str:
    """What a band is called, in the reader's language; the other one where it is empty."""
    first, second = ("name_en", "name_zh") if locale.language() == "en" else ("name_zh", "name_en")
    return str(band.get(first) or band.get(second) or "")


@blp.get("/labs/<uuid:session_id>/ledger")
@signed_in
def ledger(session_id: UUID) -> str:
    """What a session cost and why, to the micro-credit."""
    session = queries.session(current_actor(), session_id)
    return render_template("labs/ledger.html", account=explain(session), session=session)


@blp.get("/operations/rates")
@signed_in
def all_rates() -> str:
    """Every flavor with what it costs, cost and will cost."""
    require(policy.may_operate(current_actor()))
    centers = queries.centers()
    return render_template(
        "labs/rates.html",
        centers=centers,
        rates={
            flavor.id: queries.rows(queries.rates_of(flavor.id).limit(20))
            for center in centers
            for flavor in center.flavors
        },
        now=clock.now(),
        day_names=_day_names(),
        band_rows=range(1, BANDS + 1),
    )


@blp.post("/operations/flavors/<uuid:flavor_id>/rates")
@signed_in
def set_rate(flavor_id: UUID) -> ResponseReturnValue:
    """Let a flavor cost something else, now or later."""
    actor = current_actor()
    require(policy.may_operate(actor))
    zone = locale.zone(queries.flavor(flavor_id).center.time_zone)
    try:
        price = _micro(request.form["price"])
        bands = [band for number in range(1, BANDS + 1) if (band := _band(number))]
        begins = request.form.get("valid_from")
        valid_from = datetime.fromisoformat(begins).replace(tzinfo=zone) if begins else None
    except (KeyError, ValueError, InvalidOperation):
        raise BadRequest from None
    with transaction():
        rates.set_rate(actor, flavor_id, valid_from, price, bands)
    return redirect(url_for(".all_rates") + f"#flavor-{flavor_id}", 303)


def _band(number: int) -> dict[str, Any] | None:
    """One row of the form; None for an empty one."""
    form = request.form
    begins, until = form.get(f"from-{number}", ""), form.get(f"until-{number}", "")
    if not (begins and until):
        return None
    name = form.get(f"name-{number}", "").strip()[:40]
    return {
        "days": sorted({int(day) for day in form.getlist(f"days-{number}")}),
        "from": f"{minutes(begins) // 60:02}:{minutes(begins) % 60:02}",
        "until": "24:00" if until == "00:00" else until,
        "price_micro": _micro(form[f"price-{number}"]),
        "name_zh": name,
        "name_en": name,
    }


def _micro(text: str) -> int:
    amount = Decimal(text) * MICRO
    if not 0 <= amount <= 10**15:
        raise ValueError(text)
    return int(amount)


def _day_names() -> list[tuple[int, str]]:
    names = (_("Mon"), _("Tue"), _("Wed"), _("Thu"), _("Fri"), _("Sat"), _("Sun"))
    return list(enumerate(names, start=1))
