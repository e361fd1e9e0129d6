"""Jobs of accounts: mails leave, what is over is removed."""

import logging
from datetime import timedelta
from uuid import UUID

from flask import current_app

from accounts.adapters.smtp import Letter, MailError, MailServer
from accounts.models import MailState
from accounts.services import attempts, erasing, hub_sign_on, mail, password_reset
from app.config import Settings
from app.db import transaction
from app.jobs import Job

log = logging.getLogger(__name__)


def forget_old_sign_on() -> int:
    """Remove counters of attempts, codes and tokens of hubs, and links to new passwords, whose time is over."""
    with transaction():
        return attempts.forget_old() + hub_sign_on.forget_old() + password_reset.forget_old()


def deliver_mail() -> int:
    """Answer who forgot a password, and send mails that are due; without a mail server, keep them to be looked at."""
    settings: Settings = current_app.extensions["settings"]
    with transaction():
        password_reset.answer(limit=50)
    with transaction():
        due = mail.claim(limit=50)
    done = 0
    with MailServer(settings.smtp_url, settings.mail_from) as server:
        for mail_id in due:
            with transaction():
                letter = mail.write(mail_id, settings.platform_url)
            done += _deliver(mail_id, letter, server if settings.smtp_url else None)
    return done


def _deliver(mail_id: UUID, letter: Letter, server: MailServer | None) -> bool:
    try:
        if server is not None:
            server.send(letter)
    except MailError as error:
        log.warning("mail not sent", extra={"mail": str(mail_id), "why": str(error)})
        with transaction():
            mail.mark_failed(mail_id, str(error), is_final=error.is_final)
        return False
    with transaction():
        mail.mark_done(mail_id, letter, MailState.CAUGHT if server is None else MailState.SENT)
    return True


def erase_people() -> int:
    """Erase people whose day has come, each in a transaction of its own; those with labs, once these have stopped."""
    with transaction():
        due = erasing.due()
    done = 0
    for erasure_id in due:
        with transaction():
            done += erasing.finish(erasure_id)
    return done


JOBS = (
    Job(forget_old_sign_on, timedelta(hours=1)),
    Job(deliver_mail, timedelta(minutes=1)),
    Job(erase_people, timedelta(minutes=5)),
)
