"""The operator's page of what schedulers' accounting says: differences, how far it was read, bad rows."""

import json
from uuid import UUID

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from app.access import current_actor, require, signed_in
from app.db import transaction
from app.paging import page_of
from labs import policy, queries
from labs.models import AccountingReject
from labs.pages.blueprint import blp
from labs.queries import evidence
from labs.services import accounting


@blp.get("/operations/accounting")
@signed_in
def show_accounting() -> str:
    require(policy.may_operate(current_actor()))
    return render_template(
        "labs/accounting.html",
        differences=evidence.differences(),
        cursors=evidence.cursors(),
        unread=evidence.unread_centers(),
        pager=page_of(evidence.rejects()),
        names={center.slug: center for center in queries.centers()},
        whole=_whole,
    )


@blp.post("/operations/accounting/rejects/<uuid:reject_id>/dismiss")
@signed_in
def dismiss_reject(reject_id: UUID) -> ResponseReturnValue:
    with transaction():
        accounting.dismiss(current_actor(), reject_id)
    return redirect(url_for(".show_accounting"), 303)


@blp.post("/operations/accounting/rejects/<uuid:reject_id>/again")
@signed_in
def retry_reject(reject_id: UUID) -> ResponseReturnValue:
    with transaction():
        accounting.try_again(current_actor(), reject_id)
    flash(_("The next import reads this row once more, within a minute."), "success")
    return redirect(url_for(".show_accounting"), 303)


def _whole(reject: AccountingReject) -> str:
    """The row as it came, for eyes."""
    return json.dumps(reject.raw, ensure_ascii=False, indent=1)
