"""News for those who run the compute."""

from accounts import queries as accounts_queries
from accounts.services import notices
from app import clock
from app.access import PlatformRole


def tell(kind: str, event: str, url: str, **facts: object) -> None:
    """Tell every operator and administrator, once for each event."""
    now = clock.now()
    told = {
        person.id
        for grant, person in accounts_queries.platform_roles()
        if grant.role in (PlatformRole.OPERATOR, PlatformRole.ADMINISTRATOR) and grant.from_at <= now
    }
    for person_id in sorted(told):
        notices.notify(person_id, kind, event, url=url, **facts)
