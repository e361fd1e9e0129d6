"""How many labs wait at each center, beside how many places are taken.

Revision: 5c1f0a7be264, after 5b1d0c9e7a42
"""

import sqlalchemy as sa
from alembic import op

revision = "5c1f0a7be264"
down_revision = "5b1d0c9e7a42"


def upgrade() -> None:
    op.add_column("center_load", sa.Column("waiting", sa.Integer(), server_default="0", nullable=False))
    op.create_check_constraint(op.f("ck_center_load_waiting"), "center_load", "waiting >= 0")


def downgrade() -> None:
    op.drop_constraint(op.f("ck_center_load_waiting"), "center_load", type_="check")
    op.drop_column("center_load", "waiting")
