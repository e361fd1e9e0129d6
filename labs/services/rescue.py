"""One's files, whatever happens: a free, small lab at a center for whoever ever had one there.

Neither budget nor enrollment nor cap stands in its way, for it costs nothing; only a center that cannot start anything
does. Everything else about it is a session like any other.
"""

from uuid import UUID

from sqlalchemy import select

from app.access import Actor, require, require_person
from app.db import db
from labs import policy, queries
from labs.errors import NoRescue, NothingToRescue
from labs.models import Center, Flavor, LabSession, LabTemplate, template_flavor
from labs.services import admission, centers, sessions

MINUTES = 60
TITLES = {"title_zh": "打开我的文件", "title_en": "Open my files"}


def offer(actor: Actor, center: Center, *, cores: float, memory_mb: int) -> Flavor:
    """Let people get at their files at this center: a flavor at price zero, for an hour at a time."""
    require(policy.may_operate(actor))
    return centers.add_flavor(
        actor,
        center,
        slug="rescue",
        **TITLES,
        cores=cores,
        memory_mb=memory_mb,
        price_micro=0,
        longest_minutes=MINUTES,
        is_rescue=True,
    )


def open_files(actor: Actor, center_slug: str) -> LabSession:
    """Start the person's rescue lab at the center, or return the one that is there."""
    person_id = require_person(actor)
    admission.lock_until_commit("person", person_id)
    center = queries.center(center_slug)
    last = queries.last_session_at(person_id, center.id)
    if last is None:
        raise NothingToRescue(center=center.slug)
    flavor = queries.rescue_flavor(center.id)
    if flavor is None:
        raise NoRescue(center=center.slug)
    template_id = _template(center, flavor)
    running = queries.live_session(person_id, template_id)
    if running is not None:
        return running
    return sessions.request(
        actor,
        template_id=template_id,
        flavor_id=flavor.id,
        minutes=min(MINUTES, flavor.longest_minutes),
        budget_id=last.budget_id,
    )


def _template(center: Center, flavor: Flavor) -> UUID:
    """What rescue labs of a center start from: no files of any lesson. Made when it is first needed."""
    admission.lock_until_commit("rescue", center.id)
    known = db.session.scalar(
        select(LabTemplate.id)
        .join(template_flavor, template_flavor.c.template_id == LabTemplate.id)
        .where(template_flavor.c.flavor_id == flavor.id)
        .order_by(LabTemplate.id)
        .limit(1)
    )
    if known is not None:
        return known
    template = LabTemplate(
        partner_id=center.partner_id,
        **TITLES,
        folder="",
        default_minutes=MINUTES,
        longest_minutes=MINUTES,
        flavors=[flavor],
        files=[],
    )
    db.session.add(template)
    db.session.flush()
    return template.id
