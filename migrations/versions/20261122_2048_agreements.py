"""Agreements, contacts and logos of partners.

Partners that exist are under an open-ended agreement from the day they were opened: nothing they do stops.

Revision: 3f0b6c1d9a52, after b59bda5e7709
"""

import sqlalchemy as sa
from alembic import op

revision = '3f0b6c1d9a52'
down_revision = 'b59bda5e7709'


def upgrade() -> None:
    op.create_table('agreement',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('partner_id', sa.Uuid(), nullable=False),
    sa.Column('from_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('until_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('reference', sa.Text(), nullable=False),
    sa.CheckConstraint('until_at IS NULL OR until_at > from_at', name=op.f('ck_agreement_period')),
    sa.ForeignKeyConstraint(['partner_id'], ['partner.id'], name=op.f('fk_agreement_partner_id_partner')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_agreement'))
    )
    op.create_index(op.f('ix_agreement_partner_id'), 'agreement', ['partner_id'], unique=False)
    op.create_table('partner_contact',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('partner_id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('role', sa.Text(), nullable=False),
    sa.Column('email', sa.Text(), nullable=True),
    sa.Column('phone', sa.Text(), nullable=True),
    sa.CheckConstraint("name <> '' AND role <> ''", name=op.f('ck_partner_contact_named')),
    sa.ForeignKeyConstraint(['partner_id'], ['partner.id'], name=op.f('fk_partner_contact_partner_id_partner')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_partner_contact'))
    )
    op.create_index(op.f('ix_partner_contact_partner_id'), 'partner_contact', ['partner_id'], unique=False)
    op.create_table('partner_logo',
    sa.Column('partner_id', sa.Uuid(), nullable=False),
    sa.Column('sha256', sa.Text(), nullable=False),
    sa.Column('media_type', sa.Text(), nullable=False),
    sa.Column('content', sa.LargeBinary(), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['partner_id'], ['partner.id'], name=op.f('fk_partner_logo_partner_id_partner')),
    sa.PrimaryKeyConstraint('partner_id', name=op.f('pk_partner_logo'))
    )
    op.execute(
        """
        INSERT INTO agreement (id, created_at, partner_id, from_at, until_at, reference)
        SELECT gen_random_uuid(), now(), id, created_at, NULL, '' FROM partner
        """
    )


def downgrade() -> None:
    op.drop_table('partner_logo')
    op.drop_index(op.f('ix_partner_contact_partner_id'), table_name='partner_contact')
    op.drop_table('partner_contact')
    op.drop_index(op.f('ix_agreement_partner_id'), table_name='agreement')
    op.drop_table('agreement')
