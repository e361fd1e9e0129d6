"""Remember in which sign-ins a second factor was shown.

Whoever has one was asked for it when signing in, or turned it on in a sign-in that still lives.

Revision: 8c2f41b7a6d9, after 5a1c7e90d3b4
"""

import sqlalchemy as sa
from alembic import op

revision = '8c2f41b7a6d9'
down_revision = '5a1c7e90d3b4'


def upgrade() -> None:
    op.add_column('sign_in', sa.Column('second_factor_at', sa.DateTime(timezone=True), nullable=True))
    op.execute(
        """
        UPDATE sign_in SET second_factor_at = GREATEST(sign_in.created_at, second_factor.confirmed_at)
        FROM second_factor
        WHERE second_factor.person_id = sign_in.person_id AND second_factor.confirmed_at IS NOT NULL
        """
    )


def downgrade() -> None:
    op.drop_column('sign_in', 'second_factor_at')
