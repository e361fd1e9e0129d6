"""Which account of a cluster a person's labs run as. The hub gives them out; we only remember."""

from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert

from app.db import db
from labs.models import SlurmUser


def note(center_id: UUID, person_id: UUID, name: str) -> None:
    """A hub that lost its list gives an account to somebody else: then it is nobody's of before."""
    others = delete(SlurmUser).where(
        SlurmUser.center_id == center_id, SlurmUser.name == name, SlurmUser.person_id != person_id
    )
    db.session.execute(others)
    row = insert(SlurmUser).values(center_id=center_id, person_id=person_id, name=name)
    db.session.execute(
        row.on_conflict_do_update(
            index_elements=["center_id", "person_id"], set_={"name": name}, where=SlurmUser.name != name
        )
    )
