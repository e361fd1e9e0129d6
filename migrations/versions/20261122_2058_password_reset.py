"""Links to new passwords; mails that go to an address instead of bringing a notice.

Revision: 5a1c7e90d3b4, after 3f0b6c1d9a52
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '5a1c7e90d3b4'
down_revision = '3f0b6c1d9a52'


def upgrade() -> None:
    op.create_table('password_reset',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('email', sa.Text(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=True),
    sa.Column('sha256', sa.Text(), nullable=True),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_password_reset_person_id_person')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_password_reset')),
    sa.UniqueConstraint('sha256', name=op.f('uq_password_reset_sha256'))
    )
    op.create_index(op.f('ix_password_reset_person_id'), 'password_reset', ['person_id'], unique=False)
    op.create_index('ix_password_reset_asked', 'password_reset', ['created_at'], unique=False, postgresql_where=sa.text('person_id IS NULL'))
    op.alter_column('mail', 'notice_id', existing_type=sa.Uuid(), nullable=True)
    op.add_column('mail', sa.Column('kind', sa.Text(), nullable=True))
    op.add_column('mail', sa.Column('facts', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False))
    op.add_column('mail', sa.Column('name', sa.Text(), server_default='', nullable=False))
    op.add_column('mail', sa.Column('language', sa.Text(), server_default='', nullable=False))
    op.add_column('mail', sa.Column('time_zone', sa.Text(), server_default='', nullable=False))
    op.add_column('mail', sa.Column('path', sa.Text(), server_default='', nullable=False))
    op.add_column('mail', sa.Column('sealed_key', sa.Text(), nullable=True))
    op.create_check_constraint(op.f('ck_mail_one_origin'), 'mail', '(notice_id IS NULL) = (kind IS NOT NULL)')


def downgrade() -> None:
    op.drop_constraint(op.f('ck_mail_one_origin'), 'mail', type_='check')
    op.execute('DELETE FROM mail WHERE notice_id IS NULL')
    for column in ('sealed_key', 'path', 'time_zone', 'language', 'name', 'facts', 'kind'):
        op.drop_column('mail', column)
    op.alter_column('mail', 'notice_id', existing_type=sa.Uuid(), nullable=False)
    op.drop_table('password_reset')
