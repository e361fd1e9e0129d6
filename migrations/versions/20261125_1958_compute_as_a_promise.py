"""Rates with versions, a line at full centers, decisions, requests, statements, strays: the tables of the whole ledger.

Expands only: what ran before goes on beside it. Rates, loads, flavors of holds and usage by day are filled from what is
there; `flavor.price_micro` stays, as the rate in force.

Revision: de299902cfa0, after 1b94d6e8c0f3
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = 'de299902cfa0'
down_revision = '1b94d6e8c0f3'


def upgrade() -> None:
    op.create_table('ledger_period',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('starts_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ends_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('closed_by', sa.Uuid(), nullable=True),
    sa.CheckConstraint('ends_at > starts_at', name=op.f('ck_ledger_period_order')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_ledger_period')),
    sa.UniqueConstraint('starts_at', name=op.f('uq_ledger_period_starts_at'))
    )
    op.create_table('decision',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.Column('asked', sa.Text(), nullable=False),
    sa.Column('outcome', sa.Enum('granted', 'waiting', 'refused', name='outcome', native_enum=False, length=32), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=True),
    sa.Column('session_id', sa.Uuid(), nullable=True),
    sa.Column('template_id', sa.Uuid(), nullable=True),
    sa.Column('flavor_id', sa.Uuid(), nullable=True),
    sa.Column('budget_id', sa.Uuid(), nullable=True),
    sa.Column('center_id', sa.Uuid(), nullable=True),
    sa.Column('inputs', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('problem', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('request_id', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_decision_person_id_person')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_decision'))
    )
    op.create_index(op.f('ix_decision_budget_id_created_at'), 'decision', ['budget_id', 'created_at'], unique=False)
    op.create_index(op.f('ix_decision_center_id_created_at'), 'decision', ['center_id', 'created_at'], unique=False)
    op.create_index(op.f('ix_decision_person_id_created_at'), 'decision', ['person_id', 'created_at'], unique=False)
    op.create_index(op.f('ix_decision_session_id'), 'decision', ['session_id'], unique=False)
    op.create_table('statement',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('partner_id', sa.Uuid(), nullable=False),
    sa.Column('period_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('body', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('previous', sa.Text(), nullable=False),
    sa.Column('sha256', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['partner_id'], ['partner.id'], name=op.f('fk_statement_partner_id_partner')),
    sa.ForeignKeyConstraint(['period_id'], ['ledger_period.id'], name=op.f('fk_statement_period_id_ledger_period')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_statement')),
    sa.UniqueConstraint('partner_id', 'number', name=op.f('uq_statement_partner_id_number')),
    sa.UniqueConstraint('partner_id', 'period_id', name=op.f('uq_statement_partner_id_period_id'))
    )
    op.create_table('center_load',
    sa.Column('center_id', sa.Uuid(), nullable=False),
    sa.Column('taken', sa.Integer(), nullable=False),
    sa.CheckConstraint('taken >= 0', name=op.f('ck_center_load_taken')),
    sa.ForeignKeyConstraint(['center_id'], ['center.id'], name=op.f('fk_center_load_center_id_center')),
    sa.PrimaryKeyConstraint('center_id', name=op.f('pk_center_load'))
    )
    op.create_table('center_terms',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('center_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('text_zh', sa.Text(), nullable=False),
    sa.Column('text_en', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['center_id'], ['center.id'], name=op.f('fk_center_terms_center_id_center')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_center_terms')),
    sa.UniqueConstraint('center_id', 'number', name=op.f('uq_center_terms_center_id_number'))
    )
    op.create_table('compute_request',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('kind', sa.Enum('grant', 'supplement', 'extension', 'transfer', 'pull-back', 'correction', name='requestkind', native_enum=False, length=32), nullable=False),
    sa.Column('state', sa.Enum('asked', 'approved', 'declined', 'withdrawn', name='requeststate', native_enum=False, length=32), nullable=False),
    sa.Column('partner_id', sa.Uuid(), nullable=False),
    sa.Column('budget_id', sa.Uuid(), nullable=False),
    sa.Column('other_budget_id', sa.Uuid(), nullable=True),
    sa.Column('tranche_id', sa.Uuid(), nullable=True),
    sa.Column('session_id', sa.Uuid(), nullable=True),
    sa.Column('amount_micro', sa.BigInteger(), nullable=True),
    sa.Column('granted_micro', sa.BigInteger(), nullable=True),
    sa.Column('valid_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('requested_by', sa.Uuid(), nullable=False),
    sa.Column('decided_by', sa.Uuid(), nullable=True),
    sa.Column('decided_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('note', sa.Text(), nullable=True),
    sa.CheckConstraint("(state IN ('approved', 'declined')) = (decided_at IS NOT NULL)", name=op.f('ck_compute_request_decided')),
    sa.CheckConstraint('amount_micro > 0', name=op.f('ck_compute_request_amount')),
    sa.ForeignKeyConstraint(['budget_id'], ['budget.id'], name=op.f('fk_compute_request_budget_id_budget')),
    sa.ForeignKeyConstraint(['decided_by'], ['person.id'], name=op.f('fk_compute_request_decided_by_person')),
    sa.ForeignKeyConstraint(['other_budget_id'], ['budget.id'], name=op.f('fk_compute_request_other_budget_id_budget')),
    sa.ForeignKeyConstraint(['partner_id'], ['partner.id'], name=op.f('fk_compute_request_partner_id_partner')),
    sa.ForeignKeyConstraint(['requested_by'], ['person.id'], name=op.f('fk_compute_request_requested_by_person')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_compute_request'))
    )
    op.create_index(op.f('ix_compute_request_budget_id_created_at'), 'compute_request', ['budget_id', 'created_at'], unique=False)
    op.create_index(op.f('ix_compute_request_partner_id_state'), 'compute_request', ['partner_id', 'state'], unique=False)
    op.create_index(op.f('ix_compute_request_requested_by'), 'compute_request', ['requested_by'], unique=False)
    op.create_table('home_usage',
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.Column('center_id', sa.Uuid(), nullable=False),
    sa.Column('size_bytes', sa.BigInteger(), nullable=False),
    sa.Column('files', sa.Integer(), nullable=False),
    sa.Column('measured_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('warned_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['center_id'], ['center.id'], name=op.f('fk_home_usage_center_id_center')),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_home_usage_person_id_person')),
    sa.PrimaryKeyConstraint('person_id', 'center_id', name=op.f('pk_home_usage'))
    )
    op.create_table('stray',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('center_id', sa.Uuid(), nullable=False),
    sa.Column('hub_user', sa.Text(), nullable=False),
    sa.Column('server_name', sa.Text(), nullable=False),
    sa.Column('session_id', sa.Uuid(), nullable=True),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_seen_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('stop_ordered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('gone_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('seconds', sa.Integer(), nullable=False),
    sa.Column('loss_micro', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['center_id'], ['center.id'], name=op.f('fk_stray_center_id_center')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_stray'))
    )
    op.create_index('uq_stray_present', 'stray', ['center_id', 'hub_user', 'server_name'], unique=True, postgresql_where=sa.text('gone_at IS NULL'))
    op.create_table('rate',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('flavor_id', sa.Uuid(), nullable=False),
    sa.Column('valid_from', sa.DateTime(timezone=True), nullable=False),
    sa.Column('price_micro', sa.BigInteger(), nullable=False),
    sa.Column('bands', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.CheckConstraint('price_micro >= 0', name=op.f('ck_rate_price')),
    sa.ForeignKeyConstraint(['flavor_id'], ['flavor.id'], name=op.f('fk_rate_flavor_id_flavor')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_rate')),
    sa.UniqueConstraint('flavor_id', 'valid_from', name=op.f('uq_rate_flavor_id_valid_from'))
    )
    op.create_table('terms_acceptance',
    sa.Column('terms_id', sa.Uuid(), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.Column('accepted_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_terms_acceptance_person_id_person')),
    sa.ForeignKeyConstraint(['terms_id'], ['center_terms.id'], name=op.f('fk_terms_acceptance_terms_id_center_terms')),
    sa.PrimaryKeyConstraint('terms_id', 'person_id', name=op.f('pk_terms_acceptance'))
    )
    op.create_index(op.f('ix_terms_acceptance_person_id'), 'terms_acceptance', ['person_id'], unique=False)
    op.create_table('usage_day',
    sa.Column('budget_id', sa.Uuid(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.Column('flavor_id', sa.Uuid(), nullable=False),
    sa.Column('micro', sa.BigInteger(), nullable=False),
    sa.Column('seconds', sa.BigInteger(), nullable=False),
    sa.Column('sessions', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['budget_id'], ['budget.id'], name=op.f('fk_usage_day_budget_id_budget')),
    sa.ForeignKeyConstraint(['flavor_id'], ['flavor.id'], name=op.f('fk_usage_day_flavor_id_flavor')),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_usage_day_person_id_person')),
    sa.PrimaryKeyConstraint('budget_id', 'day', 'person_id', 'flavor_id', name=op.f('pk_usage_day'))
    )
    op.create_index(op.f('ix_usage_day_day'), 'usage_day', ['day'], unique=False)
    op.create_index(op.f('ix_usage_day_person_id'), 'usage_day', ['person_id'], unique=False)
    op.create_table('session_activity',
    sa.Column('session_id', sa.Uuid(), nullable=False),
    sa.Column('reported_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('kernels', sa.Integer(), nullable=False),
    sa.Column('busy_kernels', sa.Integer(), nullable=False),
    sa.Column('last_busy_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('accelerator_percent', sa.Integer(), nullable=True),
    sa.Column('last_accelerator_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_seen_person_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['session_id'], ['lab_session.id'], name=op.f('fk_session_activity_session_id_lab_session')),
    sa.PrimaryKeyConstraint('session_id', name=op.f('pk_session_activity'))
    )
    op.create_table('session_view',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('session_id', sa.Uuid(), nullable=False),
    sa.Column('viewer_id', sa.Uuid(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('state', sa.Enum('asked', 'granted', 'declined', 'ended', name='viewstate', native_enum=False, length=32), nullable=False),
    sa.Column('answered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('until_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('opened_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['session_id'], ['lab_session.id'], name=op.f('fk_session_view_session_id_lab_session')),
    sa.ForeignKeyConstraint(['viewer_id'], ['person.id'], name=op.f('fk_session_view_viewer_id_person')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_session_view'))
    )
    op.create_index(op.f('ix_session_view_session_id'), 'session_view', ['session_id'], unique=False)
    op.create_index(op.f('ix_session_view_viewer_id'), 'session_view', ['viewer_id'], unique=False)
    op.create_index('uq_session_view_open', 'session_view', ['session_id', 'viewer_id'], unique=True, postgresql_where=sa.text("state IN ('asked', 'granted')"))
    op.add_column('center', sa.Column('start_limit', sa.Integer(), server_default='20', nullable=False))
    op.add_column('center', sa.Column('cores', sa.Double(), nullable=True))
    op.add_column('center', sa.Column('memory_mb', sa.Integer(), nullable=True))
    op.add_column('center', sa.Column('accelerators', sa.Integer(), nullable=True))
    op.add_column('center', sa.Column('time_zone', sa.Text(), server_default='Asia/Shanghai', nullable=False))
    op.add_column('center', sa.Column('home_quota_mb', sa.Integer(), nullable=True))
    op.add_column('flavor', sa.Column('is_rescue', sa.Boolean(), server_default='false', nullable=False))
    op.add_column('hold', sa.Column('flavor_id', sa.Uuid(), nullable=True))
    op.add_column('hold', sa.Column('seconds', sa.Integer(), nullable=True))
    op.add_column('hold', sa.Column('bands', postgresql.JSONB(astext_type=sa.Text()), server_default='[]', nullable=False))
    op.add_column('hold', sa.Column('time_zone', sa.Text(), nullable=True))
    op.add_column('hold', sa.Column('started_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('hold', sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True))
    op.create_foreign_key(op.f('fk_hold_flavor_id_flavor'), 'hold', 'flavor', ['flavor_id'], ['id'])
    op.add_column('lab_session', sa.Column('slot', sa.Integer(), server_default='0', nullable=False))
    op.add_column('lab_session', sa.Column('request_key', sa.Text(), nullable=True))
    op.add_column('lab_session', sa.Column('request_sha256', sa.Text(), nullable=True))
    op.add_column('lab_session', sa.Column('waiting_since', sa.DateTime(timezone=True), nullable=True))
    op.add_column('lab_session', sa.Column('offered_until', sa.DateTime(timezone=True), nullable=True))
    op.add_column('lab_session', sa.Column('offers', sa.Integer(), server_default='0', nullable=False))
    op.add_column('lab_session', sa.Column('extended_minutes', sa.Integer(), server_default='0', nullable=False))
    op.add_column('lab_session', sa.Column('keep_alive_until', sa.DateTime(timezone=True), nullable=True))
    op.add_column('lab_session', sa.Column('keep_alives', sa.Integer(), server_default='0', nullable=False))
    op.add_column('lab_session', sa.Column('idle_warned_at', sa.DateTime(timezone=True), nullable=True))
    op.alter_column('lab_session', 'hold_id',
               existing_type=sa.UUID(),
               nullable=True)
    op.drop_index(op.f('uq_lab_session_live'), table_name='lab_session', postgresql_where=sa.text("state IN ('reserved', 'starting', 'running', 'stopping')"))
    op.create_index('uq_lab_session_live', 'lab_session', ['person_id', 'template_id', 'slot'], unique=True, postgresql_where=sa.text("state IN ('waiting', 'offered', 'reserved', 'starting', 'running', 'stopping')"))
    op.create_index('ix_lab_session_line', 'lab_session', ['center_id', 'waiting_since'], unique=False, postgresql_where=sa.text("state IN ('waiting', 'offered')"))
    op.create_index('uq_lab_session_request_key', 'lab_session', ['person_id', 'request_key'], unique=True, postgresql_where=sa.text('request_key IS NOT NULL'))
    op.add_column('lab_template', sa.Column('sessions_each', sa.Integer(), server_default='1', nullable=False))
    op.add_column('ledger_transaction', sa.Column('reason', sa.Text(), nullable=True))
    op.drop_constraint(op.f('ck_ledger_entry_owner'), 'ledger_entry', type_='check')
    op.create_check_constraint(op.f('ck_ledger_entry_owner'), 'ledger_entry', "(account IN ('supply', 'loss')) = (budget_id IS NULL)")
    op.create_check_constraint(op.f('ck_center_start_limit'), 'center', "start_limit > 0")
    op.create_check_constraint(op.f('ck_lab_session_held'), 'lab_session', "hold_id IS NOT NULL OR state IN ('waiting', 'offered', 'voided')")
    op.execute(
        """
        INSERT INTO rate (id, created_at, flavor_id, valid_from, price_micro, bands)
            SELECT gen_random_uuid(), now(), id, created_at, price_micro, '[]' FROM flavor;
        INSERT INTO center_load (center_id, taken)
            SELECT c.id, count(s.id) FROM center c LEFT JOIN lab_session s
                ON s.center_id = c.id AND s.state IN ('reserved', 'starting', 'running', 'stopping')
            GROUP BY c.id;
        UPDATE hold h SET flavor_id = s.flavor_id, started_at = s.ready_at FROM lab_session s WHERE s.hold_id = h.id;
        INSERT INTO usage_day (budget_id, day, person_id, flavor_id, micro, seconds, sessions)
            SELECT e.budget_id, (t.created_at AT TIME ZONE 'Asia/Shanghai')::date, h.person_id, h.flavor_id,
                sum(e.amount), 0, count(DISTINCT t.id) FILTER (WHERE t.command = 'settle')
            FROM ledger_entry e
            JOIN ledger_transaction t ON t.id = e.transaction_id
            JOIN hold h ON h.id = t.hold_id
            WHERE e.account = 'used' AND h.flavor_id IS NOT NULL
            GROUP BY 1, 2, 3, 4;
        UPDATE usage_day u SET seconds = sums.seconds FROM (
            SELECT h.budget_id, (h.closed_at AT TIME ZONE 'Asia/Shanghai')::date AS day, h.person_id, h.flavor_id,
                sum(h.posted_seconds) AS seconds
            FROM hold h WHERE h.state = 'settled' AND h.flavor_id IS NOT NULL GROUP BY 1, 2, 3, 4
        ) sums
        WHERE (u.budget_id, u.day, u.person_id, u.flavor_id)
            = (sums.budget_id, sums.day, sums.person_id, sums.flavor_id);
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON rate
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON statement
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger_period
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
        """
    )


def downgrade() -> None:
    op.drop_constraint(op.f('ck_lab_session_held'), 'lab_session', type_='check')
    op.drop_constraint(op.f('ck_center_start_limit'), 'center', type_='check')
    op.execute(
        """
        DELETE FROM session_view WHERE session_id IN (SELECT id FROM lab_session WHERE hold_id IS NULL);
        DELETE FROM session_activity WHERE session_id IN (SELECT id FROM lab_session WHERE hold_id IS NULL);
        DELETE FROM lab_session WHERE hold_id IS NULL;
        DO $$ BEGIN
            IF EXISTS (SELECT 1 FROM ledger_entry WHERE account = 'loss') THEN
                RAISE EXCEPTION 'losses are on the books; the tables from before do not know them';
            END IF;
        END $$;
        """
    )
    op.drop_constraint(op.f('ck_ledger_entry_owner'), 'ledger_entry', type_='check')
    op.create_check_constraint(op.f('ck_ledger_entry_owner'), 'ledger_entry', "(account = 'supply') = (budget_id IS NULL)")
    op.drop_column('ledger_transaction', 'reason')
    op.drop_column('lab_template', 'sessions_each')
    op.drop_index('uq_lab_session_request_key', table_name='lab_session', postgresql_where=sa.text('request_key IS NOT NULL'))
    op.drop_index('ix_lab_session_line', table_name='lab_session', postgresql_where=sa.text("state IN ('waiting', 'offered')"))
    op.drop_index('uq_lab_session_live', table_name='lab_session', postgresql_where=sa.text("state IN ('waiting', 'offered', 'reserved', 'starting', 'running', 'stopping')"))
    op.create_index(op.f('uq_lab_session_live'), 'lab_session', ['person_id', 'template_id'], unique=True, postgresql_where=sa.text("state IN ('reserved', 'starting', 'running', 'stopping')"))
    op.alter_column('lab_session', 'hold_id',
               existing_type=sa.UUID(),
               nullable=False)
    op.drop_column('lab_session', 'idle_warned_at')
    op.drop_column('lab_session', 'keep_alives')
    op.drop_column('lab_session', 'keep_alive_until')
    op.drop_column('lab_session', 'extended_minutes')
    op.drop_column('lab_session', 'offers')
    op.drop_column('lab_session', 'offered_until')
    op.drop_column('lab_session', 'waiting_since')
    op.drop_column('lab_session', 'request_sha256')
    op.drop_column('lab_session', 'request_key')
    op.drop_column('lab_session', 'slot')
    op.drop_constraint(op.f('fk_hold_flavor_id_flavor'), 'hold', type_='foreignkey')
    op.drop_column('hold', 'expires_at')
    op.drop_column('hold', 'started_at')
    op.drop_column('hold', 'time_zone')
    op.drop_column('hold', 'bands')
    op.drop_column('hold', 'seconds')
    op.drop_column('hold', 'flavor_id')
    op.drop_column('flavor', 'is_rescue')
    op.drop_column('center', 'home_quota_mb')
    op.drop_column('center', 'time_zone')
    op.drop_column('center', 'accelerators')
    op.drop_column('center', 'memory_mb')
    op.drop_column('center', 'cores')
    op.drop_column('center', 'start_limit')
    op.drop_index('uq_session_view_open', table_name='session_view', postgresql_where=sa.text("state IN ('asked', 'granted')"))
    op.drop_index(op.f('ix_session_view_viewer_id'), table_name='session_view')
    op.drop_index(op.f('ix_session_view_session_id'), table_name='session_view')
    op.drop_table('session_view')
    op.drop_table('session_activity')
    op.drop_index(op.f('ix_usage_day_person_id'), table_name='usage_day')
    op.drop_index(op.f('ix_usage_day_day'), table_name='usage_day')
    op.drop_table('usage_day')
    op.drop_index(op.f('ix_terms_acceptance_person_id'), table_name='terms_acceptance')
    op.drop_table('terms_acceptance')
    op.drop_table('rate')
    op.drop_index('uq_stray_present', table_name='stray', postgresql_where=sa.text('gone_at IS NULL'))
    op.drop_table('stray')
    op.drop_table('home_usage')
    op.drop_index(op.f('ix_compute_request_requested_by'), table_name='compute_request')
    op.drop_index(op.f('ix_compute_request_partner_id_state'), table_name='compute_request')
    op.drop_index(op.f('ix_compute_request_budget_id_created_at'), table_name='compute_request')
    op.drop_table('compute_request')
    op.drop_table('center_terms')
    op.drop_table('center_load')
    op.drop_table('statement')
    op.drop_index(op.f('ix_decision_session_id'), table_name='decision')
    op.drop_index(op.f('ix_decision_person_id_created_at'), table_name='decision')
    op.drop_index(op.f('ix_decision_center_id_created_at'), table_name='decision')
    op.drop_index(op.f('ix_decision_budget_id_created_at'), table_name='decision')
    op.drop_table('decision')
    op.drop_table('ledger_period')
