"""Kinds of notices that a person does not want by mail.

Revision: 1b94d6e8c0f3, after d27f9b3c5e10
"""

import sqlalchemy as sa
from alembic import op

revision = '1b94d6e8c0f3'
down_revision = 'd27f9b3c5e10'


def upgrade() -> None:
    op.add_column('person', sa.Column('unwanted_mail', sa.ARRAY(sa.String()), server_default='{}', nullable=False))


def downgrade() -> None:
    op.drop_column('person', 'unwanted_mail')
