"""What Prometheus is told of accounts: the queue of mails."""

from collections.abc import Iterator

from prometheus_client.core import Metric
from sqlalchemy import func, select

from accounts.models import Mail, MailState
from app import clock
from app.db import db
from app.metrics import gauge


def figures() -> Iterator[Metric]:
    """Mails that wait: counted by their own index."""
    waiting, retrying, oldest = db.session.execute(
        select(func.count(), func.count().filter(Mail.attempts > 0), func.min(Mail.next_at)).where(
            Mail.state == MailState.WAITING
        )
    ).one()
    late = 0.0 if oldest is None else max(0.0, (clock.now() - oldest).total_seconds())
    yield gauge("chancai_mail_waiting", "Mails that are to leave", waiting)
    yield gauge("chancai_mail_retrying", "Those among them that failed before", retrying)
    yield gauge("chancai_mail_late_seconds", "By how much the first of them is late", late)
