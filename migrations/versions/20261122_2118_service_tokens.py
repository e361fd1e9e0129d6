"""Tokens that belong to a partner or to the platform.

Revision: d7e3905c14fa, after 84c1f7a02d6e
"""

import sqlalchemy as sa
from alembic import op

revision = 'd7e3905c14fa'
down_revision = '84c1f7a02d6e'


def upgrade() -> None:
    op.create_table('service_token',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('partner_id', sa.Uuid(), nullable=True),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('sha256', sa.Text(), nullable=False),
    sa.Column('scopes', sa.ARRAY(sa.String()), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('last_used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['partner_id'], ['partner.id'], name=op.f('fk_service_token_partner_id_partner')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_service_token')),
    sa.UniqueConstraint('sha256', name=op.f('uq_service_token_sha256'))
    )
    op.create_index(op.f('ix_service_token_partner_id'), 'service_token', ['partner_id'], unique=False)


def downgrade() -> None:
    op.drop_table('service_token')
