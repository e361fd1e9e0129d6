"""Quotas of a Slurm cluster: what they should be, and what is done about a cluster that is not so."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from accounts.models import Notice
from app.access import PlatformRole
from app.db import db, transaction
from labs import ledger
from labs.adapters.sacctmgr import CLOSED, Sacctmgr, SacctmgrError, differences
from labs.models import CenterKind, SlurmQuotas
from labs.queries.drift import DriftKind, drift
from labs.services import sessions, slurm_quotas, slurm_users
from labs.services.slurm_quotas import Told
from labs.slurm_quotas import Account, Quality, Quotas
from tests.make import as_actor

SECRET = {"Authorization": "Bearer admission-secret"}
RIGHT = {"differences": [], "number": 0, "written": 0, "failure": None}
P, B, C = (letter + "_" + letter * 0 + digit * 32 for letter, digit in (("p", "a"), ("b", "b"), ("b", "c")))


@pytest.fixture
def slurm(campus):
    campus.center.kind = CenterKind.SLURM
    db.session.commit()
    return campus


def wanted():
    with transaction():
        quotas = slurm_quotas.wanted("embedded")
    assert quotas
    return quotas


def named(quotas):
    return {account.name: account for account in quotas.accounts}


# What they should be


def test_accounts_hang_as_budgets_do_and_parents_come_first(slurm):
    quotas = wanted()

    own, parent = f"b_{slurm.budget_id.hex}", f"b_{slurm.budget.parent_id.hex}"
    partner = f"p_{slurm.budget.partner_id.hex}"
    found = named(quotas)
    assert (found[own].parent, found[parent].parent, found[partner].parent) == (parent, partner, "chancai")
    names = [account.name for account in quotas.accounts]
    assert names.index(partner) < names.index(parent) < names.index(own)


def test_minutes_are_what_the_credits_buy_at_the_lowest_price_and_a_tenth(slurm):
    slurm.make.flavor(slurm.center, cores=2, price_micro=4_000_000, accelerators=1, gres="npu:ascend:1")

    account = named(wanted())[f"b_{slurm.budget_id.hex}"]

    assert account.minutes == {"cpu": 6600, "gres/npu": 1650}
    assert account.shares == 100
    assert named(wanted())[f"b_{slurm.budget.parent_id.hex}"].minutes["cpu"] == 66_000  # the whole branch


def test_what_labs_hold_and_use_changes_no_quota(slurm):
    before = wanted()

    slurm.launch()

    assert wanted() == before


def test_a_size_that_costs_nothing_has_no_fence(slurm):
    slurm.make.flavor(slurm.center, price_micro=0)

    assert named(wanted())[f"b_{slurm.budget_id.hex}"].minutes == {}


def test_credits_that_are_given_move_the_fence(slurm):
    ledger.transfer(slurm.budget.parent_id, slurm.budget_id, 50_000_000, key="more")
    db.session.commit()

    assert named(wanted())[f"b_{slurm.budget_id.hex}"].minutes["cpu"] == 9900


def test_members_are_those_whom_the_hub_gave_an_account(slurm):
    assert wanted().members == frozenset()
    slurm_users.note(slurm.center.id, slurm.student.id, "ct001")

    assert wanted().members == {("ct001", f"b_{slurm.budget_id.hex}")}


def test_who_has_a_lab_stays_a_member_until_it_has_ended(slurm):
    slurm_users.note(slurm.center.id, slurm.student.id, "ct001")
    session = slurm.running()
    slurm.budget.is_closed = True
    db.session.commit()
    assert wanted().members == {("ct001", f"b_{slurm.budget_id.hex}")}

    with transaction():
        sessions.stop(as_actor(slurm.student), session.id)
    for _round in range(3):
        slurm.run("follow_sessions")

    assert not slurm.again(session.id).is_live
    assert wanted().members == frozenset()


def test_an_account_that_the_hub_gives_anew_is_nobody_s_of_before(slurm):
    other = slurm.make.person()
    slurm_users.note(slurm.center.id, slurm.student.id, "ct001")
    slurm_users.note(slurm.center.id, slurm.student.id, "ct001")
    slurm_users.note(slurm.center.id, other.id, "ct001")

    assert wanted().members == frozenset()  # the other one is a member of nothing


def test_labs_may_be_as_long_as_the_longest_lease(slurm):
    assert wanted().qualities == (Quality("lab", 8 * 60 + 5, 4),)


# What the hub and the keeper say


def test_the_hub_says_at_the_start_whom_it_runs_labs_as(client, slurm):
    session = slurm.launch()
    slurm.run("start_sessions")
    body = {"center": "embedded", "user": session.person.hub_name, "server": session.server_name}

    bad = client.post("/internal/admission", json={**body, "runs_as": "ro;ot"}, headers=SECRET)
    good = client.post("/internal/admission", json={**body, "runs_as": "ct007"}, headers=SECRET)

    assert (bad.status_code, good.json["allow"]) == (400, True)
    assert wanted().members == {("ct007", f"b_{slurm.budget_id.hex}")}


def test_the_keeper_hears_the_quotas_once(client, slurm):
    first = client.post("/internal/quotas", json={"center": "embedded"}, headers=SECRET).json
    again = client.post("/internal/quotas", json={"center": "embedded", "have": first["version"]}, headers=SECRET).json

    assert Quotas.read(first["quotas"]) == wanted()
    assert again == {"version": first["version"]}


def test_a_center_without_slurm_has_no_quotas(client, campus):
    assert client.post("/internal/quotas", json={"center": "embedded"}, headers=SECRET).status_code == 404
    assert client.post("/internal/quotas", json={"center": "embedded"}).status_code == 401


def test_what_stays_wrong_is_drift_and_told_once(client, slurm, clock):
    operator = slurm.make.platform(PlatformRole.OPERATOR)
    wrong = {"differences": ["b_x: its limits"], "number": 1, "written": 2, "failure": "Unable to contact"}

    def tell(state):
        client.post("/internal/quotas", json={"center": "embedded", "state": state}, headers=SECRET)
        return drift().counts.get("embedded", {}).get(DriftKind.QUOTAS, 0)

    assert tell(RIGHT) == 0
    assert tell(wrong) == 0  # for a moment anything may be wrong
    clock.shift(70)
    assert tell(wrong) == 1
    tell(wrong)
    notices = select(Notice).where(Notice.person_id == operator.id, Notice.kind == "quotas-wrong")
    assert len(db.session.scalars(notices).all()) == 1
    assert tell(RIGHT) == 0
    assert db.session.scalars(select(SlurmQuotas)).one().written == 6


def test_a_keeper_that_is_silent_is_drift_and_told(client, slurm, clock):
    operator = slurm.make.platform(PlatformRole.OPERATOR)
    client.post("/internal/quotas", json={"center": "embedded", "state": RIGHT}, headers=SECRET)

    clock.shift(timedelta(minutes=3))

    assert drift().counts["embedded"][DriftKind.QUOTAS] == 1
    assert (slurm.run("watch_quotas"), slurm.run("watch_quotas")) == (1, 0)
    assert db.session.scalar(select(Notice.kind).where(Notice.person_id == operator.id)) == "quotas-wrong"


def test_told_makes_sense_or_nothing_is_heard(client, slurm):
    for state in ("x", {"differences": 1}, {"differences": [], "number": -1}, []):
        answer = client.post("/internal/quotas", json={"center": "embedded", "state": state}, headers=SECRET)
        assert answer.status_code == 400
    with transaction():
        slurm_quotas.hear("embedded", Told([], 0, 0, None))


# What is written to a cluster


def commands(now, then):
    return [change.command for change in differences(now, then, "chancai")]


def test_only_differences_are_written():
    there = Quotas((Account(P, "chancai", 5), Account(B, P, 5, {"cpu": 60})), frozenset({("u1", B)}))

    assert commands(there, there) == []
    assert commands(Quotas(), Quotas((Account(P, "chancai", 5, {"cpu": 0}),))) == [
        f"add account {P} Parent=chancai Fairshare=5 QOS=lab,batch DefaultQOS=lab GrpTRESMins=cpu=0"
    ]
    changed = Quotas((Account(P, "chancai", 6), Account(B, "chancai", 5, {"gres/npu": 6})), frozenset({("u2", B)}))
    assert commands(there, changed) == [
        f"modify account where name={P} set Fairshare=6",
        f"modify account where name={B} set Parent=chancai",
        f"modify account where name={B} set Fairshare=5 GrpTRESMins=cpu=-1,gres/npu=6",
        f"add user u2 Account={B} QOS=lab,batch DefaultQOS=lab",
        f"delete user name=u1 account={B}",
    ]


def test_an_account_that_is_nobody_s_is_closed():
    there = Quotas((Account(C, "chancai", 5, {"cpu": 60, "gres/npu": 6}),))

    assert commands(there, Quotas()) == [f"modify account where name={C} set Fairshare=5 GrpTRESMins=cpu=0,gres/npu=-1"]
    assert commands(Quotas((Account(C, "chancai", 5, CLOSED),)), Quotas()) == []


@pytest.mark.parametrize(
    "row",
    [
        {"name": "root", "parent": "chancai"},
        {"name": B, "parent": "chancai\ndelete account root"},
        {"name": B, "parent": "chancai", "shares": -1},
        {"name": B, "parent": "chancai", "minutes": {"cpu; x": 1}},
        {"name": B, "parent": "chancai", "minutes": {"cpu": "1"}},
        {"name": B, "parent": "chancai", "admin": True},
    ],
)
def test_what_is_no_word_of_slurm_s_is_never_written(row):
    with pytest.raises(ValueError, match="no"):
        Quotas.read({"accounts": [row], "members": [], "qualities": []})


def test_what_slurm_does_not_take_is_left_and_said():
    def run(command, given):
        if given:
            raise SacctmgrError("sacctmgr: Access denied")
        return ""

    written, left, said = Sacctmgr(run=run).apply(Quotas((Account(P, "chancai"),)))

    assert (written, [change.why for change in left], said) == (0, [f"there is no {P}"], "sacctmgr: Access denied")
