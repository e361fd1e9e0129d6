"""The pages of accounts, one module for each place: sign-in, profile, notices, a partner's people, OpenID Connect."""

from accounts.pages import (
    accounts_admin,
    claim,
    home_sign_in,
    mail,
    my_data,
    notices,
    oidc,
    partner,
    partners,
    password_reset,
    profile,
    second_factor,
    service_tokens,
    sign_in,
    trail,
)

BLUEPRINTS = (
    claim.blp,
    home_sign_in.blp,
    sign_in.blp,
    password_reset.blp,
    profile.blp,
    second_factor.blp,
    service_tokens.blp,
    notices.blp,
    partners.blp,
    partner.blp,
    accounts_admin.blp,  # all of /administration
    oidc.blp,
    trail.blp,
    mail.blp,
    my_data.blp,
)
