"""Where the data of a lab may lie.

Revision: 1f83d7b25ac4, after 7d41c2e9a806
"""

import sqlalchemy as sa
from alembic import op

revision = "1f83d7b25ac4"
down_revision = "7d41c2e9a806"


def upgrade() -> None:
    op.add_column("lab_template", sa.Column("region", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("lab_template", "region")
