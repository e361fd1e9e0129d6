"""Why compute is refused. Each refusal says its class, the numbers, and what to do next (DESIGN.md, 5)."""

from enum import StrEnum
from typing import ClassVar

from flask_babel import LazyString
from flask_babel import lazy_gettext as _

from app.errors import Conflict, Forbidden, Invalid, NotFound, Remedy


class RefusalClass(StrEnum):
    PERMANENT = "permanent"  # this will never be possible
    FIXABLE = "fixable"  # somebody can change something
    TEMPORARY = "temporary"  # waiting helps
    OPERATOR = "operator"  # the people of the center must act


class LaunchRefused(Conflict):
    """A lab that does not start. `reason` is the stable code for programs; waiting never helps where `never` is set."""

    code = "launch-refused"
    title = _("This lab cannot be started")
    reason: ClassVar[str] = "LAUNCH_REFUSED"
    kind: ClassVar[RefusalClass] = RefusalClass.PERMANENT

    def __init__(
        self, detail: str | LazyString | None = None, *, remedies: tuple[Remedy, ...] = (), **members: object
    ) -> None:
        never = self.kind in (RefusalClass.PERMANENT, RefusalClass.FIXABLE)
        super().__init__(
            detail, remedies=remedies, **{"reason": self.reason, "class": self.kind, "never": never} | members
        )


class InvalidRequest(LaunchRefused):
    code = "launch-invalid"
    title = _("What was asked for makes no sense")
    advice = _("Correct what is named; sending the same again gives the same answer.")
    reason = "INVALID_REQUEST"


class NotEnrolled(LaunchRefused, Forbidden):
    code = "not-enrolled-for-compute"
    title = _("You are not among those this budget pays for")
    advice = _("Enroll in the course first; then its compute is open to you.")
    reason = "NOT_ENROLLED"
    kind = RefusalClass.FIXABLE


class TermsNotAccepted(LaunchRefused):
    """`terms` names what is to be accepted: center, number, address."""

    code = "terms-not-accepted"
    title = _("The center's terms of use are not accepted yet")
    advice = _("Read them and accept them; once is enough until they change.")
    reason = "TERMS_NOT_ACCEPTED"
    kind = RefusalClass.FIXABLE


class BudgetNotActive(LaunchRefused):
    code = "budget-not-active"
    title = _("The compute budget is not active now")
    advice = _("Compute is paid for from the first to the last day of the budget only.")
    reason = "BUDGET_NOT_ACTIVE"
    kind = RefusalClass.FIXABLE


class AgreementEnded(LaunchRefused):
    """A partner that pays, teaches or computes takes part no more. `partner` says which."""

    code = "agreement-ended"
    title = _("The agreement with this partner has ended")
    advice = _(
        "Nothing is lost, and nothing new starts until the agreement is renewed. Ask the partner's administrator."
    )
    reason = "AGREEMENT_ENDED"
    kind = RefusalClass.OPERATOR


class DataResidency(LaunchRefused):
    """Files may not lie where that center is. `region` says where they may."""

    code = "data-residency"
    title = _("The data of this lab may not go to that computing center")
    advice = _("Launch it wherever it may run; whoever leads the course says where its data may lie.")
    reason = "DATA_RESIDENCY"
    kind = RefusalClass.FIXABLE


class FlavorNotGranted(LaunchRefused):
    code = "flavor-not-granted"
    title = _("This lab cannot run with that flavor")
    advice = _("Choose one of the flavors that the lab offers.")
    reason = "FLAVOR_NOT_GRANTED"
    kind = RefusalClass.FIXABLE


class ExceedsMaxRequest(LaunchRefused):
    code = "lease-too-long"
    title = _("That is longer than this lab may run at a stretch")
    advice = _("Ask for less time; your files stay, and you can start again.")
    reason = "EXCEEDS_MAX_REQUEST"
    kind = RefusalClass.FIXABLE


class ExceedsCenterCapacity(LaunchRefused):
    code = "exceeds-center"
    title = _("The computing center is too small for that")
    advice = _("Choose a smaller flavor, or one at another center. Waiting does not help.")
    reason = "EXCEEDS_CENTER_CAPACITY"


class HomeFull(LaunchRefused):
    code = "home-full"
    title = _("Your home folder at this center is full")
    advice = _("Delete what you no longer need. A rescue lab costs nothing and opens even when the folder is full.")
    reason = "HOME_FULL"
    kind = RefusalClass.FIXABLE


