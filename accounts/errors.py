"""Why accounts say no."""

from flask_babel import lazy_gettext as _

from app.errors import Conflict, Forbidden, Invalid, NotFound, SignInRequired, TooMany


class WrongCredentials(SignInRequired):
    """Deliberately says nothing about which of the two is wrong, or whether the account exists."""

    code = "wrong-credentials"
    title = _("E-mail or password is not right")
    advice = _("Check both and try again. If you forgot the password, ask for a new one.")


class WrongCode(SignInRequired):
    code = "wrong-code"
    title = _("This code is not right")
    advice = _("Codes change every thirty seconds and work once. Check the clock of the phone, or use a recovery code.")


class SecondFactorExists(Conflict):
    code = "second-factor-exists"
    title = _("A second factor is on already")
    advice = _("Turn it off first if you want to move it to another app.")


class SecondFactorRequired(Forbidden):
    code = "second-factor-required"
    title = _("Your role asks for a second factor")
    advice = _("Administrators and operators of the platform cannot turn it off.")


class AccountClosed(SignInRequired):
    code = "account-closed"
    title = _("This account is closed")
    advice = _("Ask your university's administrator.")


class TooManyAttempts(TooMany):
    code = "too-many-attempts"
    title = _("Too many attempts to sign in")
    advice = _("Wait the time that is named and try again. Only sign-ins from where you are now are held back.")


class TokenExpired(SignInRequired):
    code = "token-expired"
    title = _("This token has expired or was revoked")
    advice = _("Make a new token on your profile page and put it into the program.")


class TokenUnknown(SignInRequired):
    code = "token-unknown"
    title = _("This token is not known")
    advice = _("Check that the whole token was copied, or make a new one on your profile page.")


class ScopeMissing(Forbidden):
    code = "scope-missing"
    title = _("This token may not do that")
    advice = _("Make a token with the scope that is named. Some things need a person who signed in with a browser.")


class EmailTaken(Conflict):
    code = "email-taken"
    title = _("There is an account with this e-mail address already")
    advice = _("Add the existing person to the partner instead.")


class SlugTaken(Conflict):
    code = "slug-taken"
    title = _("This short name is in use")
    advice = _("Choose another one.")


class AlreadyMember(Conflict):
    code = "already-member"
    title = _("This person has that role here already, or somebody else has that number")
    advice = _("Load the page again to see the list of people.")


class SignOnFailed(SignInRequired):
    """Says to people only that it failed; the log says why."""

    code = "sign-on-failed"
    title = _("Your partner's sign-in did not prove who you are")
    advice = _("Start again from our sign-in page. An old or copied link does not work, and each way back works once.")


class IdentityUnknown(SignInRequired):
    code = "identity-unknown"
    title = _("We do not know this sign-in yet")
    advice = _(
        "If you have an account here, sign in with it and connect the two on your profile page. "
        "If your partner invited you, use the code first."
    )


class IdentityTaken(Conflict):
    code = "identity-taken"
    title = _("This sign-in belongs to another account")
    advice = _("Sign out, and sign in through your partner to reach that account.")


class ProviderTaken(Conflict):
    code = "provider-taken"
    title = _("This partner or this issuer has a sign-on already")
    advice = _("Disconnect the other one first.")


class InvitationUnknown(NotFound):
    code = "invitation-unknown"
    title = _("This code is not valid")
    advice = _("Check that it was copied in full. If it was used, has expired or was taken back, ask for a new one.")


class ResetUnknown(NotFound):
    code = "reset-unknown"
    title = _("This link is not valid")
    advice = _("It works once, and for half an hour. Ask for a new one on the sign-in page.")


class WeakPassword(Invalid):
    code = "weak-password"
    title = _("This password is too easy to guess")
    advice = _("Take at least ten characters, and not your name or e-mail address. A few unrelated words are good.")


class CommonPassword(WeakPassword):
    """In the list of passwords that are tried first (`accounts.common_passwords`)."""

    code = "common-password"
    title = _("This password is one that many people use")
    advice = _("Who guesses tries it first, also with digits around it. A few unrelated words are good.")


class UnknownScope(Invalid):
    code = "unknown-scope"
    title = _("There is no such scope")
    advice = _("Choose from the scopes that are listed.")


class UnknownHub(Invalid):
    """Shown as a page: an address that we do not know gets no redirect, or we would be an open one."""

    code = "unknown-hub"
    title = _("A place we do not know asked to sign you in")
    advice = _("Go back to Chancai and open your lab from there. If this stays, tell the people who run the service.")


class LogoRefused(Invalid):
    code = "logo-refused"
    title = _("This picture cannot be a logo")
    advice = _("Send a PNG or JPEG of at most 256 KB, or an SVG of nothing but shapes.")


class CannotMerge(Conflict):
    """`obstacles` names what must be done before: a code and words for each."""

    code = "cannot-merge"
    title = _("These two accounts cannot become one yet")
    advice = _("Look at the preview: it names what stands against it, and what to do.")


class AlreadyMerged(Conflict):
    code = "already-merged"
    title = _("One of these accounts is closed, or was merged since")
    advice = _("Load the page again to see where things stand.")


class UndoTooLate(Conflict):
    code = "undo-too-late"
    title = _("This merge cannot be undone any more")
    advice = _("Merges can be undone for thirty days, and only while both accounts exist.")


class AccountGone(Conflict):
    code = "account-gone"
    title = _("This account was erased, or went up in another one")
    advice = _("A merge can be undone for thirty days. What was erased does not come back.")


class TooManyExports(TooMany):
    code = "too-many-exports"
    title = _("You had your data a moment ago")
    advice = _("It can be had three times in a quarter of an hour. Wait the time that is named.")


class ErasureWaits(Conflict):
    code = "erasure-waits"
    title = _("This account will be erased already")
    advice = _("It can be canceled on the profile page until its day.")


class LastAdministrator(Conflict):
    code = "last-administrator"
    title = _("This is the last administrator of the platform")
    advice = _("Make somebody else an administrator first.")
