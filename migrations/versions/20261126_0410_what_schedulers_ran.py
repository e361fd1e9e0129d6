"""What schedulers say was run, how far it was read, and the rows that make no sense.

Revision: 7d31c08e4f92, after b3e81c20f7a4
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "7d31c08e4f92"
down_revision = "b3e81c20f7a4"

MOMENT = sa.DateTime(timezone=True)
REJECT_STATES = sa.Enum(
    "open", "again", "dismissed", "accepted", name="rejectstate", native_enum=False, length=32
)


def upgrade() -> None:
    _segments()
    _cursor()
    _rejects()


def downgrade() -> None:
    for table in ("accounting_reject", "accounting_cursor", "job_segment"):
        op.drop_table(table)


def _segments() -> None:
    op.create_table(
        "job_segment",
        sa.Column("center_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("submitted_at", MOMENT, nullable=False),
        sa.Column("work_id", sa.Uuid(), nullable=False),
        sa.Column("is_batch", sa.Boolean(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("qos", sa.Text(), nullable=False),
        sa.Column("partition", sa.Text(), nullable=False),
        sa.Column("nodes", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("suspended_seconds", sa.Integer(), nullable=False),
        sa.Column("exit_status", sa.Integer(), nullable=False),
        sa.Column("cores", sa.Integer(), nullable=False),
        sa.Column("memory_mb", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("ended_at >= started_at", name=op.f("ck_job_segment_order")),
        sa.PrimaryKeyConstraint("center_id", "job_id", "submitted_at", name=op.f("pk_job_segment")),
    )
    op.create_index("ix_job_segment_work_id", "job_segment", ["work_id"])
    op.create_index(
        "ix_job_segment_open", "job_segment", ["center_id"], postgresql_where=sa.text("ended_at IS NULL")
    )


def _cursor() -> None:
    op.create_table(
        "accounting_cursor",
        sa.Column("center_id", sa.Uuid(), nullable=False),
        sa.Column("read_until", MOMENT, nullable=False),
        sa.Column("read_widely_at", MOMENT, nullable=True),
        sa.Column("answered_at", MOMENT, nullable=True),
        sa.Column("silent_since", MOMENT, nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("told_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["center_id"], ["center.id"], name=op.f("fk_accounting_cursor_center_id_center")),
        sa.PrimaryKeyConstraint("center_id", name=op.f("pk_accounting_cursor")),
    )


def _rejects() -> None:
    op.create_table(
        "accounting_reject",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("center_id", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("raw", postgresql.JSONB(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("state", REJECT_STATES, nullable=False),
        sa.Column("decided_at", MOMENT, nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["center_id"], ["center.id"], name=op.f("fk_accounting_reject_center_id_center")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounting_reject")),
        sa.UniqueConstraint("center_id", "sha256", name=op.f("uq_accounting_reject_center_id_sha256")),
    )
    op.create_index(
        "ix_accounting_reject_open",
        "accounting_reject",
        ["center_id"],
        postgresql_where=sa.text("state IN ('open', 'again')"),
    )
