"""Give people all that is kept about them: asked for by themselves, a few times in a quarter of an hour."""

from accounts import policy, queries
from accounts.errors import TooManyExports
from accounts.services import attempts
from app import audit, clock
from app.access import Actor, require, require_person

MOST = 3


def begin(actor: Actor) -> None:
    """Count the request and write it down; `accounts.exporting.archive` makes the files afterwards."""
    person = queries.person(require_person(actor))
    require(policy.may_export(actor, person.id))
    asked, ends_at = attempts.count_of(f"export {person.id}")
    if asked > MOST:
        raise TooManyExports(retry_after=max(1, int((ends_at - clock.now()).total_seconds())))
    audit.record(actor, "person.export", person)
