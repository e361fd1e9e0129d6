"""What a job carries out of a transaction to tell a hub, and how it reaches that hub."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from flask import current_app
from sqlalchemy import select

from app.db import db, transaction
from labs.adapters import Hub, HubError, HubUnreachable
from labs.models import Center, LabSession, SessionState

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the hub must be told about a session, carried out of the transaction that read it."""

    session_id: UUID
    center_id: UUID
    center: str
    person_id: UUID
    title: str
    state: SessionState
    request_id: str = ""  # of who asked for it, where that is known

    @classmethod
    def of(cls, session: LabSession) -> "Ticket":
        return cls(
            session_id=session.id,
            center_id=session.center_id,
            center=session.center.slug,
            person_id=session.person_id,
            title=session.template.title_en,
            state=session.state,
        )

    @property
    def user(self) -> str:
        return self.person_id.hex

    @property
    def server(self) -> str:
        return f"lab-{self.session_id.hex}"


def hubs() -> list[tuple[UUID, Hub]]:
    with transaction():
        known = db.session.execute(select(Center.id, Center.slug).order_by(Center.slug)).all()
    known_hubs: dict[str, Hub] = current_app.extensions["hubs"]
    return [(center_id, known_hubs[slug]) for center_id, slug in known if slug in known_hubs]


def hub_of(center: str) -> Hub:
    try:
        return current_app.extensions["hubs"][center]  # type: ignore[no-any-return]
    except KeyError:
        raise HubUnreachable("start", f"no hub is configured for the center {center}") from None


def quietly(call: Callable[[str, str], None], ticket: Ticket) -> bool:
    """Tell the hub; when that fails the next pass tells it again."""
    try:
        call(ticket.user, ticket.server)
    except HubError as error:
        log.warning("hub did not take an order", extra={"session": ticket.session_id, "why": str(error)})
        return False
    return True
