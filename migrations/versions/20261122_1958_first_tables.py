"""first tables

Revision: cb4cf199dd13, after 
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = 'cb4cf199dd13'
down_revision = None


def upgrade() -> None:
    op.create_table('attempt_count',
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('ends_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_attempt_count'))
    )
    op.create_table('audit_entry',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('actor_id', sa.Uuid(), nullable=True),
    sa.Column('actor_name', sa.Text(), nullable=False),
    sa.Column('action', sa.Text(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('subject_id', sa.Uuid(), nullable=False),
    sa.Column('partner_id', sa.Uuid(), nullable=True),
    sa.Column('changes', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('address', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit_entry'))
    )
    op.create_index(op.f('ix_audit_entry_actor_id'), 'audit_entry', ['actor_id'], unique=False)
    op.create_index(op.f('ix_audit_entry_created_at'), 'audit_entry', ['created_at'], unique=False)
    op.create_index(op.f('ix_audit_entry_partner_id'), 'audit_entry', ['partner_id'], unique=False)
    op.create_index(op.f('ix_audit_entry_subject_subject_id'), 'audit_entry', ['subject', 'subject_id'], unique=False)
    op.create_table('partner',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('slug', sa.Text(), nullable=False),
    sa.Column('kind', sa.Enum('university', 'company', 'computing-center', 'public-body', name='partnerkind', native_enum=False, length=32), nullable=False),
    sa.Column('title_zh', sa.Text(), nullable=False),
    sa.Column('title_en', sa.Text(), nullable=False),
    sa.Column('time_zone', sa.Text(), nullable=False),
    sa.Column('email_domains', postgresql.ARRAY(sa.String()), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_partner')),
    sa.UniqueConstraint('slug', name=op.f('uq_partner_slug'))
    )
    op.create_table('person',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('email', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('name_latin', sa.Text(), nullable=True),
    sa.Column('language', sa.Text(), nullable=False),
    sa.Column('time_zone', sa.Text(), nullable=False),
    sa.Column('password_hash', sa.Text(), nullable=True),
    sa.Column('is_active', sa.Boolean(), nullable=False),
    sa.CheckConstraint("language IN ('zh_CN', 'en')", name=op.f('ck_person_language')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_person'))
    )
    op.create_index('uq_person_email_lower', 'person', [sa.literal_column('lower(email)')], unique=True)
    op.create_table('budget',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('parent_id', sa.Uuid(), nullable=True),
    sa.Column('partner_id', sa.Uuid(), nullable=False),
    sa.Column('kind', sa.Enum('partner', 'program', 'run', 'contest', 'project', name='budgetkind', native_enum=False, length=32), nullable=False),
    sa.Column('title_zh', sa.Text(), nullable=False),
    sa.Column('title_en', sa.Text(), nullable=False),
    sa.Column('member_cap_micro', sa.BigInteger(), nullable=True),
    sa.Column('starts_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ends_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('is_closed', sa.Boolean(), nullable=False),
    sa.CheckConstraint("(kind = 'partner') = (parent_id IS NULL)", name=op.f('ck_budget_root')),
    sa.CheckConstraint('ends_at > starts_at', name=op.f('ck_budget_period')),
    sa.CheckConstraint('member_cap_micro >= 0', name=op.f('ck_budget_member_cap')),
    sa.ForeignKeyConstraint(['parent_id'], ['budget.id'], name=op.f('fk_budget_parent_id_budget')),
    sa.ForeignKeyConstraint(['partner_id'], ['partner.id'], name=op.f('fk_budget_partner_id_partner')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_budget'))
    )
    op.create_index(op.f('ix_budget_parent_id'), 'budget', ['parent_id'], unique=False)
    op.create_index(op.f('ix_budget_partner_id'), 'budget', ['partner_id'], unique=False)
    op.create_table('center',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('slug', sa.Text(), nullable=False),
    sa.Column('partner_id', sa.Uuid(), nullable=False),
    sa.Column('title_zh', sa.Text(), nullable=False),
    sa.Column('title_en', sa.Text(), nullable=False),
    sa.Column('state', sa.Enum('up', 'draining', 'maintenance', name='centerstate', native_enum=False, length=32), nullable=False),
    sa.Column('session_limit', sa.Integer(), nullable=False),
    sa.Column('unreachable_since', sa.DateTime(timezone=True), nullable=True),
    sa.Column('reached_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint('session_limit >= 0', name=op.f('ck_center_session_limit')),
    sa.ForeignKeyConstraint(['partner_id'], ['partner.id'], name=op.f('fk_center_partner_id_partner')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_center')),
    sa.UniqueConstraint('slug', name=op.f('uq_center_slug'))
    )
    op.create_table('course',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('slug', sa.Text(), nullable=False),
    sa.Column('partner_id', sa.Uuid(), nullable=False),
    sa.Column('owner_id', sa.Uuid(), nullable=False),
    sa.Column('title_zh', sa.Text(), nullable=False),
    sa.Column('title_en', sa.Text(), nullable=False),
    sa.Column('summary_zh', sa.Text(), nullable=False),
    sa.Column('summary_en', sa.Text(), nullable=False),
    sa.Column('level', sa.Enum('beginner', 'intermediate', 'advanced', name='courselevel', native_enum=False, length=32), nullable=False),
    sa.Column('hours', sa.Integer(), nullable=False),
    sa.Column('state', sa.Enum('draft', 'published', 'archived', name='coursestate', native_enum=False, length=32), nullable=False),
    sa.CheckConstraint("title_zh <> '' AND title_en <> ''", name=op.f('ck_course_titles')),
    sa.CheckConstraint('hours > 0', name=op.f('ck_course_hours')),
    sa.ForeignKeyConstraint(['owner_id'], ['person.id'], name=op.f('fk_course_owner_id_person')),
    sa.ForeignKeyConstraint(['partner_id'], ['partner.id'], name=op.f('fk_course_partner_id_partner')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_course')),
    sa.UniqueConstraint('slug', name=op.f('uq_course_slug'))
    )
    op.create_index(op.f('ix_course_owner_id'), 'course', ['owner_id'], unique=False)
    op.create_index(op.f('ix_course_partner_id'), 'course', ['partner_id'], unique=False)
    op.create_table('lab_template',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('partner_id', sa.Uuid(), nullable=False),
    sa.Column('title_zh', sa.Text(), nullable=False),
    sa.Column('title_en', sa.Text(), nullable=False),
    sa.Column('folder', sa.Text(), nullable=False),
    sa.Column('default_minutes', sa.Integer(), nullable=False),
    sa.Column('longest_minutes', sa.Integer(), nullable=False),
    sa.CheckConstraint('0 < default_minutes AND default_minutes <= longest_minutes', name=op.f('ck_lab_template_lease')),
    sa.ForeignKeyConstraint(['partner_id'], ['partner.id'], name=op.f('fk_lab_template_partner_id_partner')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_lab_template'))
    )
    op.create_index(op.f('ix_lab_template_partner_id'), 'lab_template', ['partner_id'], unique=False)
    op.create_table('membership',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.Column('partner_id', sa.Uuid(), nullable=False),
    sa.Column('role', sa.Enum('student', 'assistant', 'teacher', 'administrator', name='memberrole', native_enum=False, length=32), nullable=False),
    sa.Column('number', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['partner_id'], ['partner.id'], name=op.f('fk_membership_partner_id_partner')),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_membership_person_id_person')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_membership')),
    sa.UniqueConstraint('person_id', 'partner_id', 'role', name=op.f('uq_membership_person_id_partner_id_role'))
    )
    op.create_index(op.f('ix_membership_partner_id'), 'membership', ['partner_id'], unique=False)
    op.create_index(op.f('ix_membership_person_id'), 'membership', ['person_id'], unique=False)
    op.create_index('uq_membership_number', 'membership', ['partner_id', 'number', 'role'], unique=True, postgresql_where=sa.text('number IS NOT NULL'))
    op.create_table('notice',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('event', sa.Text(), nullable=False),
    sa.Column('facts', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('url', sa.Text(), nullable=True),
    sa.Column('read_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_notice_person_id_person')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_notice')),
    sa.UniqueConstraint('person_id', 'event', name=op.f('uq_notice_person_id_event'))
    )
    op.create_index(op.f('ix_notice_person_id'), 'notice', ['person_id'], unique=False)
    op.create_index('ix_notice_unread', 'notice', ['person_id'], unique=False, postgresql_where=sa.text('read_at IS NULL'))
    op.create_table('personal_token',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('sha256', sa.Text(), nullable=False),
    sa.Column('scopes', postgresql.ARRAY(sa.String()), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('last_used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_personal_token_person_id_person')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_personal_token')),
    sa.UniqueConstraint('sha256', name=op.f('uq_personal_token_sha256'))
    )
    op.create_index(op.f('ix_personal_token_person_id'), 'personal_token', ['person_id'], unique=False)
    op.create_table('platform_role_grant',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.Column('role', sa.Enum('administrator', 'operator', 'coordinator', name='platformrole', native_enum=False, length=32), nullable=False),
    sa.Column('from_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('until_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.CheckConstraint('until_at IS NULL OR until_at > from_at', name=op.f('ck_platform_role_grant_period')),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_platform_role_grant_person_id_person')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_platform_role_grant'))
    )
    op.create_index(op.f('ix_platform_role_grant_person_id'), 'platform_role_grant', ['person_id'], unique=False)
    op.create_table('sign_in',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.Column('key_sha256', sa.Text(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('address', sa.Text(), nullable=True),
    sa.Column('browser', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_sign_in_person_id_person')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_sign_in')),
    sa.UniqueConstraint('key_sha256', name=op.f('uq_sign_in_key_sha256'))
    )
    op.create_index(op.f('ix_sign_in_person_id'), 'sign_in', ['person_id'], unique=False)
    op.create_table('authorization_code',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('sha256', sa.Text(), nullable=False),
    sa.Column('client_id', sa.Text(), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.Column('sign_in_id', sa.Uuid(), nullable=False),
    sa.Column('redirect_uri', sa.Text(), nullable=False),
    sa.Column('scope', sa.Text(), nullable=False),
    sa.Column('nonce', sa.Text(), nullable=True),
    sa.Column('code_challenge', sa.Text(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_authorization_code_person_id_person')),
    sa.ForeignKeyConstraint(['sign_in_id'], ['sign_in.id'], name=op.f('fk_authorization_code_sign_in_id_sign_in')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_authorization_code')),
    sa.UniqueConstraint('sha256', name=op.f('uq_authorization_code_sha256'))
    )
    op.create_table('budget_manager',
    sa.Column('budget_id', sa.Uuid(), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['budget_id'], ['budget.id'], name=op.f('fk_budget_manager_budget_id_budget')),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_budget_manager_person_id_person')),
    sa.PrimaryKeyConstraint('budget_id', 'person_id', name=op.f('pk_budget_manager'))
    )
    op.create_index(op.f('ix_budget_manager_person_id'), 'budget_manager', ['person_id'], unique=False)
    op.create_table('course_version',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('course_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('published_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('published_by_id', sa.Uuid(), nullable=True),
    sa.CheckConstraint('(published_at IS NULL) = (published_by_id IS NULL)', name=op.f('ck_course_version_published')),
    sa.CheckConstraint('number > 0', name=op.f('ck_course_version_number')),
    sa.ForeignKeyConstraint(['course_id'], ['course.id'], name=op.f('fk_course_version_course_id_course')),
    sa.ForeignKeyConstraint(['published_by_id'], ['person.id'], name=op.f('fk_course_version_published_by_id_person')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_course_version')),
    sa.UniqueConstraint('course_id', 'number', name=op.f('uq_course_version_course_id_number'))
    )
    op.create_index('uq_course_version_working', 'course_version', ['course_id'], unique=True, postgresql_where=sa.text('published_at IS NULL'))
    op.create_table('flavor',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('center_id', sa.Uuid(), nullable=False),
    sa.Column('slug', sa.Text(), nullable=False),
    sa.Column('title_zh', sa.Text(), nullable=False),
    sa.Column('title_en', sa.Text(), nullable=False),
    sa.Column('cores', sa.Double(), nullable=False),
    sa.Column('memory_mb', sa.Integer(), nullable=False),
    sa.Column('accelerators', sa.Integer(), nullable=False),
    sa.Column('accelerator_kind', sa.Text(), nullable=True),
    sa.Column('price_micro', sa.BigInteger(), nullable=False),
    sa.Column('longest_minutes', sa.Integer(), nullable=False),
    sa.Column('is_active', sa.Boolean(), nullable=False),
    sa.CheckConstraint('cores > 0 AND memory_mb > 0 AND accelerators >= 0', name=op.f('ck_flavor_size')),
    sa.CheckConstraint('price_micro >= 0', name=op.f('ck_flavor_price')),
    sa.ForeignKeyConstraint(['center_id'], ['center.id'], name=op.f('fk_flavor_center_id_center')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_flavor')),
    sa.UniqueConstraint('center_id', 'slug', name=op.f('uq_flavor_center_id_slug'))
    )
    op.create_index(op.f('ix_flavor_center_id'), 'flavor', ['center_id'], unique=False)
    op.create_table('hold',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('budget_id', sa.Uuid(), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.Column('center_id', sa.Uuid(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('price_micro', sa.BigInteger(), nullable=False),
    sa.Column('posted_seconds', sa.Integer(), nullable=False),
    sa.Column('posted_micro', sa.BigInteger(), nullable=False),
    sa.Column('state', sa.Enum('open', 'settled', 'voided', name='holdstate', native_enum=False, length=32), nullable=False),
    sa.Column('closed_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint('amount >= 0 AND posted_seconds >= 0 AND posted_micro >= 0', name=op.f('ck_hold_amounts')),
    sa.ForeignKeyConstraint(['budget_id'], ['budget.id'], name=op.f('fk_hold_budget_id_budget')),
    sa.ForeignKeyConstraint(['center_id'], ['center.id'], name=op.f('fk_hold_center_id_center')),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_hold_person_id_person')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_hold'))
    )
    op.create_index(op.f('ix_hold_budget_id_state'), 'hold', ['budget_id', 'state'], unique=False)
    op.create_index(op.f('ix_hold_person_id'), 'hold', ['person_id'], unique=False)
    op.create_table('lab_file',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('template_id', sa.Uuid(), nullable=False),
    sa.Column('path', sa.Text(), nullable=False),
    sa.Column('content', sa.LargeBinary(), nullable=False),
    sa.Column('sha256', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['template_id'], ['lab_template.id'], name=op.f('fk_lab_file_template_id_lab_template')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_lab_file')),
    sa.UniqueConstraint('template_id', 'path', name=op.f('uq_lab_file_template_id_path'))
    )
    op.create_table('member_cap',
    sa.Column('budget_id', sa.Uuid(), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.Column('cap_micro', sa.BigInteger(), nullable=True),
    sa.Column('held', sa.BigInteger(), nullable=False),
    sa.Column('used', sa.BigInteger(), nullable=False),
    sa.Column('is_open', sa.Boolean(), nullable=False),
    sa.CheckConstraint('cap_micro >= 0', name=op.f('ck_member_cap_cap')),
    sa.CheckConstraint('held >= 0', name=op.f('ck_member_cap_held')),
    sa.CheckConstraint('used >= 0', name=op.f('ck_member_cap_used')),
    sa.ForeignKeyConstraint(['budget_id'], ['budget.id'], name=op.f('fk_member_cap_budget_id_budget')),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_member_cap_person_id_person')),
    sa.PrimaryKeyConstraint('budget_id', 'person_id', name=op.f('pk_member_cap'))
    )
    op.create_index(op.f('ix_member_cap_person_id'), 'member_cap', ['person_id'], unique=False)
    op.create_table('purse',
    sa.Column('budget_id', sa.Uuid(), nullable=False),
    sa.Column('available', sa.BigInteger(), nullable=False),
    sa.Column('held', sa.BigInteger(), nullable=False),
    sa.Column('used', sa.BigInteger(), nullable=False),
    sa.Column('expired', sa.BigInteger(), nullable=False),
    sa.Column('overrun', sa.BigInteger(), nullable=False),
    sa.CheckConstraint('available >= 0', name=op.f('ck_purse_available')),
    sa.CheckConstraint('expired >= 0', name=op.f('ck_purse_expired')),
    sa.CheckConstraint('held >= 0', name=op.f('ck_purse_held')),
    sa.CheckConstraint('overrun >= 0', name=op.f('ck_purse_overrun')),
    sa.CheckConstraint('used >= 0', name=op.f('ck_purse_used')),
    sa.ForeignKeyConstraint(['budget_id'], ['budget.id'], name=op.f('fk_purse_budget_id_budget')),
    sa.PrimaryKeyConstraint('budget_id', name=op.f('pk_purse'))
    )
    op.create_table('tranche',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('budget_id', sa.Uuid(), nullable=False),
    sa.Column('source_id', sa.Uuid(), nullable=True),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('remaining', sa.BigInteger(), nullable=False),
    sa.Column('valid_from', sa.DateTime(timezone=True), nullable=False),
    sa.Column('valid_until', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint('0 <= remaining AND remaining <= amount', name=op.f('ck_tranche_remaining')),
    sa.CheckConstraint('valid_until > valid_from', name=op.f('ck_tranche_period')),
    sa.ForeignKeyConstraint(['budget_id'], ['budget.id'], name=op.f('fk_tranche_budget_id_budget')),
    sa.ForeignKeyConstraint(['source_id'], ['tranche.id'], name=op.f('fk_tranche_source_id_tranche')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tranche'))
    )
    op.create_index(op.f('ix_tranche_budget_id_valid_until'), 'tranche', ['budget_id', 'valid_until'], unique=False)
    op.create_table('access_token',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('sha256', sa.Text(), nullable=False),
    sa.Column('client_id', sa.Text(), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.Column('sign_in_id', sa.Uuid(), nullable=False),
    sa.Column('code_id', sa.Uuid(), nullable=False),
    sa.Column('scope', sa.Text(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['code_id'], ['authorization_code.id'], name=op.f('fk_access_token_code_id_authorization_code')),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_access_token_person_id_person')),
    sa.ForeignKeyConstraint(['sign_in_id'], ['sign_in.id'], name=op.f('fk_access_token_sign_in_id_sign_in')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_access_token')),
    sa.UniqueConstraint('sha256', name=op.f('uq_access_token_sha256'))
    )
    op.create_index(op.f('ix_access_token_code_id'), 'access_token', ['code_id'], unique=False)
    op.create_index(op.f('ix_access_token_sign_in_id'), 'access_token', ['sign_in_id'], unique=False)
    op.create_table('course_run',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('course_id', sa.Uuid(), nullable=False),
    sa.Column('version_id', sa.Uuid(), nullable=False),
    sa.Column('slug', sa.Text(), nullable=False),
    sa.Column('title_zh', sa.Text(), nullable=False),
    sa.Column('title_en', sa.Text(), nullable=False),
    sa.Column('starts_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ends_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('enroll_from_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('enroll_until_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('has_waiting_list', sa.Boolean(), nullable=False),
    sa.Column('budget_id', sa.Uuid(), nullable=False),
    sa.Column('state', sa.Enum('planned', 'open', 'canceled', name='runstate', native_enum=False, length=32), nullable=False),
    sa.CheckConstraint("title_zh <> '' AND title_en <> ''", name=op.f('ck_course_run_titles')),
    sa.CheckConstraint('ends_at > starts_at', name=op.f('ck_course_run_dates')),
    sa.CheckConstraint('enroll_until_at > enroll_from_at AND enroll_until_at <= ends_at', name=op.f('ck_course_run_enrollment')),
    sa.ForeignKeyConstraint(['budget_id'], ['budget.id'], name=op.f('fk_course_run_budget_id_budget')),
    sa.ForeignKeyConstraint(['course_id'], ['course.id'], name=op.f('fk_course_run_course_id_course')),
    sa.ForeignKeyConstraint(['version_id'], ['course_version.id'], name=op.f('fk_course_run_version_id_course_version')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_course_run')),
    sa.UniqueConstraint('budget_id', name=op.f('uq_course_run_budget_id')),
    sa.UniqueConstraint('course_id', 'slug', name=op.f('uq_course_run_course_id_slug'))
    )
    op.create_index(op.f('ix_course_run_version_id'), 'course_run', ['version_id'], unique=False)
    op.create_table('hold_part',
    sa.Column('hold_id', sa.Uuid(), nullable=False),
    sa.Column('tranche_id', sa.Uuid(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('used', sa.BigInteger(), nullable=False),
    sa.CheckConstraint('0 <= used AND used <= amount', name=op.f('ck_hold_part_used')),
    sa.ForeignKeyConstraint(['hold_id'], ['hold.id'], name=op.f('fk_hold_part_hold_id_hold')),
    sa.ForeignKeyConstraint(['tranche_id'], ['tranche.id'], name=op.f('fk_hold_part_tranche_id_tranche')),
    sa.PrimaryKeyConstraint('hold_id', 'tranche_id', name=op.f('pk_hold_part'))
    )
    op.create_index(op.f('ix_hold_part_tranche_id'), 'hold_part', ['tranche_id'], unique=False)
    op.create_table('lab_session',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.Column('template_id', sa.Uuid(), nullable=False),
    sa.Column('flavor_id', sa.Uuid(), nullable=False),
    sa.Column('center_id', sa.Uuid(), nullable=False),
    sa.Column('budget_id', sa.Uuid(), nullable=False),
    sa.Column('hold_id', sa.Uuid(), nullable=False),
    sa.Column('origin_url', sa.Text(), nullable=True),
    sa.Column('state', sa.Enum('reserved', 'starting', 'running', 'stopping', 'settled', 'voided', name='sessionstate', native_enum=False, length=32), nullable=False),
    sa.Column('lease_minutes', sa.Integer(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('admitted_attempt', sa.Integer(), nullable=False),
    sa.Column('not_before', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ordered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('admitted_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ready_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('lease_ends_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('warned_minutes', sa.Integer(), nullable=True),
    sa.Column('stop_requested_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('stop_reason', sa.Text(), nullable=True),
    sa.Column('failure', sa.Text(), nullable=True),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('forgotten_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('seconds_used', sa.Integer(), nullable=False),
    sa.Column('charged_micro', sa.BigInteger(), nullable=False),
    sa.Column('seen', sa.Enum('absent', 'starting', 'running', 'stopping', 'unreachable', name='sighting', native_enum=False, length=32), nullable=True),
    sa.Column('seen_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('missing', sa.Integer(), nullable=False),
    sa.Column('last_running_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint('charged_micro >= 0 AND seconds_used >= 0', name=op.f('ck_lab_session_charged')),
    sa.CheckConstraint('lease_minutes > 0', name=op.f('ck_lab_session_lease')),
    sa.ForeignKeyConstraint(['budget_id'], ['budget.id'], name=op.f('fk_lab_session_budget_id_budget')),
    sa.ForeignKeyConstraint(['center_id'], ['center.id'], name=op.f('fk_lab_session_center_id_center')),
    sa.ForeignKeyConstraint(['flavor_id'], ['flavor.id'], name=op.f('fk_lab_session_flavor_id_flavor')),
    sa.ForeignKeyConstraint(['hold_id'], ['hold.id'], name=op.f('fk_lab_session_hold_id_hold')),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_lab_session_person_id_person')),
    sa.ForeignKeyConstraint(['template_id'], ['lab_template.id'], name=op.f('fk_lab_session_template_id_lab_template')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_lab_session')),
    sa.UniqueConstraint('hold_id', name=op.f('uq_lab_session_hold_id'))
    )
    op.create_index(op.f('ix_lab_session_budget_id_created_at'), 'lab_session', ['budget_id', 'created_at'], unique=False)
    op.create_index('ix_lab_session_live_center', 'lab_session', ['center_id', 'state'], unique=False, postgresql_where=sa.text("state IN ('reserved', 'starting', 'running', 'stopping')"))
    op.create_index(op.f('ix_lab_session_person_id_created_at'), 'lab_session', ['person_id', 'created_at'], unique=False)
    op.create_index('ix_lab_session_to_forget', 'lab_session', ['center_id'], unique=False, postgresql_where=sa.text("state IN ('settled', 'voided') AND forgotten_at IS NULL"))
    op.create_index('uq_lab_session_live', 'lab_session', ['person_id', 'template_id'], unique=True, postgresql_where=sa.text("state IN ('reserved', 'starting', 'running', 'stopping')"))
    op.create_table('lab_template_flavor',
    sa.Column('template_id', sa.Uuid(), nullable=False),
    sa.Column('flavor_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['flavor_id'], ['flavor.id'], name=op.f('fk_lab_template_flavor_flavor_id_flavor')),
    sa.ForeignKeyConstraint(['template_id'], ['lab_template.id'], name=op.f('fk_lab_template_flavor_template_id_lab_template')),
    sa.PrimaryKeyConstraint('template_id', 'flavor_id', name=op.f('pk_lab_template_flavor'))
    )
    op.create_table('ledger_transaction',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('command', sa.Enum('grant', 'transfer', 'reserve', 'post', 'settle', 'void', 'expire', name='command', native_enum=False, length=32), nullable=False),
    sa.Column('body_sha256', sa.Text(), nullable=False),
    sa.Column('hold_id', sa.Uuid(), nullable=True),
    sa.Column('actor_id', sa.Uuid(), nullable=True),
    sa.ForeignKeyConstraint(['hold_id'], ['hold.id'], name=op.f('fk_ledger_transaction_hold_id_hold')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_ledger_transaction')),
    sa.UniqueConstraint('key', name=op.f('uq_ledger_transaction_key'))
    )
    op.create_index(op.f('ix_ledger_transaction_hold_id'), 'ledger_transaction', ['hold_id'], unique=False)
    op.create_table('unit',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('version_id', sa.Uuid(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('kind', sa.Enum('text', 'lab', name='unitkind', native_enum=False, length=32), nullable=False),
    sa.Column('title_zh', sa.Text(), nullable=False),
    sa.Column('title_en', sa.Text(), nullable=False),
    sa.Column('body_zh', sa.Text(), nullable=False),
    sa.Column('body_en', sa.Text(), nullable=False),
    sa.Column('lab_template_id', sa.Uuid(), nullable=True),
    sa.Column('minutes_estimate', sa.Integer(), nullable=False),
    sa.CheckConstraint("(kind = 'lab') = (lab_template_id IS NOT NULL)", name=op.f('ck_unit_lab')),
    sa.CheckConstraint("title_zh <> '' AND title_en <> ''", name=op.f('ck_unit_titles')),
    sa.CheckConstraint('minutes_estimate > 0', name=op.f('ck_unit_minutes')),
    sa.CheckConstraint('position > 0', name=op.f('ck_unit_position')),
    sa.ForeignKeyConstraint(['lab_template_id'], ['lab_template.id'], name=op.f('fk_unit_lab_template_id_lab_template')),
    sa.ForeignKeyConstraint(['version_id'], ['course_version.id'], name=op.f('fk_unit_version_id_course_version')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_unit')),
    sa.UniqueConstraint('version_id', 'position', deferrable=True, initially='IMMEDIATE', name=op.f('uq_unit_version_id_position'))
    )
    op.create_index(op.f('ix_unit_lab_template_id'), 'unit', ['lab_template_id'], unique=False)
    op.create_table('ledger_entry',
    sa.Column('id', sa.BigInteger(), autoincrement=True, nullable=False),
    sa.Column('transaction_id', sa.Uuid(), nullable=False),
    sa.Column('account', sa.Enum('supply', 'available', 'held', 'used', 'expired', 'overrun', name='account', native_enum=False, length=32), nullable=False),
    sa.Column('budget_id', sa.Uuid(), nullable=True),
    sa.Column('tranche_id', sa.Uuid(), nullable=True),
    sa.Column('center_id', sa.Uuid(), nullable=True),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.CheckConstraint("(account = 'supply') = (budget_id IS NULL)", name=op.f('ck_ledger_entry_owner')),
    sa.CheckConstraint('amount <> 0', name=op.f('ck_ledger_entry_amount')),
    sa.ForeignKeyConstraint(['budget_id'], ['budget.id'], name=op.f('fk_ledger_entry_budget_id_budget')),
    sa.ForeignKeyConstraint(['center_id'], ['center.id'], name=op.f('fk_ledger_entry_center_id_center')),
    sa.ForeignKeyConstraint(['tranche_id'], ['tranche.id'], name=op.f('fk_ledger_entry_tranche_id_tranche')),
    sa.ForeignKeyConstraint(['transaction_id'], ['ledger_transaction.id'], name=op.f('fk_ledger_entry_transaction_id_ledger_transaction')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_ledger_entry'))
    )
    op.create_index(op.f('ix_ledger_entry_budget_id_account'), 'ledger_entry', ['budget_id', 'account'], unique=False)
    op.create_index(op.f('ix_ledger_entry_transaction_id'), 'ledger_entry', ['transaction_id'], unique=False)
    op.create_table('run_teacher',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('run_id', sa.Uuid(), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.Column('role', sa.Enum('teacher', 'assistant', name='teachingrole', native_enum=False, length=32), nullable=False),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_run_teacher_person_id_person')),
    sa.ForeignKeyConstraint(['run_id'], ['course_run.id'], name=op.f('fk_run_teacher_run_id_course_run')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_run_teacher')),
    sa.UniqueConstraint('run_id', 'person_id', name=op.f('uq_run_teacher_run_id_person_id'))
    )
    op.create_index(op.f('ix_run_teacher_person_id'), 'run_teacher', ['person_id'], unique=False)
    op.create_table('seat_pool',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('run_id', sa.Uuid(), nullable=False),
    sa.Column('partner_id', sa.Uuid(), nullable=True),
    sa.Column('cap', sa.Integer(), nullable=False),
    sa.Column('used', sa.Integer(), nullable=False),
    sa.CheckConstraint('used >= 0 AND used <= cap', name=op.f('ck_seat_pool_seats')),
    sa.ForeignKeyConstraint(['partner_id'], ['partner.id'], name=op.f('fk_seat_pool_partner_id_partner')),
    sa.ForeignKeyConstraint(['run_id'], ['course_run.id'], name=op.f('fk_seat_pool_run_id_course_run')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_seat_pool')),
    sa.UniqueConstraint('run_id', 'partner_id', name=op.f('uq_seat_pool_run_id_partner_id'), postgresql_nulls_not_distinct=True)
    )
    op.create_table('enrollment',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('run_id', sa.Uuid(), nullable=False),
    sa.Column('person_id', sa.Uuid(), nullable=False),
    sa.Column('pool_id', sa.Uuid(), nullable=True),
    sa.Column('state', sa.Enum('requested', 'waitlisted', 'offered', 'enrolled', 'completed', 'declined', 'withdrawn', 'removed', name='enrollmentstate', native_enum=False, length=32), nullable=False),
    sa.Column('state_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('arrival', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.CheckConstraint("(state IN ('offered', 'enrolled', 'completed')) = (pool_id IS NOT NULL)", name=op.f('ck_enrollment_seat')),
    sa.ForeignKeyConstraint(['person_id'], ['person.id'], name=op.f('fk_enrollment_person_id_person')),
    sa.ForeignKeyConstraint(['pool_id'], ['seat_pool.id'], name=op.f('fk_enrollment_pool_id_seat_pool')),
    sa.ForeignKeyConstraint(['run_id'], ['course_run.id'], name=op.f('fk_enrollment_run_id_course_run')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_enrollment')),
    sa.UniqueConstraint('run_id', 'person_id', name=op.f('uq_enrollment_run_id_person_id'))
    )
    op.create_index(op.f('ix_enrollment_person_id'), 'enrollment', ['person_id'], unique=False)
    op.create_index(op.f('ix_enrollment_pool_id'), 'enrollment', ['pool_id'], unique=False)
    op.create_index('ix_enrollment_waiting', 'enrollment', ['run_id', 'arrival'], unique=True, postgresql_where=sa.text("state = 'waitlisted'"))

    # What was entered stays entered: corrections are new entries.
    op.execute(
        """
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$;
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger_entry
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_entry
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
        """
    )


def downgrade() -> None:
    op.drop_index('ix_enrollment_waiting', table_name='enrollment', postgresql_where=sa.text("state = 'waitlisted'"))
    op.drop_index(op.f('ix_enrollment_pool_id'), table_name='enrollment')
    op.drop_index(op.f('ix_enrollment_person_id'), table_name='enrollment')
    op.drop_table('enrollment')
    op.drop_table('seat_pool')
    op.drop_index(op.f('ix_run_teacher_person_id'), table_name='run_teacher')
    op.drop_table('run_teacher')
    op.drop_index(op.f('ix_ledger_entry_transaction_id'), table_name='ledger_entry')
    op.drop_index(op.f('ix_ledger_entry_budget_id_account'), table_name='ledger_entry')
    op.drop_table('ledger_entry')
    op.drop_index(op.f('ix_unit_lab_template_id'), table_name='unit')
    op.drop_table('unit')
    op.drop_index(op.f('ix_ledger_transaction_hold_id'), table_name='ledger_transaction')
    op.drop_table('ledger_transaction')
    op.drop_table('lab_template_flavor')
    op.drop_index('uq_lab_session_live', table_name='lab_session', postgresql_where=sa.text("state IN ('reserved', 'starting', 'running', 'stopping')"))
    op.drop_index('ix_lab_session_to_forget', table_name='lab_session', postgresql_where=sa.text("state IN ('settled', 'voided') AND forgotten_at IS NULL"))
    op.drop_index(op.f('ix_lab_session_person_id_created_at'), table_name='lab_session')
    op.drop_index('ix_lab_session_live_center', table_name='lab_session', postgresql_where=sa.text("state IN ('reserved', 'starting', 'running', 'stopping')"))
    op.drop_index(op.f('ix_lab_session_budget_id_created_at'), table_name='lab_session')
    op.drop_table('lab_session')
    op.drop_index(op.f('ix_hold_part_tranche_id'), table_name='hold_part')
    op.drop_table('hold_part')
    op.drop_index(op.f('ix_course_run_version_id'), table_name='course_run')
    op.drop_table('course_run')
    op.drop_index(op.f('ix_access_token_sign_in_id'), table_name='access_token')
    op.drop_index(op.f('ix_access_token_code_id'), table_name='access_token')
    op.drop_table('access_token')
    op.drop_index(op.f('ix_tranche_budget_id_valid_until'), table_name='tranche')
    op.drop_table('tranche')
    op.drop_table('purse')
    op.drop_index(op.f('ix_member_cap_person_id'), table_name='member_cap')
    op.drop_table('member_cap')
    op.drop_table('lab_file')
    op.drop_index(op.f('ix_hold_person_id'), table_name='hold')
    op.drop_index(op.f('ix_hold_budget_id_state'), table_name='hold')
    op.drop_table('hold')
    op.drop_index(op.f('ix_flavor_center_id'), table_name='flavor')
    op.drop_table('flavor')
    op.drop_index('uq_course_version_working', table_name='course_version', postgresql_where=sa.text('published_at IS NULL'))
    op.drop_table('course_version')
    op.drop_index(op.f('ix_budget_manager_person_id'), table_name='budget_manager')
    op.drop_table('budget_manager')
    op.drop_table('authorization_code')
    op.drop_index(op.f('ix_sign_in_person_id'), table_name='sign_in')
    op.drop_table('sign_in')
    op.drop_index(op.f('ix_platform_role_grant_person_id'), table_name='platform_role_grant')
    op.drop_table('platform_role_grant')
    op.drop_index(op.f('ix_personal_token_person_id'), table_name='personal_token')
    op.drop_table('personal_token')
    op.drop_index('ix_notice_unread', table_name='notice', postgresql_where=sa.text('read_at IS NULL'))
    op.drop_index(op.f('ix_notice_person_id'), table_name='notice')
    op.drop_table('notice')
    op.drop_index('uq_membership_number', table_name='membership', postgresql_where=sa.text('number IS NOT NULL'))
    op.drop_index(op.f('ix_membership_person_id'), table_name='membership')
    op.drop_index(op.f('ix_membership_partner_id'), table_name='membership')
    op.drop_table('membership')
    op.drop_index(op.f('ix_lab_template_partner_id'), table_name='lab_template')
    op.drop_table('lab_template')
    op.drop_index(op.f('ix_course_partner_id'), table_name='course')
    op.drop_index(op.f('ix_course_owner_id'), table_name='course')
    op.drop_table('course')
    op.drop_table('center')
    op.drop_index(op.f('ix_budget_partner_id'), table_name='budget')
    op.drop_index(op.f('ix_budget_parent_id'), table_name='budget')
    op.drop_table('budget')
    op.drop_index('uq_person_email_lower', table_name='person')
    op.drop_table('person')
    op.drop_table('partner')
    op.drop_index(op.f('ix_audit_entry_subject_subject_id'), table_name='audit_entry')
    op.drop_index(op.f('ix_audit_entry_partner_id'), table_name='audit_entry')
    op.drop_index(op.f('ix_audit_entry_created_at'), table_name='audit_entry')
    op.drop_index(op.f('ix_audit_entry_actor_id'), table_name='audit_entry')
    op.drop_table('audit_entry')
    op.drop_table('attempt_count')
    op.execute("DROP FUNCTION refuse_change()")
