"""Home folders of erased people; let their names, and nothing else, be taken out of the trail.

The trail stays append-only. Only while a transaction erases one person (`chancai.erasing` is their id) may names in
the entries that concern this person be replaced; which acts there were, by whose id, on which row, never changes.

Revision: d27f9b3c5e10, after d7e3905c14fa
"""

import sqlalchemy as sa
from alembic import op

revision = 'd27f9b3c5e10'
down_revision = 'd7e3905c14fa'


def upgrade() -> None:
    op.create_table('home_removal',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('hub_name', sa.Text(), nullable=False),
    sa.Column('removed_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_home_removal')),
    sa.UniqueConstraint('hub_name', name=op.f('uq_home_removal_hub_name'))
    )
    op.execute(
        """
        CREATE FUNCTION keep_trail() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE person text := current_setting('chancai.erasing', true);
        BEGIN
            IF TG_OP = 'UPDATE' AND coalesce(person, '') <> '' THEN
                IF (NEW.id, NEW.created_at, NEW.actor_id, NEW.action, NEW.subject, NEW.subject_id, NEW.partner_id)
                    IS NOT DISTINCT FROM
                   (OLD.id, OLD.created_at, OLD.actor_id, OLD.action, OLD.subject, OLD.subject_id, OLD.partner_id)
                   AND ARRAY(SELECT k FROM jsonb_object_keys(NEW.changes) k ORDER BY k)
                     = ARRAY(SELECT k FROM jsonb_object_keys(OLD.changes) k ORDER BY k)
                   AND (OLD.actor_id::text = person OR OLD.subject_id::text = person OR OLD.subject = 'invitation'
                        OR strpos(OLD.changes::text, person) > 0)
                THEN
                    RETURN NEW;
                END IF;
            END IF;
            RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
        END $$;
        DROP TRIGGER append_only ON audit_entry;
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_entry
            FOR EACH ROW EXECUTE FUNCTION keep_trail();
        """
    )


def downgrade() -> None:
    op.execute(
        """
        DROP TRIGGER append_only ON audit_entry;
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_entry
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
        DROP FUNCTION keep_trail();
        """
    )
    op.drop_table('home_removal')
