"""The outside world of accounts: a partner's identity provider. Knows no tables and no rules."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Departure:
    """Where to send the browser, and what must be remembered until it comes back."""

    url: str
    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True)
class Arrival:
    """Who came back, as the provider says. Only issuer and subject identify; the rest are hints."""

    issuer: str
    subject: str
    name: str | None
    email: str | None


class ProviderError(Exception):
    """The provider did not give what was asked. Never carries a secret, a code or a token."""


class ProviderUnreachable(ProviderError):
    """No answer in time: try later."""


class ProviderRefused(ProviderError):
    """It answered, and the answer does not prove who this is."""
