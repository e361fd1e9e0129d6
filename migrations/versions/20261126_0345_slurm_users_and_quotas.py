"""Which account of a cluster people's labs run as, how its quotas stand, and why a scheduler refused a lab.

Revision: 7d41c2e9a806, after 6a20b7c91d35
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "7d41c2e9a806"
down_revision = "6a20b7c91d35"


def upgrade() -> None:
    op.add_column("lab_session", sa.Column("failure_code", sa.Text(), nullable=True))
    op.create_table(
        "slurm_user",
        sa.Column("center_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["center_id"], ["center.id"], name=op.f("fk_slurm_user_center_id_center")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_slurm_user_person_id_person")),
        sa.PrimaryKeyConstraint("center_id", "person_id", name=op.f("pk_slurm_user")),
        sa.UniqueConstraint("center_id", "name", name=op.f("uq_slurm_user_center_id_name")),
    )
    op.create_index(op.f("ix_slurm_user_person_id"), "slurm_user", ["person_id"])
    op.create_table(
        "slurm_quotas",
        sa.Column("center_id", sa.Uuid(), nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("right_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("wrong_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("differences", postgresql.JSONB(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("written", sa.Integer(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["center_id"], ["center.id"], name=op.f("fk_slurm_quotas_center_id_center")),
        sa.PrimaryKeyConstraint("center_id", name=op.f("pk_slurm_quotas")),
    )


def downgrade() -> None:
    op.drop_table("slurm_quotas")
    op.drop_table("slurm_user")
    op.drop_column("lab_session", "failure_code")
