"""Who gets what from the routes of courses and runs; the words are explained in app/access_matrix.py."""

from flask_babel import lazy_gettext as _

from app.access_matrix import EVERYBODY, OWNER, PARTNER, SIGNED_IN, TEACHING, Action, Section, Walker

SEES_THE_CLASS = TEACHING | PARTNER
STUDIES = OWNER | SEES_THE_CLASS
SEES_THE_RUN = STUDIES | {Walker.OTHER_TEACHER}  # could have one of its seats

MATRIX = (
    Section(
        _("Courses and runs"),
        (
            Action(
                _("Look through the catalog"),
                EVERYBODY,
                "GET /courses",
                "GET /courses/<slug>",
                "GET /api/v1/courses",
                "GET /api/v1/courses/<slug>",
            ),
            Action(
                _("See a run whose seats are kept for one university"),
                SEES_THE_RUN,
                "GET /runs/<run_id>",
                "GET /api/v1/runs/<run_id>",
                is_open=True,
            ),
            Action(
                _("Enroll in it"),
                SEES_THE_RUN,
                "POST /runs/<run_id>/enroll",
                "POST /api/v1/runs/<run_id>/enrollments",
            ),
            Action(
                _("Give one's seat back"),
                OWNER,
                "POST /runs/<run_id>/withdraw",
                "DELETE /api/v1/runs/<run_id>/enrollments",
                told=SEES_THE_RUN,
            ),
            Action(
                _("Read a unit"),
                STUDIES,
                "GET /runs/<run_id>/units/<unit_id>",
                "GET /api/v1/runs/<run_id>/units/<unit_id>",
                told=SEES_THE_RUN,
            ),
            Action(
                _("Launch a lab that the run pays for"),
                OWNER | TEACHING,
                "POST /runs/<run_id>/units/<unit_id>/launch",
                "GET /api/v1/runs/<run_id>/units/<unit_id>/launch-panel",
                "POST /api/v1/runs/<run_id>/units/<unit_id>/sessions",
                told=SEES_THE_RUN,
            ),
        ),
    ),
    Section(
        _("Teaching"),
        (
            Action(_("List the runs one teaches"), SIGNED_IN, "GET /teaching"),
            Action(
                _("See the class, and export it"),
                SEES_THE_CLASS,
                "GET /runs/<run_id>/class",
                "GET /runs/<run_id>/class/live",
                "GET /runs/<run_id>/class.csv",
                "GET /api/v1/runs/<run_id>/class",
                "GET /api/v1/runs/<run_id>/roster",
                told=SEES_THE_RUN,
            ),
            Action(
                _("Say when labs of a unit count as idle"),
                PARTNER | {Walker.TEACHER},
                "POST /runs/<run_id>/units/<unit_id>/idle",
                "PUT /api/v1/runs/<run_id>/units/<unit_id>/idle",
                told=SEES_THE_RUN,
            ),
            Action(
                _("Say where the data of a unit's labs may lie"),
                PARTNER | {Walker.TEACHER},
                "POST /runs/<run_id>/units/<unit_id>/region",
                "PUT /api/v1/runs/<run_id>/units/<unit_id>/region",
                told=SEES_THE_RUN,
            ),
            Action(
                _("Enroll somebody else, remove somebody, stop or extend labs of the class"),
                SEES_THE_CLASS,
                "POST /runs/<run_id>/class/people",
                "POST /runs/<run_id>/class/removals",
                "DELETE /api/v1/runs/<run_id>/enrollments/<person_id>",
                "POST /runs/<run_id>/class/labs/<session_id>/stop",
                "POST /runs/<run_id>/class/labs",
                "POST /api/v1/runs/<run_id>/class/actions",
                told=SEES_THE_RUN,
            ),
        ),
    ),
)
