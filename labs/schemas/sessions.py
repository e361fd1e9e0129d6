"""The shapes of lab sessions in the API."""

import marshmallow as ma
from marshmallow import fields

from labs import queries
from labs.failures import WORDS
from labs.models import LabSession, SessionState, Sighting
from labs.schemas.amounts import MICRO


class SessionSchema(ma.Schema):
    id = fields.UUID()
    state = fields.Enum(SessionState, by_value=True)
    seen = fields.Enum(Sighting, by_value=True, allow_none=True, metadata={"description": "what the hub showed last"})
    person = fields.Function(lambda row: {"id": str(row.person_id), "name": row.person.name})
    template = fields.Function(
        lambda row: {
            "id": str(row.template_id),
            "title_zh": row.template.title_zh,
            "title_en": row.template.title_en,
        }
    )
    center = fields.String(attribute="center.slug")
    flavor = fields.String(attribute="flavor.slug")
    budget_id = fields.UUID()
    lease_minutes = fields.Integer()
    extended_minutes = fields.Integer(metadata={"description": "of `lease_minutes`, those that were given later"})
    requested_at = fields.AwareDateTime(attribute="created_at")
    place = fields.Function(
        queries.place_in_line, allow_none=True, metadata={"description": "in line at a full center; 1 is next"}
    )
    estimated_start_at = fields.Function(
        lambda row: _iso(queries.outlook(row)),
        allow_none=True,
        metadata={"description": "when a place may become free for it, from the leases in front"},
    )
    offered_until = fields.AwareDateTime(
        allow_none=True, metadata={"description": "until when a place is kept: accept it before"}
    )
    ready_at = fields.AwareDateTime(allow_none=True)
    lease_ends_at = fields.AwareDateTime(allow_none=True)
    idle_stops_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when it is stopped for being idle, unless something runs"}
    )
    keep_alive_until = fields.AwareDateTime(allow_none=True)
    keep_alives = fields.Integer(metadata={"description": "how often it was kept running"})
    ended_at = fields.AwareDateTime(allow_none=True)
    stop_reason = fields.String(allow_none=True)
    failure = fields.String(allow_none=True)
    failure_code = fields.String(
        allow_none=True, metadata={"description": "why the center's scheduler refused it: " + ", ".join(WORDS)}
    )
    price_micro = fields.Function(
        lambda row: row.hold.price_micro if row.hold else row.flavor.price_micro,
        metadata={"description": "micro-credits an hour"},
    )
    held_micro = fields.Function(lambda row: row.hold.amount if row.hold else 0, **MICRO)
    charged_micro = fields.Integer(**MICRO)
    seconds_used = fields.Integer()
    open_url = fields.Method("get_open_url", metadata={"description": "where its person goes inside, while it runs"})

    def get_open_url(self, row: LabSession) -> str | None:
        return f"/labs/{row.id}/open" if row.state is SessionState.RUNNING else None


def _iso(outlook: queries.Outlook | None) -> str | None:
    return None if outlook is None else outlook.likely_at.isoformat()


class SessionQuerySchema(ma.Schema):
    live = fields.Boolean(load_default=False, metadata={"description": "only those that have not ended"})
    center = fields.String(load_default=None, metadata={"description": "slug of a center"})
