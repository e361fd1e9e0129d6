"""Pages and API for everybody's accounts: find, close, reopen, merge, undo."""

import pytest

from accounts import passwords, queries
from accounts.models import Person
from accounts.services import merging
from app.access import MemberRole, PlatformRole
from app.db import db
from tests.accounts.conftest import PASSWORD
from tests.conftest import as_actor, sign_in


@pytest.fixture
def admin(make):
    return make.platform(PlatformRole.ADMINISTRATOR)


@pytest.fixture
def as_admin(app, admin):
    return sign_in(app, admin)


@pytest.fixture
def two(make):
    return make.person(name="Li Na", email="li@a.example"), make.person(name="李娜", email="lina@b.example")


def test_somebody_is_found_by_name_or_mail(as_admin, two):
    page = as_admin.get("/administration/people?search=LI%40A")

    assert "Li Na" in page.text
    assert "李娜" not in page.text
    assert "Nobody found" in as_admin.get("/administration/people?search=%25").text
    assert [p["name"] for p in as_admin.get("/api/v1/people?search=娜").json] == ["李娜"]


def test_an_account_is_closed_and_opened_with_a_reason(as_admin, wang):
    address = f"/administration/people/{wang.id}"

    assert as_admin.post(f"{address}/close", data={"reason": " "}).status_code == 422
    assert as_admin.post(f"{address}/close", data={"reason": "left"}).status_code == 303
    assert "Closed" in as_admin.get(address).text
    assert not db.session.get(Person, wang.id).is_active
    assert as_admin.post(f"{address}/reopen", data={"reason": "came back"}).status_code == 303
    assert db.session.get(Person, wang.id).is_active
    assert passwords.matches(wang.password_hash, PASSWORD)
    closed = as_admin.post(f"/api/v1/people/{wang.id}/close", json={"reason": "left"})
    opened = as_admin.post(f"/api/v1/people/{wang.id}/reopen", json={"reason": "back"})
    assert (closed.json["is_active"], opened.json["is_active"]) == (False, True)


def test_nobody_closes_their_own_account(as_admin, admin):
    assert as_admin.post(f"/administration/people/{admin.id}/close", data={"reason": "oops"}).status_code == 422


def test_two_accounts_are_looked_at_merged_and_parted_again(as_admin, two):
    kept, merged = two

    preview = as_admin.get("/administration/merge?kept=li@a.example&merged=lina@b.example")
    done = as_admin.post("/administration/merge", data={"kept": kept.id, "merged": merged.id, "reason": "one number"})

    assert "Merge the two accounts" in preview.text
    assert (done.status_code, done.location) == (303, f"/administration/people/{kept.id}")
    assert "Li Na" in as_admin.get("/administration/merges").text
    assert "went up in another one" in as_admin.get(f"/administration/people/{merged.id}").text
    (row,) = db.session.scalars(queries.merges())
    undone = as_admin.post(f"/administration/merges/{row.id}/undo", data={"reason": "sisters"})
    assert undone.status_code == 303
    assert db.session.get(Person, merged.id).is_active


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"kept": "x", "merged": "y", "reason": "z"}, 422),
        ({"reason": ""}, 422),
        ({"same": True, "reason": "x"}, 422),
        ({"closed": True, "reason": "x"}, 409),
    ],
)
def test_a_wrong_merge_comes_back_with_a_reason(as_admin, two, form, status):
    kept, merged = two
    form = dict(form)
    if form.pop("closed", False):
        merged.is_active = False
        db.session.commit()
    form = {"kept": kept.id, "merged": kept.id if form.pop("same", False) else merged.id} | form

    assert as_admin.post("/administration/merge", data=form).status_code == status
    assert db.session.scalars(queries.merges()).all() == []


@pytest.mark.parametrize(
    "query", ["", "?kept=nobody@x.cn&merged=li@a.example", "?kept=li@a.example&merged=li@a.example"]
)
def test_looking_at_nothing_or_nobody_is_no_fault(as_admin, two, query):
    page = as_admin.get(f"/administration/merge{query}")

    assert page.status_code == 200
    assert "Merge the two accounts" not in page.text


def test_the_api_previews_merges_and_undoes(as_admin, two, make):
    kept, merged = two
    body = {"kept_id": str(kept.id), "merged_id": str(merged.id)}

    preview = as_admin.post("/api/v1/merges/preview", json=body)
    made = as_admin.post("/api/v1/merges", json=body | {"reason": "same"})
    again = as_admin.post("/api/v1/merges", json=body | {"reason": "same"})
    undone = as_admin.post(f"/api/v1/merges/{made.json['id']}/undo", json={"reason": "no"})

    assert preview.json["obstacles"] == []
    assert preview.json["warnings"]
    assert (made.status_code, again.status_code, undone.status_code) == (201, 409, 200)
    assert as_admin.get("/api/v1/merges").json[0]["undone_at"] is not None


def test_for_others_there_are_no_accounts(app, make, two):
    kept, merged = two
    merging_by = as_actor(make.platform(PlatformRole.ADMINISTRATOR))
    row = merging.merge(merging_by, kept_id=kept.id, merged_id=merged.id, reason="same")
    browser = sign_in(app, make.member(role=MemberRole.ADMINISTRATOR))

    for address in ("people", f"people/{kept.id}", "merge", "merges"):
        assert browser.get(f"/administration/{address}").status_code == 404
    assert browser.post(f"/administration/merges/{row.id}/undo", data={"reason": "x"}).status_code == 404
    for address, body in (
        (f"people/{kept.id}/close", {"reason": "x"}),
        (f"merges/{row.id}/undo", {"reason": "x"}),
        ("merges/preview", {"kept_id": str(kept.id), "merged_id": str(merged.id)}),
    ):
        assert browser.post(f"/api/v1/{address}", json=body).status_code == 404
    assert browser.get("/api/v1/people").status_code == 404


def test_a_token_reaches_no_account(client, make):
    make.person(token="secret", scopes=("accounts:read", "accounts:write"))

    assert client.get("/api/v1/people", headers={"Authorization": "Bearer secret"}).status_code == 403
