"""The reader's language, time zone and number formats."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask, g, has_request_context, request
from flask_babel import (
    Babel,
    force_locale,
    format_date,
    format_datetime,
    format_decimal,
    get_locale,
    gettext,
    ngettext,
    refresh,
)
from flask_login import current_user

LANGUAGES = {"zh_CN": "中文", "en": "English"}
DEFAULT_ZONE = "Asia/Shanghai"
_DAY = {"zh_CN": "y年M月d日", "en": "MMM d, y"}
MICRO = 1_000_000  # micro-credits in a credit


def init_app(app: Flask) -> None:
    Babel(app, locale_selector=choose_language, timezone_selector=choose_zone)
    app.add_template_filter(pick, "local")
    app.add_template_filter(moment)
    app.add_template_filter(day_text, "day")
    app.add_template_filter(credits_text, "credits")
    app.add_template_filter(duration)
    app.after_request(_name_the_language)


def choose_language() -> str:
    """The choice made on this site, else the person's own, else the browser's, else Chinese."""
    if not has_request_context():
        return str(g.get("language", "zh_CN")) if g else "zh_CN"
    chosen = request.cookies.get("language")
    if chosen in LANGUAGES:
        return chosen
    if not g.get("offline") and current_user.is_authenticated and current_user.language:
        return str(current_user.language)
    best = request.accept_languages.best_match(["zh-CN", "zh", "en"], default="zh-CN")
    return "en" if best == "en" else "zh_CN"


def choose_zone() -> str:
    if g.get("reader_zone"):
        return str(g.reader_zone)
    if has_request_context() and not g.get("offline") and current_user.is_authenticated:
        return str(current_user.time_zone)
    return DEFAULT_ZONE


def language() -> str:
    """The language of the current reader: zh_CN or en."""
    return "en" if str(get_locale() or "zh_CN").startswith("en") else "zh_CN"


@contextmanager
def reading_as(language: str, time_zone: str) -> Iterator[None]:
    """Put things in words for somebody who is not here: in a job, for a mail."""
    before = g.get("reader_zone")
    with force_locale(language):
        g.reader_zone = time_zone
        refresh()  # what Flask-Babel has kept of the zone before
        try:
            yield
        finally:
            g.reader_zone = before
            refresh()


def in_every_language(text: object) -> dict[str, str]:
    """A text in each language, by its code: for what is kept and read later, by somebody else."""
    said = {}
    for code in LANGUAGES:
        with force_locale(code):
            said[code] = str(text)
    return said


def pick(row: Any, name: str = "title") -> str:
    """Return `name_zh` or `name_en` of a row in the reader's language; the other one where it is empty."""
    first, second = ("en", "zh") if language() == "en" else ("zh", "en")
    return str(getattr(row, f"{name}_{first}", "") or getattr(row, f"{name}_{second}", ""))


def moment(value: datetime | None, style: str = "medium") -> str:
    """A moment in the reader's zone, to the minute. Styles: medium, date, time, or long (to the second)."""
    if value is None:
        return "–"
    patterns = {"time": "HH:mm", "date": _DAY[language()], "medium": f"{_DAY[language()]} HH:mm"}
    patterns["long"] = f"{patterns['medium']}:ss"
    return str(format_datetime(value, patterns.get(style, style)))


def day_text(value: date | None) -> str:
    """A day that has no zone."""
    return "–" if value is None else str(format_date(value, _DAY[language()]))


def credits_text(micro: int | None, digits: int = 2) -> str:
    """Micro-credits as credits, in the reader's format. Never rounds something down to nothing: 0.000004 → <0.01."""
    if micro is None:
        return "–"
    value = micro / MICRO
    if micro and abs(value) < 10**-digits:
        return ("<" if micro > 0 else ">-") + str(format_decimal(10**-digits, format=f"0.{'0' * digits}"))
    return str(format_decimal(value, format=f"#,##0.{'#' * digits}"))


def duration(seconds: float | None) -> str:
    """Seconds as people say them: 45 s, 12 min, 3 h 05 min, 2 d 4 h."""
    if seconds is None:
        return "–"
    seconds = max(0, int(seconds))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 60:
        return str(gettext("%(n)s s", n=seconds))
    if hours < 1:
        return str(gettext("%(n)s min", n=minutes))
    if days < 1:
        return str(gettext("%(h)s h %(m)s min", h=hours, m=f"{minutes % 60:02d}"))
    return str(ngettext("%(num)s day %(h)s h", "%(num)s days %(h)s h", days, h=hours % 24))


def zone(name: str) -> tzinfo:
    """The time zone of that name; UTC for one that the system does not know."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError):
        return UTC


def _name_the_language(response: Any) -> Any:
    if response.mimetype == "text/html" and not 300 <= response.status_code < 400:  # a redirect says nothing to anybody
        response.headers.setdefault("Content-Language", language().replace("_", "-"))
        response.headers.add("Vary", "Cookie, Accept-Language")
    return response
