"""Regions of data: a country, or a part of it, as ISO 3166 writes them: CN, CN-SC."""

import re

from flask_babel import lazy_gettext as _

from app.errors import Invalid

REGION = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")


class BadRegion(Invalid):
    code = "bad-region"
    title = _("That is not a region")
    advice = _("Write a country, or a part of it, as ISO 3166 does: CN, CN-SC. Leave it empty for anywhere.")


def checked(region: str | None) -> str | None:
    """The region as it is kept; None for an empty one. Raises `BadRegion`."""
    region = (region or "").strip().upper()
    if region and not REGION.fullmatch(region):
        raise BadRegion(region=region[:20])
    return region or None
