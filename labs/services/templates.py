"""Lab templates: what a teacher prepares for a lab."""

import hashlib
from collections.abc import Sequence
from pathlib import PurePosixPath
from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import select

from app import audit
from app.access import Actor, MemberRole, require
from app.db import db
from app.errors import Invalid
from labs import queries
from labs.models import Flavor, LabFile, LabTemplate
from labs.services import idle, regions

LARGEST_FILES_BYTES = 8 * 1024 * 1024


class BadLabFile(Invalid):
    code = "bad-lab-file"
    title = _("A file of the lab cannot be taken")


def prepare(
    actor: Actor,
    *,
    partner_id: UUID,
    title_zh: str,
    title_en: str,
    folder: str,
    files: Sequence[tuple[str, bytes]],
    flavor_ids: Sequence[UUID],
    default_minutes: int,
    longest_minutes: int,
) -> LabTemplate:
    """Make a template. `files` are (path, content); they land in `folder` of the home when a session starts."""
    require(actor.administers(partner_id) or actor.has_role(partner_id, MemberRole.TEACHER, MemberRole.ASSISTANT))
    _check(folder, files)
    template = LabTemplate(
        partner_id=partner_id,
        title_zh=title_zh,
        title_en=title_en,
        folder=folder,
        default_minutes=default_minutes,
        longest_minutes=longest_minutes,
        flavors=list(db.session.scalars(select(Flavor).where(Flavor.id.in_(flavor_ids)))),
        files=[
            LabFile(path=path, content=content, sha256=hashlib.sha256(content).hexdigest()) for path, content in files
        ],
    )
    db.session.add(template)
    db.session.flush()
    audit.record(actor, "lab_template.prepare", template, partner_id=partner_id, files=[path for path, _c in files])
    return template


def set_idle_minutes(actor: Actor, template_id: UUID, minutes: int | None) -> LabTemplate:
    """Say after how many minutes without work labs of this template are stopped; None: as their center says.

    Whoever asks has already decided that they may (the course's own teachers).
    """
    if minutes is not None:
        idle.check_minutes(minutes)
    template = queries.template(template_id)
    audit.record(
        actor,
        "lab_template.idle",
        template,
        partner_id=template.partner_id,
        idle_minutes=(template.idle_minutes, minutes),
    )
    template.idle_minutes = minutes
    db.session.flush()
    return template


def set_region(actor: Actor, template_id: UUID, region: str | None) -> LabTemplate:
    """Say in which region the files of labs of this template must lie; None: anywhere. Labs that run go on.

    Whoever asks has already decided that they may (the course's own teachers).
    """
    template, region = queries.template(template_id), regions.checked(region)
    audit.record(
        actor, "lab_template.region", template, partner_id=template.partner_id, region=(template.region, region)
    )
    template.region = region
    db.session.flush()
    return template


def _check(folder: str, files: Sequence[tuple[str, bytes]]) -> None:
    for path in (folder, *(path for path, _content in files)):
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\0" in path or len(path) > 200:
            raise BadLabFile(_("“%(path)s” is not a path inside the lab.", path=path), path=path)
    total = sum(len(content) for _path, content in files)
    if total > LARGEST_FILES_BYTES:
        raise BadLabFile(_("The files are too large together."), bytes=total, limit=LARGEST_FILES_BYTES)
