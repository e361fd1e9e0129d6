"""Invitations: roles that wait for somebody with a code.

Revision: 660975b8fc9c, after eb0dcc6abd25
"""

import sqlalchemy as sa
from alembic import op

revision = '660975b8fc9c'
down_revision = 'eb0dcc6abd25'

def upgrade() -> None:
    op.create_table('invitation',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('partner_id', sa.Uuid(), nullable=False),
    sa.Column('role', sa.Enum('student', 'assistant', 'teacher', 'administrator', name='memberrole', native_enum=False, length=32), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('email', sa.Text(), nullable=True),
    sa.Column('number', sa.Text(), nullable=True),
    sa.Column('sha256', sa.Text(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('person_id', sa.Uuid(), nullable=True),
    sa.ForeignKeyConstraint(['partner_id'], ['partner.id'], name=op.f('fk_invitation_partner_id_partner')),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_invitation_person_id_person')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_invitation')),
    sa.UniqueConstraint('sha256', name=op.f('uq_invitation_sha256'))
    )
    op.create_index(op.f('ix_invitation_partner_id'), 'invitation', ['partner_id'], unique=False)
    op.create_index(op.f('ix_invitation_person_id'), 'invitation', ['person_id'], unique=False)

def downgrade() -> None:
    op.drop_index(op.f('ix_invitation_person_id'), table_name='invitation')
    op.drop_index(op.f('ix_invitation_partner_id'), table_name='invitation')
    op.drop_table('invitation')
