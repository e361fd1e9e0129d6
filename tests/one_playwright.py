"""One Playwright for a whole test process: its loop stays in the thread, and a second one beside it is refused."""

from functools import cache

from playwright.sync_api import Playwright, sync_playwright


@cache
def one_playwright() -> Playwright:
    """Started by whoever comes first; `tests/conftest.py` ends it with the session."""
    return sync_playwright().start()
