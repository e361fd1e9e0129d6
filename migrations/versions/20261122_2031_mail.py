"""Notices by mail.

Revision: b59bda5e7709, after 2741e75d2d83
"""

import sqlalchemy as sa
from alembic import op

revision = 'b59bda5e7709'
down_revision = '2741e75d2d83'

def upgrade() -> None:
    op.create_table('mail',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('notice_id', sa.Uuid(), nullable=False),
    sa.Column('state', sa.Enum('waiting', 'sent', 'caught', 'failed', name='mailstate', native_enum=False, length=32), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('next_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('done_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('address', sa.Text(), nullable=True),
    sa.Column('subject', sa.Text(), nullable=True),
    sa.Column('text', sa.Text(), nullable=True),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['notice_id'], ['notice.id'], name=op.f('fk_mail_notice_id_notice')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_mail')),
    sa.UniqueConstraint('notice_id', name=op.f('uq_mail_notice_id'))
    )
    op.create_index('ix_mail_due', 'mail', ['next_at'], unique=False, postgresql_where=sa.text("state = 'waiting'"))
    op.add_column('person', sa.Column('wants_mail', sa.Boolean(), server_default=sa.text('true'), nullable=False))

def downgrade() -> None:
    op.drop_column('person', 'wants_mail')
    op.drop_index('ix_mail_due', table_name='mail', postgresql_where=sa.text("state = 'waiting'"))
    op.drop_table('mail')
