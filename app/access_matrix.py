"""The words in which every domain declares who gets what from its routes; a test walks each of them as everybody.

A row is one thing that can be done, with all routes that do it, so that pages and API obey alike:

    Action(_("Go inside a lab"), OWNER, "GET /labs/<session_id>/open", told=SEES_THE_LAB)

means: whose lab it is goes inside; who may see it is told that it is not theirs (403); for everybody else
there is no such lab (404); and whoever has not signed in is asked to.
"""

from dataclasses import dataclass
from enum import StrEnum

from flask_babel import LazyString
from flask_babel import lazy_gettext as _


class Walker(StrEnum):
    """Who walks every route. "The run" belongs to a course of one university, "the own one"; its seats are for
    that university's people, and what is personal (a lab, a token, a notice) belongs to its student."""

    NOBODY = "nobody"
    EXPIRED = "expired"
    OUTSIDER = "outsider"
    STUDENT = "student"
    OTHER_TEACHER = "other-teacher"
    ASSISTANT = "assistant"
    TEACHER = "teacher"
    OTHER_ADMIN = "other-admin"
    ADMIN = "admin"
    COORDINATOR = "coordinator"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"


class Outcome(StrEnum):
    """What a walker gets, in classes: a full run (409) or a wrong form (422) is still an open door."""

    ALLOWED = "allowed"
    SIGN_IN = "sign-in"  # 401, or the way to the sign-in page
    FORBIDDEN = "forbidden"  # 403
    HIDDEN = "hidden"  # 404, the same as for what does not exist


NAMES: dict[Walker, LazyString] = {
    Walker.NOBODY: _("Not signed in"),
    Walker.EXPIRED: _("An expired token"),
    Walker.OUTSIDER: _("Student of another university"),
    Walker.STUDENT: _("Student of the run"),
    Walker.OTHER_TEACHER: _("Teacher of another course"),
    Walker.ASSISTANT: _("Assistant of the run"),
    Walker.TEACHER: _("Teacher of the run"),
    Walker.OTHER_ADMIN: _("Administrator of another university"),
    Walker.ADMIN: _("Administrator of the university"),
    Walker.COORDINATOR: _("Coordinator"),
    Walker.OPERATOR: _("Operator"),
    Walker.ADMINISTRATOR: _("Administrator of the platform"),
}

Walkers = frozenset[Walker]

EVERYBODY: Walkers = frozenset(Walker)
STRANGERS: Walkers = frozenset({Walker.NOBODY, Walker.EXPIRED})
SIGNED_IN: Walkers = EVERYBODY - STRANGERS
NO_PERSON: Walkers = frozenset()

OWNER: Walkers = frozenset({Walker.STUDENT})  # whose token, lab, notice, … it is
ADMINISTRATORS: Walkers = frozenset({Walker.ADMINISTRATOR})  # of the platform
OPERATORS: Walkers = frozenset({Walker.OPERATOR}) | ADMINISTRATORS
PARTNER: Walkers = frozenset({Walker.ADMIN}) | ADMINISTRATORS  # who administer the partner
AT_THE_PARTNER: Walkers = frozenset(
    {Walker.STUDENT, Walker.OTHER_TEACHER, Walker.ASSISTANT, Walker.TEACHER, Walker.ADMIN}
)
TEACHING: Walkers = frozenset({Walker.TEACHER, Walker.ASSISTANT})


class Action:
    """One thing that can be done, who may, and the routes ("POST /labs/<session_id>/stop") that do it.

    `told` know of it and may not: they get 403, where others get 404. With `is_open` strangers may knock, and where
    they may not enter there is no such thing for them either. With `is_machine` another part of the installation
    calls it, with a secret of its own.
    """

    def __init__(
        self,
        title: LazyString | str,
        allowed: Walkers,
        *routes: str,
        told: Walkers = NO_PERSON,
        is_open: bool = False,
        is_machine: bool = False,
    ) -> None:
        self.title = title
        self.allowed = allowed
        self.routes = routes
        self.told = told
        self.is_open = is_open
        self.is_machine = is_machine

    def outcome(self, walker: Walker, route: str) -> Outcome:
        """What this walker gets there. The API refuses a token that has expired; pages never look at one."""
        if walker is Walker.EXPIRED:
            return Outcome.SIGN_IN if is_api(route) else self.outcome(Walker.NOBODY, route)
        if walker in self.allowed:
            return Outcome.ALLOWED
        if self.is_machine or (walker is Walker.NOBODY and not self.is_open):
            return Outcome.SIGN_IN
        return Outcome.FORBIDDEN if walker in self.told else Outcome.HIDDEN


@dataclass(frozen=True)
class Section:
    """What belongs together in the table."""

    title: LazyString | str
    actions: tuple[Action, ...]


def is_api(route: str) -> bool:
    return route.partition(" ")[2].startswith("/api/v1/")


MATRIX = (
    Section(
        _("The site"),
        (
            Action(
                _("See the home page, choose a language, read what messages mean"),
                EVERYBODY,
                "GET /",
                "POST /language",
                "GET /problems",
                "GET /problems/<code>",
                "GET /static/<path>",
            ),
            Action(_("Read how the API works"), EVERYBODY, "GET /api/docs", "GET /api/v1/openapi.json"),
            Action(
                _("Ask whether the platform is well"), EVERYBODY, "GET /healthz", "GET /healthz/worker", "GET /readyz"
            ),
            Action(_("Read the figures of the platform (Prometheus)"), NO_PERSON, "GET /metrics", is_machine=True),
            Action(_("See who may do what"), ADMINISTRATORS, "GET /administration/access"),
        ),
    ),
)
