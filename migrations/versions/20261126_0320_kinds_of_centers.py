"""What runs the labs of a center, where it keeps data, and what a flavor asks of its scheduler.

Revision: 6a20b7c91d35, after 5c1f0a7be264
"""

import sqlalchemy as sa
from alembic import op

revision = "6a20b7c91d35"
down_revision = "5c1f0a7be264"

KINDS = sa.Enum("host", "slurm", "kubernetes", name="centerkind", native_enum=False, length=32)


def upgrade() -> None:
    op.add_column("center", sa.Column("kind", KINDS, server_default="host", nullable=False))
    op.add_column("center", sa.Column("region", sa.Text(), nullable=True))
    op.add_column("flavor", sa.Column("partition", sa.Text(), nullable=True))
    op.add_column("flavor", sa.Column("gres", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("flavor", "gres")
    op.drop_column("flavor", "partition")
    op.drop_column("center", "region")
    op.drop_column("center", "kind")
