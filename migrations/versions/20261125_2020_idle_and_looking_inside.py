"""How long a lab may be idle; what the hub was told of those who look inside.

Revision: 4be1c07f52d9, after de299902cfa0
"""

import sqlalchemy as sa
from alembic import op

revision = '4be1c07f52d9'
down_revision = 'de299902cfa0'

TO_SHARE = (
    "(state = 'granted' AND shared_at IS NULL) OR "
    "(state = 'ended' AND share_ordered_at IS NOT NULL AND unshared_at IS NULL)"
)


def upgrade() -> None:
    op.add_column('center', sa.Column('idle_minutes', sa.Integer(), server_default='30', nullable=False))
    op.create_check_constraint(op.f('ck_center_idle_minutes'), 'center', 'idle_minutes > 0')
    op.add_column('lab_template', sa.Column('idle_minutes', sa.Integer(), nullable=True))
    op.create_check_constraint(op.f('ck_lab_template_idle_minutes'), 'lab_template', 'idle_minutes > 0')
    for name in ('share_ordered_at', 'shared_at', 'unshared_at'):
        op.add_column('session_view', sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        'ix_session_view_to_share', 'session_view', ['session_id'], unique=False, postgresql_where=sa.text(TO_SHARE)
    )


def downgrade() -> None:
    op.drop_index('ix_session_view_to_share', table_name='session_view')
    for name in ('unshared_at', 'shared_at', 'share_ordered_at'):
        op.drop_column('session_view', name)
    op.drop_constraint(op.f('ck_lab_template_idle_minutes'), 'lab_template', type_='check')
    op.drop_column('lab_template', 'idle_minutes')
    op.drop_constraint(op.f('ck_center_idle_minutes'), 'center', type_='check')
    op.drop_column('center', 'idle_minutes')
