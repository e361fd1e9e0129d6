"""What services raise when a rule says no. HTTP is unknown here; `app.problems` translates."""

from dataclasses import dataclass
from typing import ClassVar

from flask_babel import LazyString
from flask_babel import lazy_gettext as _


@dataclass(frozen=True)
class Remedy:
    """What somebody who was refused can do next: a stable code, words, and where to go."""

    code: str
    text: str | LazyString
    url: str | None = None


class DomainError(Exception):
    """Base of every refusal. `code` is part of the API and never changes.

    `advice` says what to do next, in general; `remedies` of one refusal say it for this case.
    """

    code: ClassVar[str]
    title: ClassVar[str | LazyString]
    advice: ClassVar[str | LazyString] = ""

    def __init__(
        self, detail: str | LazyString | None = None, *, remedies: tuple[Remedy, ...] = (), **members: object
    ) -> None:
        super().__init__(self.code)
        self.detail = detail
        self.remedies = remedies
        self.members = members

    def __str__(self) -> str:
        return f"{self.code}: {self.detail or ''} {self.members or ''}".strip()


class NotFound(DomainError):
    code = "not-found"
    title = _("There is no such thing, or you may not see it")
    advice = _("Check the address. If somebody gave you the link, ask them whether you were given access.")


class Forbidden(DomainError):
    code = "forbidden"
    title = _("You may not do this")
    advice = _("Ask the person who runs the course or your university's administrator.")


class SignInRequired(DomainError):
    code = "sign-in-required"
    title = _("Please sign in")
    advice = _("Sign in, and you come back to where you were. A program sends a valid token.")


class Conflict(DomainError):
    """The request is fine; the state of the world is not."""

    code = "conflict"
    title = _("This is not possible now")
    advice = _("Load the page again to see what has changed.")


class Invalid(DomainError):
    """The request itself is wrong; sending it again cannot help."""

    code = "invalid-input"
    title = _("The input is not valid")
    advice = _("Correct what is named and send it again.")


class TooMany(DomainError):
    """Too often in too short a time. `retry_after` (seconds) becomes a header."""

    code = "too-many-requests"
    title = _("Too many requests")
    advice = _("Wait a moment and try again.")

    def __init__(self, detail: str | LazyString | None = None, *, retry_after: int, **members: object) -> None:
        super().__init__(detail, remedies=(), retry_after=retry_after, **members)
        self.retry_after = retry_after


class Unavailable(DomainError):
    """Something outside does not answer; nothing was done. `retry_after` (seconds) becomes a header."""

    code = "unavailable"
    title = _("This service is not available at the moment")
    advice = _("Nothing was changed. Try again in a moment.")

    def __init__(self, detail: str | LazyString | None = None, *, retry_after: int = 5, **members: object) -> None:
        super().__init__(detail, remedies=(), retry_after=retry_after, **members)
        self.retry_after = retry_after
