"""Labs in which nothing runs: warn their people, then stop them."""

from app.db import transaction
from labs.services import idle


def stop_idle() -> int:
    """Look at every lab that may be idle."""
    done = 0
    for session_id in idle.to_look_at():
        with transaction():
            done += idle.look(session_id)
    return done
