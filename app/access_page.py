"""The matrix of roles and actions as people read it: /administration/access, docs/access.md, `chancai access`."""

from pathlib import Path

import click
from flask import Blueprint, Flask, current_app, render_template
from flask.cli import AppGroup

from app.access import current_actor, signed_in
from app.access_matrix import NAMES, Action, Outcome, Section, Walker
from app.errors import NotFound
from app.locale import reading_as

PAGE = Path(__file__).parents[1] / "docs" / "access.md"
COLUMNS = tuple(walker for walker in Walker if walker is not Walker.EXPIRED)
MARKS = {Outcome.ALLOWED: "●", Outcome.SIGN_IN: "401", Outcome.FORBIDDEN: "403", Outcome.HIDDEN: "404"}
HEAD = """# Who may do what

Made by `chancai access write` from the tables that the code is tested against: a test walks every route, of the API
and of the pages, as each of these people and with an expired token, and compares. Edit `*/access_matrix.py` instead.

“The run” belongs to a course of one university, “the university”, and its seats are kept for that university's people.
What is personal, such as a lab, a token or a notice, belongs to the student of the run.

● may; 401 is asked to sign in; 403 is told that they may not; 404 is told the same as when there is no such thing. An
expired token gets 401 from the whole API; pages never look at tokens. A valid one reaches what its person reaches on
the API, and of that only what its scopes name.
"""

blp = Blueprint("access", __name__)


def init_app(app: Flask, sections: list[Section]) -> None:
    app.extensions["access_matrix"] = sections
    app.register_blueprint(blp)
    group = AppGroup("access", help="Who may do what.")

    @group.command("show")
    def show_table() -> None:
        """Print the table of roles and actions."""
        click.echo(markdown(), nl=False)

    @group.command("write")
    def write_page() -> None:
        """Write docs/access.md anew."""
        PAGE.write_text(markdown())

    app.cli.add_command(group)


@blp.get("/administration/access")
@signed_in
def show() -> str:
    """Show which role may do what. For the platform's administrators."""
    if not current_actor().is_administrator:
        raise NotFound
    return render_template(
        "access.html", sections=matrix(), columns=[(walker, NAMES[walker]) for walker in COLUMNS], cell=cell
    )


def matrix() -> list[Section]:
    sections: list[Section] = current_app.extensions["access_matrix"]
    return sections


def cell(action: Action, walker: Walker) -> Outcome:
    """What somebody gets from the routes of an action; they all answer the same."""
    return action.outcome(walker, action.routes[0])


def markdown() -> str:
    """The whole table in English, with each action's routes and the scope that a token needs."""
    with reading_as("en", "UTC"):
        return "\n".join([HEAD, *(_section(section) for section in matrix())])


def _section(section: Section) -> str:
    names = [str(NAMES[walker]) for walker in COLUMNS]
    lines = [f"## {section.title}", _line(["Action", *names]), _line(["---", *[":-:"] * len(names)])]
    lines += [_line([str(a.title), *(MARKS[cell(a, walker)] for walker in COLUMNS)]) for a in section.actions]
    lines += ["", *(_routes(action) for action in section.actions), ""]
    return "\n".join(lines)


def _routes(action: Action) -> str:
    return f"- {action.title}: " + ", ".join(f"`{route}`" for route in action.routes)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
