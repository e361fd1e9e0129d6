"""Who is acting, and the mark every route carries to say who may call it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import wraps
from typing import Any, TypeVar, cast
from uuid import UUID

from flask_babel import gettext as _
from flask_login import current_user

from app.errors import Forbidden, SignInRequired
from app.locale import language

View = TypeVar("View", bound=Callable[..., Any])


class PlatformRole(StrEnum):
    """Power over the whole platform, granted for a period; independent of any partner."""

    ADMINISTRATOR = "administrator"
    OPERATOR = "operator"
    COORDINATOR = "coordinator"


class MemberRole(StrEnum):
    """What a person is at one partner."""

    STUDENT = "student"
    ASSISTANT = "assistant"
    TEACHER = "teacher"
    ADMINISTRATOR = "administrator"


@dataclass(frozen=True)
class Actor:
    """Whoever a service works for: plain data, so rules need no request and no database."""

    person_id: UUID | None
    name: str = ""
    email: str = ""
    platform_roles: frozenset[PlatformRole] = frozenset()
    memberships: dict[UUID, frozenset[MemberRole]] = field(default_factory=dict)  # by partner
    partners: dict[UUID, tuple[str, str, str]] = field(default_factory=dict)  # slug, title_zh, title_en
    scopes: frozenset[str] | None = None  # what a token may do; None: no token, everything the person may

    @property
    def is_signed_in(self) -> bool:
        return self.person_id is not None

    @property
    def is_administrator(self) -> bool:
        return PlatformRole.ADMINISTRATOR in self.platform_roles

    @property
    def may_operate(self) -> bool:
        return bool({PlatformRole.OPERATOR, PlatformRole.ADMINISTRATOR} & self.platform_roles)

    @property
    def may_teach(self) -> bool:
        return self.is_administrator or any(
            {MemberRole.TEACHER, MemberRole.ASSISTANT} & roles for roles in self.memberships.values()
        )

    def has_role(self, partner_id: UUID | None, *roles: MemberRole) -> bool:
        return partner_id is not None and bool(self.memberships.get(partner_id, frozenset()) & set(roles))

    def administers(self, partner_id: UUID | None) -> bool:
        return self.is_administrator or self.has_role(partner_id, MemberRole.ADMINISTRATOR)

    @property
    def administered_partner_ids(self) -> set[UUID]:
        return {p for p, roles in self.memberships.items() if MemberRole.ADMINISTRATOR in roles}

    @property
    def administered_partners(self) -> list[tuple[str, str]]:
        """Slug and name, in the reader's language, of the partners this person administers."""
        rows = [self.partners[partner_id] for partner_id in self.administered_partner_ids]
        return sorted((slug, zh if language() == "zh_CN" else en) for slug, zh, en in rows)


NOBODY = Actor(person_id=None)
SYSTEM = Actor(
    person_id=None,
    name="system",
    platform_roles=frozenset({PlatformRole.ADMINISTRATOR, PlatformRole.OPERATOR}),
)


def current_actor() -> Actor:
    """Return who sent this request; `accounts.sign_on` puts the loaded person behind `current_user`."""
    return cast(Actor, current_user.actor) if current_user.is_authenticated else NOBODY


def require(allowed: bool, detail: str | None = None) -> None:
    if not allowed:
        raise Forbidden(detail)


def require_person(actor: Actor) -> UUID:
    """Return the id of the person who acts; services that need a human call this first."""
    if actor.person_id is None and actor.scopes is not None:
        raise Forbidden(_("This token belongs to nobody in particular, and this needs a person."))
    if actor.person_id is None:
        raise SignInRequired
    return actor.person_id


def public(view: View) -> View:
    """Anyone may call this route."""
    view.access = "public"  # type: ignore[attr-defined]
    return view


def signed_in(view: View) -> View:
    """A signed-in person or a token may call this route; the service decides the rest."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if not current_user.is_authenticated:
            raise SignInRequired
        return view(*args, **kwargs)

    wrapper.access = "signed_in"  # type: ignore[attr-defined]
    return cast(View, wrapper)


def scope(name: str) -> Callable[[View], View]:
    """A token needs this scope for the route (`labs:launch`, …); people who signed in need none."""

    def mark(view: View) -> View:
        @wraps(view)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            granted = current_actor().scopes
            if granted is not None and name not in granted:
                raise Forbidden(scope=name)
            return view(*args, **kwargs)

        wrapper.scope = name  # type: ignore[attr-defined]
        return cast(View, wrapper)

    return mark


def people_only(view: View) -> View:
    """No token reaches this route, whatever its scopes: a person does this in a browser."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if current_actor().scopes is not None:
            raise Forbidden
        return view(*args, **kwargs)

    wrapper.scope = None  # type: ignore[attr-defined]
    return cast(View, wrapper)


def internal(view: View) -> View:
    """Another part of the installation calls this route; the view itself checks that part's secret."""
    view.access = "internal"  # type: ignore[attr-defined]
    return view