class UserConcurrency(LaunchRefused):
    code = "too-many-labs"
    title = _("You have as many labs running as you may")
    advice = _("Stop one of your labs, then start this one.")
    reason = "USER_CONCURRENCY"
    kind = RefusalClass.FIXABLE


class MemberCapExhausted(LaunchRefused):
    code = "member-cap-exhausted"
    title = _("Your own share of this course's compute does not suffice")
    advice = _("Ask for less time or a smaller flavor, or ask your teacher for a larger share.")
    reason = "MEMBER_CAP_EXHAUSTED"
    kind = RefusalClass.FIXABLE


class BudgetExhausted(LaunchRefused):
    code = "budget-exhausted"
    title = _("This course's compute budget does not suffice")
    advice = _("Ask for less time or a smaller flavor; your teacher can ask the university for more compute.")
    reason = "BUDGET_EXHAUSTED"
    kind = RefusalClass.FIXABLE


class BudgetOverrun(LaunchRefused):
    code = "budget-overrun"
    title = _("More was used from this budget than it had")
    advice = _("Your university's administrator must balance the budget before new labs can start.")
    reason = "BUDGET_OVERRUN"
    kind = RefusalClass.OPERATOR


class TrancheEndsBeforeLease(LaunchRefused):
    code = "credits-end-before-lease"
    title = _("The credits of this budget expire before such a lease ends")
    advice = _("Ask for less time, or have the credits prolonged by your university's administrator.")
    reason = "TRANCHE_ENDS_BEFORE_LEASE"
    kind = RefusalClass.FIXABLE


class CapacityFull(LaunchRefused):
    """`line` says how many wait already."""

    code = "center-full"
    title = _("The computing center is full at the moment")
    advice = _("Join the line, or try again later: a place becomes free whenever somebody's lab ends.")
    reason = "CAPACITY_FULL"
    kind = RefusalClass.TEMPORARY


class CenterUnreachable(LaunchRefused):
    code = "center-unreachable"
    title = _("The computing center does not answer at the moment")
    advice = _("Nothing was charged. We keep trying to reach it; start your lab again in a minute.")
    reason = "CENTER_UNREACHABLE"
    kind = RefusalClass.TEMPORARY


class CenterMaintenance(LaunchRefused):
    code = "center-maintenance"
    title = _("The computing center takes no new labs now")
    advice = _("It is being maintained. Labs that run go on; new ones can start when it is done.")
    reason = "CENTER_MAINTENANCE"
    kind = RefusalClass.TEMPORARY


class SpawnThrottled(LaunchRefused):
    code = "too-many-starts"
    title = _("You have started many labs in a short time")
    advice = _("Wait a moment, then start this one.")
    reason = "SPAWN_THROTTLED"
    kind = RefusalClass.TEMPORARY


class OfferOver(LaunchRefused):
    """A place was offered and the time to take it is over, or none was offered yet. `place` says where one stands."""

    code = "no-place-offered"
    title = _("No place is kept for this lab now")
    advice = _("Stay in line: when a place becomes free, it is offered to the first for a few minutes.")
    reason = "NO_PLACE_OFFERED"
    kind = RefusalClass.TEMPORARY


class IdempotencyConflict(LaunchRefused):
    code = "idempotency-conflict"
    title = _("This key was used before for something else")
    advice = _("Send what was sent before, or take a new key.")
    reason = "IDEMPOTENCY_CONFLICT"


class HoldClosed(Conflict):
    code = "hold-closed"
    title = _("This session's account is closed already")


class HoldOfASession(Conflict):
    code = "hold-of-a-session"
    title = _("These credits belong to a lab session")
    advice = _("They are charged and returned with the session: stop or extend that instead.")


class IdempotencyKeyMissing(Invalid):
    code = "idempotency-key-missing"
    title = _("This request needs a key of its own")
    advice = _("Send the header Idempotency-Key with 8 to 100 printable characters, a new one for each new request.")


class TransferTooLarge(Conflict):
    code = "transfer-too-large"
    title = _("The budget above does not have that much to give")


class CorrectionTooLarge(Conflict):
    code = "correction-too-large"
    title = _("That is more than was charged")


class NotAPartnersBudget(Conflict):
    code = "not-a-partners-budget"
    title = _("Only a partner's own budget is granted credits")
    advice = _("Pass credits on to this budget from the one above it.")


class BudgetClosed(Conflict):
    code = "budget-closed"
    title = _("This budget is closed")
    advice = _("What was left in it went back to the budget above. Open another one there.")


class NotBelow(Conflict):
    """`allowed` names the kinds of budgets that may stand below this one."""

    code = "budget-not-below"
    title = _("Such a budget cannot be opened here")
    advice = _("Below a partner stand programs, runs, contests and projects; below a program the last three.")


