"""What the worker tells of itself and its jobs, and what audits of the ledger found.

Revision: b3e81c20f7a4, after 1f83d7b25ac4
"""

import sqlalchemy as sa
from alembic import op

revision = "b3e81c20f7a4"
down_revision = "1f83d7b25ac4"


def upgrade() -> None:
    op.create_table(
        "worker_beat",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_worker_beat_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker_beat")),
    )
    op.create_table(
        "job_tally",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("longest_seconds", sa.Float(), nullable=False),
        sa.Column("succeeded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_job_tally")),
    )
    op.create_table(
        "ledger_audit",
        sa.Column("differences", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("differences >= 0", name=op.f("ck_ledger_audit_differences")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_audit")),
    )
    op.create_index(op.f("ix_ledger_audit_created_at"), "ledger_audit", ["created_at"])


def downgrade() -> None:
    op.drop_table("ledger_audit")
    op.drop_table("job_tally")
    op.drop_table("worker_beat")
