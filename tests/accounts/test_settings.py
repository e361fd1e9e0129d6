"""Settings that concern signing in."""

import pytest

from app.config import Settings, SettingsError

NEEDED = {"DATABASE_URL": "postgresql+psycopg:///x", "SECRET_KEY": "x"}


@pytest.mark.parametrize("url", ["http://127.0.0.1:8600", "http://localhost:8600/", "http://[::1]:8600"])
def test_the_demo_is_for_ones_own_machine(url):
    assert Settings.from_env(NEEDED | {"DEMO": "1", "PLATFORM_URL": url}).demo


def test_there_is_no_demo_anywhere_else_or_by_itself():
    assert not Settings.from_env(NEEDED).demo
    with pytest.raises(SettingsError, match="DEMO=1"):
        Settings.from_env(NEEDED | {"DEMO": "1", "PLATFORM_URL": "https://chancai.example"})
