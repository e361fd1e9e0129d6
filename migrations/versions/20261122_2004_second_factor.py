"""Second factors and recovery codes.

Revision: eb0dcc6abd25, after cb4cf199dd13
"""

import sqlalchemy as sa
from alembic import op

revision = 'eb0dcc6abd25'
down_revision = 'cb4cf199dd13'


def upgrade() -> None:
    op.create_table('recovery_code',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.Column('sha256', sa.Text(), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_recovery_code_person_id_person')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_recovery_code')),
    sa.UniqueConstraint('sha256', name=op.f('uq_recovery_code_sha256'))
    )
    op.create_index(op.f('ix_recovery_code_person_id'), 'recovery_code', ['person_id'], unique=False)
    op.create_table('second_factor',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.Column('sealed_secret', sa.Text(), nullable=False),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_step', sa.Integer(), nullable=True),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_second_factor_person_id_person')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_second_factor')),
    sa.UniqueConstraint('person_id', name=op.f('uq_second_factor_person_id'))
    )


def downgrade() -> None:
    op.drop_table('second_factor')
    op.drop_index(op.f('ix_recovery_code_person_id'), table_name='recovery_code')
    op.drop_table('recovery_code')
