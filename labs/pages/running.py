"""What the page of a lab shows while it runs: more time, keep running, who looks inside."""

from typing import Any

from app.access import Actor
from app.ids import uuid7
from labs import policy, queries
from labs.models import LabSession, SessionState, SessionView, ViewState
from labs.services import extension, idle

OFFERED_MINUTES = (15, 30, 60)


def part(actor: Actor, session: LabSession) -> dict[str, Any]:
    """What the page of a lab shows of this; asked for again with every refresh."""
    manages = queries.manages(actor, session.budget_id)
    is_running = session.state is SessionState.RUNNING
    may_extend = is_running and policy.may_extend_session(actor, session, manages=manages)
    looks = queries.views_of_session(session.id)
    may_ask = is_running and policy.may_ask_to_look(
        actor, session, appointed=queries.is_appointed(actor, session.budget_id)
    )
    return {
        "outlook": extension.outlook(session) if may_extend else None,
        "more_time": [(minutes, extension.price(session, minutes)) for minutes in OFFERED_MINUTES],
        "form_key": uuid7().hex,
        "idle_minutes": int(idle.window(session).total_seconds() // 60),
        "may_keep": is_running and policy.may_keep_running(actor, session),
        "keep_alives_left": idle.KEEP_ALIVES - session.keep_alives,
        "keep_minutes": idle.LONGEST_KEEP_ALIVE,
        "looks": looks,
        "my_look": _open_look(looks, actor),
        "may_ask_to_look": may_ask,
    }


def _open_look(looks: list[SessionView], actor: Actor) -> SessionView | None:
    mine = (view for view in looks if view.viewer_id == actor.person_id)
    return next((view for view in mine if view.state in (ViewState.ASKED, ViewState.GRANTED)), None)
