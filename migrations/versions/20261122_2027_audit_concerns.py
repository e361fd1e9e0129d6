"""Find what was done to a person in the trail.

Revision: 2741e75d2d83, after 6d78e8c3518f
"""

import sqlalchemy as sa
from alembic import op

revision = '2741e75d2d83'
down_revision = '6d78e8c3518f'

def upgrade() -> None:
    op.create_index('ix_audit_entry_concerns', 'audit_entry', [sa.literal_column("(changes ->> 'person_id')")], unique=False, postgresql_where=sa.text("changes ? 'person_id'"))

def downgrade() -> None:
    op.drop_index('ix_audit_entry_concerns', table_name='audit_entry', postgresql_where=sa.text("changes ? 'person_id'"))
