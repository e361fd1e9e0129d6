"""A mail server, spoken to by SMTP: with TLS, except to this machine."""

import smtplib
import ssl
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Self
from urllib.parse import unquote, urlsplit

from app import clock
from app.config import LOOPBACK

TIMEOUT = 15


@dataclass(frozen=True)
class Letter:
    """One mail to one person. The id stays the same when it is sent again, so that a mailbox can tell."""

    id: str
    address: str
    name: str
    subject: str
    text: str
    language: str


class MailError(Exception):
    """The server did not take the mail. `is_final`: it never will."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


class MailServer:
    """A connection to the server for some letters in a row: use it with `with`."""

    def __init__(self, url: str, sender: str) -> None:
        self._url = urlsplit(url)
        self._sender = sender
        self._smtp: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._smtp is not None:
            self._smtp.close()

    def send(self, letter: Letter) -> None:
        try:
            connection = self._smtp = self._smtp or self._connect()
            connection.send_message(self._message(letter))
        except smtplib.SMTPRecipientsRefused as error:
            code = next(iter(error.recipients.values()))[0]
            raise MailError(f"recipient refused: {code}", is_final=500 <= code < 600) from error
        except (smtplib.SMTPException, OSError) as error:
            self._smtp = None
            raise MailError(type(error).__name__) from error
        except ValueError as error:  # an address or a header that no mail may have
            raise MailError(f"not a mail: {type(error).__name__}", is_final=True) from error

    def _connect(self) -> smtplib.SMTP:
        host, secure = self._url.hostname or "", ssl.create_default_context()
        if self._url.scheme == "smtps":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(host, self._url.port or 465, timeout=TIMEOUT, context=secure)
        else:
            smtp = smtplib.SMTP(host, self._url.port or 587, timeout=TIMEOUT)
            if host not in LOOPBACK:
                smtp.starttls(context=secure)
        if self._url.username:
            smtp.login(unquote(self._url.username), unquote(self._url.password or ""))
        return smtp

    def _message(self, letter: Letter) -> EmailMessage:
        name, address = parseaddr(self._sender)
        host = address.partition("@")[2] or "localhost"
        message = EmailMessage()
        message["Message-ID"] = f"<{letter.id}@{host}>"
        message["Date"] = format_datetime(clock.now())
        message["From"] = Address(name, addr_spec=address)
        message["To"] = Address(letter.name, addr_spec=letter.address)
        message["Subject"] = letter.subject
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text)  # clears headers of the content: they come after it
        message["Content-Language"] = letter.language.replace("_", "-")
        return message
