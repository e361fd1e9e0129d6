"""Looks into labs: tell the hubs whom to let in, and whom to keep out again."""

import logging

from app.db import transaction
from labs.adapters import HubError
from labs.jobs.calls import hub_of
from labs.services import views
from labs.services.views import Order

log = logging.getLogger(__name__)


def share_labs() -> int:
    """Bring the hubs to what people said. What does not get through is told again by the next round."""
    with transaction():
        orders = views.orders()
    return sum(_tell(order) for order in orders)


def _tell(order: Order) -> int:
    try:
        hub = hub_of(order.center)
        (hub.share if order.let_in else hub.unshare)(order.user, order.server, order.viewer)
    except HubError as error:
        log.warning("hub did not take a share", extra={"look": order.view_id, "why": str(error)})
        return 0
    with transaction():
        views.told(order)
    return 1
