"""Who gets what from the routes of labs and budgets; the words are explained in app/access_matrix.py."""

from flask_babel import lazy_gettext as _

from app.access_matrix import NO_PERSON, OPERATORS, OWNER, PARTNER, SIGNED_IN, TEACHING, Action, Section, Walker

SEES_THE_LAB = OWNER | TEACHING | PARTNER | OPERATORS
SEES_THE_BUDGET = TEACHING | PARTNER | OPERATORS
SEES_THE_PARTNERS_BUDGET = PARTNER | OPERATORS
ASKER = frozenset({Walker.TEACHER})  # whose request it is

MATRIX = (
    Section(
        _("Labs"),
        (
            Action(_("See one's own labs"), SIGNED_IN, "GET /labs", "GET /api/v1/lab-sessions/"),
            Action(
                _("See a lab and what it costs"),
                SEES_THE_LAB,
                "GET /labs/<session_id>",
                "GET /labs/<session_id>/status",
                "GET /api/v1/lab-sessions/<session_id>",
            ),
            Action(
                _("Take the place that is kept for a lab in line"),
                OWNER,
                "POST /labs/<session_id>/accept",
                "POST /api/v1/lab-sessions/<session_id>/accept",
                told=SEES_THE_LAB,
            ),
            Action(
                _("List what was decided on one's own requests for compute, and on budgets one looks after"),
                SIGNED_IN,
                "GET /labs/decisions",
                "GET /labs/decisions.csv",
                "GET /api/v1/decisions/",
            ),
            Action(
                _("Read why a lab was granted or refused"),
                SEES_THE_LAB,
                "GET /labs/decisions/<decision_id>",
                "GET /api/v1/decisions/<decision_id>",
            ),
            Action(_("Go inside a lab"), OWNER, "GET /labs/<session_id>/open", told=SEES_THE_LAB),
            Action(
                _("Stop a lab"),
                SEES_THE_LAB,
                "POST /labs/<session_id>/stop",
                "POST /api/v1/lab-sessions/<session_id>/stop",
            ),
            Action(
                _("Keep a lab running in which nothing runs"),
                OWNER,
                "POST /labs/<session_id>/keep-alive",
                "POST /api/v1/lab-sessions/<session_id>/keep-alive",
                told=SEES_THE_LAB,
            ),
            Action(
                _("Ask to look into a student's lab, and look after a yes"),
                TEACHING,
                "POST /labs/<session_id>/looks",
                "POST /labs/<session_id>/look",
                "POST /api/v1/lab-sessions/<session_id>/looks",
                told=SEES_THE_LAB,
            ),
            Action(
                _("Say yes or no to somebody who asks to look"),
                OWNER,
                "POST /labs/looks/<look_id>/answer",
                "POST /api/v1/lab-looks/<look_id>/answer",
                told=SEES_THE_LAB,
            ),
            Action(
                _("End somebody's look, or one's own"),
                OWNER | {Walker.TEACHER},  # the teacher is the one who asked
                "POST /labs/looks/<look_id>/end",
                "POST /api/v1/lab-looks/<look_id>/end",
                told=SEES_THE_LAB,
            ),
            Action(_("See who looked into a lab"), SEES_THE_LAB, "GET /api/v1/lab-sessions/<session_id>/looks"),
            Action(
                _("See who looked into one's labs; see and open one's files at the centers"),
                SIGNED_IN,
                "GET /api/v1/lab-looks/",
                "GET /api/v1/me/storage",
                "POST /labs/files",
                "POST /api/v1/centers/<slug>/files",
            ),
            Action(
                _("Ask whether a server may start, say that it has stopped, and what labs do (hubs)"),
                NO_PERSON,
                "POST /internal/admission",
                "POST /internal/ended",
                "POST /internal/labs",
                is_machine=True,
            ),
        ),
    ),
    Section(
        _("Compute budgets"),
        (
            Action(_("List the budgets one looks after"), SIGNED_IN, "GET /api/v1/budgets/"),
            Action(
                _("See a run's budget, who draws on it, and what it paid for"),
                SEES_THE_BUDGET,
                "GET /budgets/<budget_id>",
                "GET /budgets/<budget_id>/sessions.csv",
                "GET /api/v1/budgets/<budget_id>",
                "GET /api/v1/budgets/<budget_id>/members",
                "GET /api/v1/budgets/<budget_id>/sessions",
            ),
            Action(
                _("See how a run's budget burns down, and how long it will last"),
                SEES_THE_BUDGET,
                "GET /api/v1/budgets/<budget_id>/burn-down",
                "GET /api/v1/budgets/<budget_id>/tranches",
            ),
            Action(
                _("Change a member's share"),
                TEACHING | PARTNER,
                "POST /budgets/<budget_id>/members/<person_id>",
                "PUT /api/v1/budgets/<budget_id>/members/<person_id>",
                "POST /api/v1/budgets/<budget_id>/shares",
                told=SEES_THE_BUDGET,
            ),
            Action(
                _("Open a budget below another one"),
                PARTNER,
                "POST /api/v1/budgets/<budget_id>/below",
                told=SEES_THE_PARTNERS_BUDGET,
            ),
            Action(
                _("Change a run's budget, and move credits between budgets of a partner"),
                PARTNER,
                "PATCH /api/v1/budgets/<budget_id>",
                "POST /api/v1/budgets/<budget_id>/moves",
                told=SEES_THE_BUDGET,
            ),
            Action(
                _("Pass credits on to a run's budget"),
                PARTNER,
                "POST /budgets/<budget_id>/fund",
                "POST /api/v1/budgets/<budget_id>/transfers",
                told=SEES_THE_BUDGET,
            ),
            Action(
                _("See all budgets of a partner"),
                SEES_THE_PARTNERS_BUDGET,
                "GET /partners/<slug>/budget",
                "GET /api/v1/partners/<slug>/budgets",
            ),
            Action(
                _("Open a partner's own budget"),
                OPERATORS,
                "POST /api/v1/partners/<slug>/budgets",
                told=SEES_THE_PARTNERS_BUDGET,
            ),
            Action(
                _("Grant a partner credits"),
                OPERATORS,
                "POST /budgets/<budget_id>/grant",
                "POST /api/v1/budgets/<budget_id>/grants",
                told=SEES_THE_PARTNERS_BUDGET,
            ),
        ),
    ),
    Section(
        _("Requests for compute"),
        (
            Action(_("List the requests for compute one may see"), SIGNED_IN, "GET /api/v1/compute-requests/"),
            Action(
                _("Ask for more compute for a run"),
                TEACHING | PARTNER,
                "POST /api/v1/compute-requests/",
                told=SEES_THE_BUDGET,
            ),
            Action(
                _("See a request for a run's budget"),
                SEES_THE_BUDGET,
                "GET /api/v1/compute-requests/<request_id>",
            ),
            Action(
                _("Decide on a request for credits that the partner has"),
                PARTNER,
                "POST /api/v1/compute-requests/<request_id>/approve",
                "POST /api/v1/compute-requests/<request_id>/decline",
                told=SEES_THE_BUDGET,
            ),
            Action(
                _("Withdraw one's own request"),
                ASKER,
                "POST /api/v1/compute-requests/<request_id>/withdraw",
                told=SEES_THE_BUDGET,
            ),
        ),
    ),
    Section(
        _("Computing centers"),
        (
            Action(_("List the centers with their flavors and prices"), SIGNED_IN, "GET /api/v1/centers/"),
            Action(_("Watch all centers and labs"), OPERATORS, "GET /operations", told=SIGNED_IN),
            Action(
                _("Read and accept the terms of use of a center"),
                SIGNED_IN,
                "GET /centers/<slug>/terms",
                "POST /centers/<slug>/terms/accept",
                "GET /api/v1/centers/<slug>/terms",
                "POST /api/v1/centers/<slug>/terms/<number>/acceptance",
            ),
            Action(
                _("Publish the terms of use of a center"),
                OPERATORS,
                "POST /centers/<slug>/terms",
                "POST /api/v1/centers/<slug>/terms",
                told=SIGNED_IN,
            ),
            Action(
                _("Open a center, let it drain, or close it"),
                OPERATORS,
                "POST /operations/centers/<slug>/state",
                "PATCH /api/v1/centers/<slug>",
                told=SIGNED_IN,
            ),
        ),
    ),
)