class BudgetsBelowOpen(Conflict):
    code = "budgets-below-open"
    title = _("There are open budgets below this one")
    advice = _("Close them first; what is left in them comes back here.")


class RootBudget(Conflict):
    code = "root-budget"
    title = _("There is no budget above a partner's own")
    advice = _("Its credits come from the operators and expire at the end of their time.")


class OverrunOpen(Conflict):
    code = "overrun-open"
    title = _("More was used from this budget than it had")
    advice = _("Pass credits on from the budget above to balance it, then close it.")


class CapsChanged(Conflict):
    """Somebody joined, left or was given another share between the preview and the confirmation."""

    code = "caps-changed"
    title = _("The members have changed since you looked")
    advice = _("Look at the new figures, then confirm.")


class NotOfThePartner(Conflict):
    code = "not-of-the-partner"
    title = _("Nobody of this partner has that address")
    advice = _("Only its own people look after a partner's budgets: invite them first.")


class ChargeFixed(Conflict):
    code = "charge-fixed"
    title = _("Who looks after this budget cannot be chosen")
    advice = _("A run's budget is looked after by its teachers, a partner's own by its administrators.")


class RequestDecided(Conflict):
    code = "request-decided"
    title = _("This request has been answered already")
    advice = _("Load the page again to see the answer.")


class RequestNotPossible(Conflict):
    code = "request-not-possible"
    title = _("This cannot be asked for here")


class TooManyOpenRequests(Conflict):
    code = "too-many-open-requests"
    title = _("You have many requests without an answer")
    advice = _("Withdraw those that are no longer needed, or wait for an answer.")


class OwnRequest(Forbidden):
    code = "own-request"
    title = _("Nobody decides on what they asked for themselves")
    advice = _("Somebody else with the same role must decide.")


class LabNotReady(Conflict):
    code = "lab-not-ready"
    title = _("This lab is not running")
    advice = _("Start it again from the course, or look at its page to see what happened.")


class PeriodNotOver(Conflict):
    code = "period-not-over"
    title = _("This month is not over yet")
    advice = _("Its books stay open until its last day is over. Until then its statements are preliminary.")


class PeriodClosed(Conflict):
    code = "period-closed"
    title = _("This month is closed")
    advice = _("A closed month never changes. What comes late is booked in the month that is open.")


class PeriodOutOfOrder(Conflict):
    code = "period-out-of-order"
    title = _("Another month is to be closed first")
    advice = _("Months are closed one after the other, from the first with a booking on.")


class NothingToClose(Conflict):
    code = "nothing-to-close"
    title = _("Nothing has been booked yet")
    advice = _("The first month to close is the one with the first grant.")


class ClosingUnderWay(Conflict):
    code = "closing-under-way"
    title = _("Somebody is closing the books at this moment")
    advice = _("Load the page again in a moment to see the month closed.")


class StatementFaulty(Conflict):
    """A statement that does not add up is never stored. `faults` says where it contradicts itself."""

    code = "statement-faulty"
    title = _("A statement does not add up, so the month stays open")
    advice = _("Run `chancai ledger audit`: it names the balance that differs. Nothing was closed.")


class LabIsEnding(LaunchRefused):
    code = "lab-is-ending"
    title = _("This lab is ending already")
    advice = _("Your files stay: start it again from the course.")
    reason = "SESSION_ENDING"


class KeepAliveSpent(LaunchRefused):
    code = "keep-alive-spent"
    title = _("This lab was kept running as often as it can be")
    advice = _("Run a cell: a lab in which something runs goes on to the end of its time.")
    reason = "KEEP_ALIVE_SPENT"


class NothingToRescue(LaunchRefused):
    code = "nothing-to-rescue"
    title = _("You have no files at this computing center")
    advice = _("Files come to be with your first lab there: launch one from a course.")
    reason = "NO_FILES"


class NoRescue(LaunchRefused):
    code = "no-rescue"
    title = _("This computing center has no way to open files only")
    advice = _("Launch a lab from a course: your files are in it. If you cannot, ask the people who run the center.")
    reason = "NO_RESCUE_FLAVOR"
    kind = RefusalClass.OPERATOR


class LookNotGranted(Conflict):
    code = "look-not-granted"
    title = _("You may not look into this lab now")
    advice = _("Its person must say yes first, and can take that back at any time. Ask on the page of the lab.")


class UnknownCenter(NotFound):
    code = "unknown-center"
    title = _("There is no such computing center")
