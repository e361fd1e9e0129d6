"""What a program put credits aside for; holds of lab sessions have none.

Revision: 5b1d0c9e7a42, after 5c1f7a9e2b64
"""

import sqlalchemy as sa
from alembic import op

revision = '5b1d0c9e7a42'
down_revision = '5c1f7a9e2b64'


def upgrade() -> None:
    op.add_column('hold', sa.Column('purpose', sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column('hold', 'purpose')
