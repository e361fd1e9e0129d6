"""Stops that are counted, and what operators were told.

Revision ID: 7c1f0d3a9b52
Revises: de299902cfa0
"""

import sqlalchemy as sa
from alembic import op

revision = "7c1f0d3a9b52"
down_revision = "4be1c07f52d9"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("lab_session", "stray"):
        op.add_column(table, sa.Column("stop_attempts", sa.Integer(), server_default="0", nullable=False))
        op.add_column(table, sa.Column("escalated_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("lab_session", sa.Column("stop_ordered_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("center", sa.Column("told_unreachable_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_lab_session_missing",
        "lab_session",
        ["center_id"],
        postgresql_where=sa.text("missing > 0 AND state = 'running'"),
    )


def downgrade() -> None:
    op.drop_index("ix_lab_session_missing", table_name="lab_session")
    op.drop_column("center", "told_unreachable_at")
    op.drop_column("lab_session", "stop_ordered_at")
    for table in ("stray", "lab_session"):
        op.drop_column(table, "escalated_at")
        op.drop_column(table, "stop_attempts")
