"""Who may do what with partners and people: pure functions of the actor and the row's ids."""

from uuid import UUID

from app.access import Actor, PlatformRole

WITH_SECOND_FACTOR = frozenset({PlatformRole.OPERATOR, PlatformRole.ADMINISTRATOR})  # who may harm everybody


def may_manage_partners(actor: Actor) -> bool:
    """Partners are opened and changed by the platform's administrators."""
    return actor.is_administrator


def may_see_people(actor: Actor, partner_id: UUID) -> bool:
    """Who studies and works at a partner is its administrators' to see; for others the list does not exist."""
    return actor.administers(partner_id)


def may_manage_people(actor: Actor, partner_id: UUID) -> bool:
    return actor.administers(partner_id)


def may_create_people(actor: Actor) -> bool:
    """Whoever administers a partner brings people in; what they become there is asked separately."""
    return actor.is_administrator or bool(actor.administered_partner_ids)


def may_change_person(actor: Actor, person_id: UUID) -> bool:
    """One's own account, or any for the platform's administrators. A program with a token changes none."""
    return actor.scopes is None and (actor.person_id == person_id or actor.is_administrator)


def may_close_accounts(actor: Actor) -> bool:
    return actor.is_administrator and actor.scopes is None


def may_grant_platform_roles(actor: Actor) -> bool:
    return actor.is_administrator and actor.scopes is None


def may_hold_tokens(actor: Actor) -> bool:
    """Tokens are made and revoked by a person in a browser: a stolen token makes no further ones."""
    return actor.is_signed_in and actor.scopes is None


def may_hold_service_tokens(actor: Actor, partner_id: UUID | None) -> bool:
    """A partner's administrators, in a browser; those of the platform for the platform itself."""
    holds = actor.is_administrator if partner_id is None else actor.administers(partner_id)
    return holds and actor.is_signed_in and actor.scopes is None


def needs_second_factor(actor: Actor) -> bool:
    """Whoever may harm everybody proves more than a password."""
    return bool(WITH_SECOND_FACTOR & actor.platform_roles)


def may_connect_providers(actor: Actor) -> bool:
    """Whoever connects an identity provider decides who may say who somebody is."""
    return actor.is_administrator and actor.scopes is None


def may_see_trail(actor: Actor) -> bool:
    """All that was changed anywhere, with addresses."""
    return actor.is_administrator


def may_change_partner(actor: Actor, partner_id: UUID) -> bool:
    """Its contacts, logo and time zone are the partner's own; names, domains and agreements are the platform's."""
    return actor.administers(partner_id)


def may_see_contacts(actor: Actor, partner_id: UUID) -> bool:
    """Whoever belongs to a partner may know whom to ask there."""
    return partner_id in actor.memberships or actor.administers(partner_id) or actor.may_operate


def may_merge_people(actor: Actor) -> bool:
    """That two accounts are one human is for the platform's administrators to find out."""
    return actor.is_administrator and actor.scopes is None


def may_see_accounts(actor: Actor) -> bool:
    """Everybody's account, whatever partner they belong to."""
    return actor.is_administrator and actor.scopes is None


def may_export(actor: Actor, person_id: UUID) -> bool:
    """One's own data, and nobody else's."""
    return actor.person_id == person_id


def may_erase_people(actor: Actor) -> bool:
    return actor.is_administrator and actor.scopes is None
