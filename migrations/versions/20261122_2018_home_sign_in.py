"""Identity providers of partners, and the identities of people there.

Revision: 6d78e8c3518f, after 660975b8fc9c
"""

import sqlalchemy as sa
from alembic import op

revision = '6d78e8c3518f'
down_revision = '660975b8fc9c'

def upgrade() -> None:
    op.create_table('identity',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.Column('issuer', sa.Text(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_identity_person_id_person')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity')),
    sa.UniqueConstraint('issuer', 'subject', name=op.f('uq_identity_issuer_subject'))
    )
    op.create_index(op.f('ix_identity_person_id'), 'identity', ['person_id'], unique=False)
    op.create_table('identity_provider',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('partner_id', sa.Uuid(), nullable=False),
    sa.Column('issuer', sa.Text(), nullable=False),
    sa.Column('client_id', sa.Text(), nullable=False),
    sa.Column('sealed_client_secret', sa.Text(), nullable=False),
    sa.Column('creates_accounts', sa.Boolean(), nullable=False),
    sa.Column('role', sa.Enum('student', 'assistant', 'teacher', 'administrator', name='memberrole', native_enum=False, length=32), nullable=False),
    sa.Column('is_active', sa.Boolean(), nullable=False),
    sa.ForeignKeyConstraint(['partner_id'], ['partner.id'], name=op.f('fk_identity_provider_partner_id_partner')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_provider')),
    sa.UniqueConstraint('issuer', name=op.f('uq_identity_provider_issuer')),
    sa.UniqueConstraint('partner_id', name=op.f('uq_identity_provider_partner_id'))
    )

def downgrade() -> None:
    op.drop_table('identity_provider')
    op.drop_index(op.f('ix_identity_person_id'), table_name='identity')
    op.drop_table('identity')
