"""What operators see of the schedulers' accounting: on the page, by the API, and on the command line."""

import pytest

from app.access import PlatformRole
from app.db import db, transaction
from labs.models import AccountingReject, RejectState
from labs.services import accounting
from tests.labs.test_evidence import MINUTE, bad, import_, row, settled, slurm
from tests.make import sign_in

__all__ = ["slurm"]


@pytest.fixture
def trouble(campus, slurm, clock):
    """A lab that accounting knows nothing of, and a row that makes no sense."""
    session, ready = settled(campus, clock)
    clock.shift(20 * MINUTE)
    good = row("lab-" + "0" * 31 + "1", ready, ready + MINUTE, account="<b>账户</b>")
    slurm.rows = []
    import_(campus)
    with transaction():
        accounting.take_in(campus.center.id, [bad(good, times={"end": 1_700_000_000})])
    return session


def reject():
    return db.session.query(AccountingReject).one()


@pytest.mark.parametrize(("language", "says"), [("en", "It ends before it starts"), ("zh_CN", "结束早于开始")])
def test_the_page_shows_differences_and_raw_rows(app, make, trouble, language, says):
    browser = sign_in(app, make.platform(PlatformRole.OPERATOR, language=language))

    page = browser.get("/operations/accounting").text

    assert says in page
    assert f"/labs/{trouble.id}/ledger" in page
    assert "&lt;b&gt;账户&lt;/b&gt;" in page
    assert "<b>账户" not in page


def test_a_row_is_dismissed_and_tried_again_by_click(app, make, trouble):
    browser = sign_in(app, make.platform(PlatformRole.OPERATOR))

    again = browser.post(f"/operations/accounting/rejects/{reject().id}/again")
    assert (again.status_code, reject().state) == (303, RejectState.AGAIN)
    dismissed = browser.post(f"/operations/accounting/rejects/{reject().id}/dismiss")
    assert (dismissed.status_code, reject().state) == (303, RejectState.DISMISSED)
    assert "Every row made sense" in browser.get("/operations/accounting").text


def test_programs_read_and_decide_the_same(app, make, trouble):
    operator = make.platform(PlatformRole.OPERATOR, second_factor=True)
    browser = sign_in(app, operator)

    told = browser.get("/api/v1/accounting/").get_json()
    rows = browser.get("/api/v1/accounting/rejects/").get_json()

    assert [(one["kind"], one["session_id"]) for one in told["differences"]] == [("no-evidence", str(trouble.id))]
    assert [one["center"] for one in told["cursors"]] == ["embedded"]
    assert [(one["why"], one["raw"]["account"]) for one in rows] == [("ends-before-start", "<b>账户</b>")]
    url = f"/api/v1/accounting/rejects/{rows[0]['id']}"
    assert browser.patch(url, json={"state": "accepted"}).status_code == 422
    assert browser.patch(url, json={"state": "dismissed"}).get_json()["state"] == "dismissed"
    assert browser.get("/api/v1/accounting/rejects/").get_json() == []
    assert len(browser.get("/api/v1/accounting/rejects/?state=dismissed").get_json()) == 1


def test_the_command_fails_while_there_is_any(app, campus, slurm, clock, trouble):
    run = app.test_cli_runner().invoke
    asked = run(args=["labs", "accounting"])
    assert asked.exit_code == 1
    assert f"no-evidence {trouble.id} charged 1800 s, accounting says 0 s" in asked.output
    assert "1 differences, 1 rows" in asked.output

    slurm.rows = [row(trouble.server_name, trouble.ready_at, trouble.ready_at + 9 * MINUTE)]
    clock.shift(60 * MINUTE)  # it comes late: the hourly look far back finds it
    import_(campus)
    with transaction():
        reject().state = RejectState.DISMISSED

    asked = run(args=["labs", "accounting"])
    assert (asked.exit_code, asked.output.splitlines()[-1]) == (
        0,
        "What was charged is what the schedulers say was run.",
    )
