"""What a hub asks: with its secret only, and for its own center only."""

import base64

import pytest

from app.db import transaction
from deploy.hub.admission import SlurmOrder, read_answer
from labs import ledger
from labs.models import CenterKind

SPEC = {"session": "0" * 32, "cores": 1, "memory_mb": 1024}
SECRET = {"Authorization": "Bearer admission-secret"}


def ask(client, session, path="admission", headers=SECRET, **changes):
    body = {"center": "embedded", "user": session.person.hub_name, "server": session.server_name} | changes
    return client.post(f"/internal/{path}", json=body, headers=headers)


def test_the_answer_says_what_to_start(client, campus):
    session = campus.launch(30)
    campus.run("start_sessions")

    answer = ask(client, session).json

    assert answer["allow"] is True
    spec = answer["spec"]
    assert (spec["cores"], spec["memory_mb"], spec["session"]) == (1.0, 1024, str(session.id))
    assert spec["files"] == [{"path": "first-lesson/lesson.ipynb", "base64": base64.b64encode(b"{}").decode()}]
    assert (spec["language"], spec["timezone"]) == ("en", "Asia/Shanghai")
    assert ask(client, session).json == {"allow": False, "code": "order-used", "reason": "This order was used already."}


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Bearer wrong"}, {"Authorization": "Basic YTpi"}, {"X-Nothing": "1"}]
)
def test_without_the_secret_there_is_no_answer(client, campus, headers):
    session = campus.launch(30)
    campus.run("start_sessions")

    response = ask(client, session, headers=headers)

    assert response.status_code == 401
    assert campus.again(session.id).admitted_attempt == 0


def test_a_center_we_do_not_know_has_no_secret(client, campus):
    session = campus.launch(30)

    assert ask(client, session, center="elsewhere", headers={"Authorization": "Bearer "}).status_code == 401


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"center": 1, "user": "u", "server": "s"}'])
def test_nonsense_is_refused(client, database, body):
    response = client.post("/internal/admission", data=body, content_type="application/json", headers=SECRET)

    assert response.status_code == 400


def test_a_server_that_ended_is_looked_at(client, campus):
    session = campus.running(30)

    assert ask(client, session, "ended").status_code == 204

    assert campus.again(session.id).missing == 1
    assert ask(client, session, "ended", server="lab-unknown").status_code == 204


def test_an_order_without_an_open_hold_starts_nothing(client, campus):
    """Whatever has closed it: nobody pays, so the hub is told no, and no order is used up."""
    session = campus.launch(30)
    campus.run("start_sessions")
    with transaction():
        ledger.void(session.held_by)

    answer = ask(client, session).json

    assert (answer["allow"], answer["code"]) == (False, "nothing-reserved")
    assert campus.again(session.id).admitted_attempt == 0


def test_a_slurm_center_is_told_account_quality_and_minutes(client, campus):
    campus.center.kind, campus.flavor.partition, campus.flavor.gres = CenterKind.SLURM, "labs", "npu:ascend:1"
    session = campus.launch(30)
    campus.run("start_sessions")

    slurm = ask(client, session).json["spec"]["slurm"]

    account = f"b_{campus.budget_id.hex}"
    assert slurm == {"account": account, "qos": "lab", "partition": "labs", "gres": "npu:ascend:1", "minutes": 35}
    assert read_answer({"allow": True, "spec": {**SPEC, "slurm": slurm}}).slurm == SlurmOrder(**slurm)


def test_a_rescue_lab_is_free_and_runs_on_the_partner_s_account(client, campus):
    campus.center.kind, campus.flavor.is_rescue, campus.flavor.price_micro = CenterKind.SLURM, True, 0
    session = campus.launch(30)
    campus.run("start_sessions")

    assert ask(client, session).json["spec"]["slurm"]["account"] == f"p_{campus.budget.partner_id.hex}"


def test_a_center_of_another_kind_hears_nothing_of_slurm(client, campus):
    session = campus.launch(30)
    campus.run("start_sessions")

    assert "slurm" not in ask(client, session).json["spec"]
