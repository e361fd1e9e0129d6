"""Why courses say no: each refusal by name, with a code that never changes."""

from flask_babel import lazy_gettext as _

from app.errors import Conflict, Forbidden
from labs.errors import LaunchRefused, RefusalClass


class SlugTaken(Conflict):
    code = "slug-taken"
    title = _("This short name is in use")
    advice = _("Choose another one.")


class NothingToPublish(Conflict):
    code = "nothing-to-publish"
    title = _("There is nothing new to publish")
    advice = _("Add units to the version that is being written, then publish it.")


class VersionIsFixed(Conflict):
    code = "version-is-fixed"
    title = _("A published version never changes")
    advice = _("Start a new version of the course. Runs keep the one they were opened with.")


class NotPublished(Conflict):
    code = "course-not-published"
    title = _("This course has no published version")
    advice = _("Publish it first.")


class CourseArchived(Conflict):
    code = "course-archived"
    title = _("This course is archived")
    advice = _("Its runs go on to their end; new ones cannot be opened.")


class SeatsTaken(Conflict):
    code = "seats-taken"
    title = _("More seats are taken than that")
    advice = _("Choose a number that is not below the seats already taken.")


class RunCanceled(LaunchRefused):
    code = "run-canceled"
    title = _("This run was canceled")
    advice = _("Look in the catalog for another run of the course.")
    reason = "RUN_CANCELED"


class RunNotOpen(LaunchRefused):
    """Its first day is still to come. `opens_at` says when."""

    code = "run-not-open"
    title = _("This run has not started yet")
    advice = _("Its labs open with its first day. Come back then.")
    reason = "RUN_NOT_OPEN"
    kind = RefusalClass.TEMPORARY


class RunEnded(LaunchRefused):
    """It is over. `ended_at` says since when."""

    code = "run-ended"
    title = _("This run is over")
    advice = _("Look in the catalog for the next run of the course.")
    reason = "RUN_ENDED"


class EnrollmentClosed(Conflict):
    """Outside the days in which one can enroll; they are among the facts."""

    code = "enrollment-closed"
    title = _("This run does not take enrollments now")
    advice = _("Ask the teacher of the run, or look for another run in the catalog.")


class RunFull(Conflict):
    code = "run-full"
    title = _("This run has no free seat")
    advice = _("This run keeps no waiting list. Look again later, or for another run in the catalog.")


class NoSeatsForPartner(Conflict):
    """Every seat is kept for partners to which the person does not belong."""

    code = "no-seats-for-partner"
    title = _("No seat of this run is for people of this university")
    advice = _("The teacher of the run can add seats for a university, or shared ones.")


class AlreadyEnrolled(Conflict):
    code = "already-enrolled"
    title = _("This person is in this run already")
    advice = _("Nothing needs to be done.")


class RemovedFromRun(Conflict):
    code = "removed-from-run"
    title = _("A teacher has removed this person from the run")
    advice = _("Only a teacher of the run can let them in again.")


class NotEnrolled(Forbidden):
    """Units and labs are for those who have a seat. `state` says where the person stands, if anywhere."""

    code = "not-enrolled"
    title = _("This is for those who are enrolled")
    advice = _("Enroll in the run first. Who is on the waiting list gets in when a seat becomes free.")


class NotALab(LaunchRefused):
    code = "not-a-lab"
    title = _("This unit has no lab")
    advice = _("Go back to the run and choose a unit with a lab.")
    reason = "NOT_A_LAB"
