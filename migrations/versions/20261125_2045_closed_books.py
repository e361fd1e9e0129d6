"""Closed books: commands are only added, and none is dated inside a closed period.

Revision ID: 5c1f7a9e2b64
Revises: 7c1f0d3a9b52
Create Date: 2026-11-25 20:45

"""

import sqlalchemy as sa
from alembic import op

revision = "5c1f7a9e2b64"
down_revision = "7c1f0d3a9b52"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("hold", sa.Column("corrected_micro", sa.BigInteger(), server_default="0", nullable=False))
    op.create_check_constraint(
        op.f("ck_hold_corrected"), "hold", "0 <= corrected_micro AND corrected_micro <= posted_micro"
    )
    op.create_index(
        "ix_hold_expires_at", "hold", ["expires_at"], unique=False, postgresql_where=sa.text("state = 'open'")
    )
    op.execute(
        """
        UPDATE hold h SET seconds = coalesce(
            (SELECT s.lease_minutes * 60 + 300 FROM lab_session s WHERE s.hold_id = h.id),
            h.amount * 3600 / nullif(h.price_micro, 0))
        WHERE h.seconds IS NULL;

        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger_transaction
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

        -- Who books holds 7021002 together with the others, who closes a period holds it alone (labs.ledger.lock_books):
        -- so a command either is there when a period is closed, or sees that it is closed.
        CREATE FUNCTION refuse_closed_period() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock_shared(7021002);
            IF EXISTS (
                SELECT 1 FROM added a JOIN ledger_period p ON p.starts_at <= a.created_at AND a.created_at < p.ends_at
            ) THEN
                RAISE EXCEPTION 'this period is closed' USING ERRCODE = 'check_violation';
            END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER closed_period AFTER INSERT ON ledger_transaction REFERENCING NEW TABLE AS added
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_closed_period();
        """
    )


def downgrade() -> None:
    op.execute(
        """
        DROP TRIGGER closed_period ON ledger_transaction;
        DROP FUNCTION refuse_closed_period();
        DROP TRIGGER append_only ON ledger_transaction;
        DO $$ BEGIN
            IF EXISTS (SELECT 1 FROM ledger_transaction WHERE command = 'correct') THEN
                RAISE EXCEPTION 'corrections are on the books; the tables from before do not know them';
            END IF;
        END $$;
        """
    )
    op.drop_index("ix_hold_expires_at", table_name="hold", postgresql_where=sa.text("state = 'open'"))
    op.drop_constraint(op.f("ck_hold_corrected"), "hold", type_="check")
    op.drop_column("hold", "corrected_micro")
