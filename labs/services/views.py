"""Looking into somebody's lab: asked for with a reason, granted by its person, read-only, over with the lab.

Here stands what people want. What the hub was told of it (`share_ordered_at`, `shared_at`, `unshared_at`) is written by
the job alone, which tells the hub between two transactions and repeats itself after a crash.
"""

from dataclasses import dataclass
from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import Select, and_, or_, select

from accounts.services import notices
from app import audit, clock, jobs
from app.access import Actor, require, require_person
from app.db import db
from app.errors import Invalid
from labs import policy, queries, signals
from labs.errors import LabIsEnding, LookNotGranted
from labs.models import LabSession, SessionState, SessionView, ViewState

notices.describe(
    "lab-look-asked",
    _("%(name)s asks to look into your lab “%(title)s”"),
    _("“%(reason)s” – Say yes or no on the page of the lab. Nobody looks inside without your yes."),
    label=_("Somebody asks to look into my lab"),
    is_essential=True,
)
notices.describe(
    "lab-look-answered",
    _("%(name)s answered: you can look into the lab “%(title)s”"),
    _("You see what is there and change nothing. It ends with the lab, or when %(name)s takes it back."),
    label=_("Somebody answered whether I can look into their lab"),
)
notices.describe(
    "lab-look-declined",
    _("%(name)s does not want you to look into the lab “%(title)s”"),
    label=_("Somebody does not want me to look into their lab"),
)

OPEN = (ViewState.ASKED, ViewState.GRANTED)
LONGEST_REASON = 500


def ask(actor: Actor, session_id: UUID, reason: str) -> SessionView:
    """Ask a lab's person to be let in. Asking again while it is open changes nothing."""
    session = queries.session(actor, session_id)
    require(policy.may_ask_to_look(actor, session, appointed=queries.is_appointed(actor, session.budget_id)))
    reason = reason.strip()[:LONGEST_REASON]
    if not reason:
        raise Invalid(errors=[{"pointer": "#/reason", "detail": str(_("Say why; the student reads it."))}])
    session = _locked(session_id)
    if session.state is not SessionState.RUNNING:
        raise LabIsEnding(state=session.state)
    known = queries.open_view(session_id, require_person(actor))
    if known is not None:
        return known
    view = SessionView(session_id=session_id, viewer_id=actor.person_id, reason=reason)
    db.session.add(view)
    db.session.flush()
    audit.record(actor, "session.look.ask", view, session=session_id, person_id=session.person_id, reason=reason)
    _tell(session, session.person_id, "lab-look-asked", view, name=actor.name, reason=reason)
    return view


def answer(actor: Actor, view_id: UUID, *, yes: bool) -> SessionView:
    """Say yes or no. Once said, a yes is taken back with `end`; a no stays."""
    view, session = _of_mine(actor, view_id)
    require(policy.may_answer_look(actor, session))
    if view.state is not ViewState.ASKED:
        return view
    view.state = ViewState.GRANTED if yes else ViewState.DECLINED
    view.answered_at = clock.now()
    if not yes:
        view.ended_at = view.answered_at
    audit.record(actor, "session.look.answer", view, session=session.id, yes=yes, viewer=view.viewer_id)
    _tell(session, view.viewer_id, "lab-look-answered" if yes else "lab-look-declined", view, name=actor.name)
    db.session.flush()
    jobs.wake("share_labs")
    return view


def end(actor: Actor, view_id: UUID) -> SessionView:
    """Take a yes back, or a question; or, who looked, be done with it."""
    view, session = _of_mine(actor, view_id)
    require(policy.may_end_look(actor, view, session))
    if view.state in OPEN:
        audit.record(actor, "session.look.end", view, session=session.id, person_id=session.person_id)
        _end(view)
        db.session.flush()
        jobs.wake("share_labs")
    return view


def enter(actor: Actor, session_id: UUID) -> LabSession:
    """Somebody who was let in goes inside: checked, and written down the first time."""
    session = queries.session(actor, session_id)
    person_id = require_person(actor)
    require(policy.may_ask_to_look(actor, session, appointed=queries.is_appointed(actor, session.budget_id)))
    view = queries.open_view(session_id, person_id, lock=True)
    if view is None or view.state is not ViewState.GRANTED or session.state is not SessionState.RUNNING:
        raise LookNotGranted
    if view.shared_at is None:
        raise LookNotGranted(_("The computing center is being told. Try again in a moment."), retry_after=2)
    if view.opened_at is None:
        view.opened_at = clock.now()
        audit.record(actor, "session.look.enter", view, session=session_id, person_id=session.person_id)
    return session


@signals.session_ended.connect
def _over(session: LabSession) -> None:
    """With the lab, everybody's look into it ends."""
    views = db.session.scalars(
        select(SessionView)
        .where(SessionView.session_id == session.id, SessionView.state.in_(OPEN))
        .with_for_update(of=SessionView)
    )
    for view in views:
        _end(view)


# --- what the job does --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """What a hub is to be told: let the viewer into this server, or keep them out again."""

    view_id: UUID
    center: str
    user: str
    server: str
    viewer: str
    let_in: bool


def orders(limit: int = 100) -> list[Order]:
    """What hubs are to be told now. A yes is written down as told before it is, so that it is always taken back."""
    found = []
    for view, session in db.session.execute(_to_share().limit(limit)):
        let_in = view.state is ViewState.GRANTED
        if let_in and view.share_ordered_at is None:
            view.share_ordered_at = clock.now()
        found.append(
            Order(
                view_id=view.id,
                center=session.center.slug,
                user=session.person.hub_name,
                server=session.server_name,
                viewer=view.viewer.hub_name,
                let_in=let_in,
            )
        )
    return found


def told(order: Order) -> None:
    """The hub has confirmed it."""
    view = db.session.get_one(SessionView, order.view_id, with_for_update={"of": SessionView}, populate_existing=True)
    if order.let_in:
        view.shared_at = clock.now()
    else:
        view.unshared_at = clock.now()


def _to_share() -> Select[SessionView, LabSession]:
    let_in = and_(
        SessionView.state == ViewState.GRANTED,
        SessionView.shared_at.is_(None),
        LabSession.state == SessionState.RUNNING,
    )
    keep_out = and_(
        SessionView.state == ViewState.ENDED,
        SessionView.share_ordered_at.is_not(None),
        SessionView.unshared_at.is_(None),
    )
    return (
        select(SessionView, LabSession)
        .join(LabSession, LabSession.id == SessionView.session_id)
        .where(or_(let_in, keep_out))
        .order_by(SessionView.id)
        .with_for_update(of=SessionView, skip_locked=True)
    )


def _of_mine(actor: Actor, view_id: UUID) -> tuple[SessionView, LabSession]:
    """The view with its session, both locked, for those who may see the session."""
    session = _locked(queries.visible_view(actor, view_id).session_id)
    view = db.session.get_one(SessionView, view_id, with_for_update={"of": SessionView}, populate_existing=True)
    return view, session


def _locked(session_id: UUID) -> LabSession:
    return db.session.scalars(
        select(LabSession)
        .where(LabSession.id == session_id)
        .with_for_update(of=LabSession)
        .execution_options(populate_existing=True)
    ).one()


def _end(view: SessionView) -> None:
    view.state, view.ended_at = ViewState.ENDED, clock.now()


def _tell(session: LabSession, person_id: UUID, kind: str, view: SessionView, **facts: object) -> None:
    notices.notify(
        person_id,
        kind,
        f"{view.id}:{kind}",
        url=f"/labs/{session.id}",
        title_zh=session.template.title_zh,
        title_en=session.template.title_en,
        **facts,
    )
