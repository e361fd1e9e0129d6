"""The page of roles and actions: for the platform's administrators, in their language."""

import pytest

from app.access import PlatformRole
from app.access_matrix import Walker
from app.access_page import COLUMNS, matrix
from tests.make import sign_in


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", ["Who may do what", "Go inside a lab"]), ("zh_CN", ["权限一览", "进入实验"])],
)
def test_an_administrator_sees_each_action_with_what_everybody_gets(app, make, language, words):
    browser = sign_in(app, make.platform(PlatformRole.ADMINISTRATOR, language=language))

    page = browser.get("/administration/access")

    cells = page.text.count('<td data-label="') - page.text.count('class="main"')
    assert page.status_code == 200
    assert all(word in page.text for word in words)
    assert cells == len(COLUMNS) * sum(len(section.actions) for section in matrix())
    assert "POST /labs/&lt;session_id&gt;/stop" in page.text


def test_the_columns_are_everybody_but_the_expired_token(database):
    assert set(COLUMNS) == set(Walker) - {Walker.EXPIRED}
