"""The accounts API: shapes, tenants, sign-ins, and what the OpenAPI document says."""

import pytest

from accounts.services import memberships, signing_in
from app.access import SYSTEM, MemberRole, PlatformRole
from tests.conftest import sign_in


@pytest.fixture
def qdu(make):
    return make.partner(slug="qdu", title_zh="青岛大学", title_en="Qingdao University")


def test_me(app, make, qdu):
    person = make.person(name="王伟", email="wang@qdu.example")
    memberships.join(SYSTEM, partner_id=qdu.id, person_id=person.id, role=MemberRole.STUDENT, number="007")

    response = sign_in(app, person).get("/api/v1/me")

    assert response.json == {
        "id": str(person.id),
        "name": "王伟",
        "name_latin": None,
        "email": "wang@qdu.example",
        "language": "en",
        "time_zone": "Asia/Shanghai",
        "platform_roles": [],
        "memberships": [
            {
                "partner": {"id": str(qdu.id), "slug": "qdu", "title_zh": "青岛大学", "title_en": "Qingdao University"},
                "role": "student",
                "number": "007",
            }
        ],
        "scopes": None,
    }


def test_platform_roles_are_named(app, make):
    operator = make.platform(PlatformRole.OPERATOR)

    assert sign_in(app, operator).get("/api/v1/me").json["platform_roles"] == ["operator"]


@pytest.mark.parametrize("path", ["me", "me/tokens", "me/sign-ins", "me/notices", "partners", "partners/x/members"])
def test_strangers_are_asked_to_sign_in(client, database, path):
    response = client.get(f"/api/v1/{path}")

    assert (response.status_code, response.json["code"]) == (401, "sign-in-required")


def test_the_people_of_a_partner_are_for_its_administrators(app, make, qdu):
    administrator = make.member(qdu, MemberRole.ADMINISTRATOR, name="赵静")
    student = make.member(qdu, name="王伟")

    rows = sign_in(app, administrator).get("/api/v1/partners/qdu/members").json

    assert {(row["person_id"], row["name"], row["role"]) for row in rows} == {
        (str(administrator.id), "赵静", "administrator"),
        (str(student.id), "王伟", "student"),
    }


@pytest.mark.parametrize("role", [MemberRole.STUDENT, MemberRole.ASSISTANT, MemberRole.TEACHER])
def test_for_others_the_list_does_not_exist_like_a_partner_that_does_not(app, make, qdu, role):
    member = sign_in(app, make.member(qdu, role))
    stranger = sign_in(app, make.member(make.partner(), MemberRole.ADMINISTRATOR))

    answers = [
        member.get("/api/v1/partners/qdu/members"),
        stranger.get("/api/v1/partners/qdu/members"),
        stranger.get("/api/v1/partners/no-such/members"),
        stranger.get("/partners/qdu/people"),
        stranger.get("/partners/no-such/people"),
    ]

    assert {answer.status_code for answer in answers} == {404}
    bodies = [{k: v for k, v in answer.json.items() if k != "instance"} for answer in answers[:3]]
    assert bodies[0] == bodies[1] == bodies[2]


def test_partners_are_known_to_everybody_who_signed_in(app, student, qdu):
    browser = sign_in(app, student)

    assert [row["slug"] for row in browser.get("/api/v1/partners").json] == ["qdu"]
    assert browser.get("/api/v1/partners/qdu").json["kind"] == "university"
    assert browser.get("/api/v1/partners/no-such").status_code == 404


def test_sign_ins_are_listed_and_ended(app, student):
    here = sign_in(app, student)
    elsewhere = sign_in(app, student)
    rows = here.get("/api/v1/me/sign-ins").json
    elsewhere_id = min(rows, key=lambda row: row["id"])["id"]

    answers = [here.delete(f"/api/v1/me/sign-ins/{row['id']}").status_code for row in rows if row["id"] != elsewhere_id]

    assert answers == [204]
    assert sorted((here.get("/api/v1/me").status_code, elsewhere.get("/api/v1/me").status_code)) == [200, 401]


def test_somebody_elses_sign_in_does_not_exist(app, student, make):
    key = signing_in.open_sign_in(make.person(), None, None)
    from accounts import queries

    other = queries.visitor_by_sign_in(key)

    assert sign_in(app, student).delete(f"/api/v1/me/sign-ins/{other.sign_in_id}").status_code == 404
    assert queries.visitor_by_sign_in(key) is not None


def test_bad_json_and_unknown_fields_are_named(app, student):
    browser = sign_in(app, student)

    broken = browser.post("/api/v1/me/tokens", data="{", content_type="application/json")
    unknown = browser.post("/api/v1/me/tokens", json={"name": "x", "scopes": ["labs:read"], "admin": True})
    nul = browser.post("/api/v1/me/tokens", json={"name": "x\x00y", "scopes": ["labs:read"]})

    assert broken.status_code == 400
    assert unknown.json["errors"] == [{"pointer": "#/admin", "detail": "Unknown field."}]
    assert nul.status_code == 422


def test_every_route_of_ours_has_a_summary(client):
    paths = client.get("/api/v1/openapi.json").json["paths"]
    ours = {path: item for path, item in paths.items() if path.startswith(("/api/v1/me", "/api/v1/partners"))}

    assert len(ours) >= 9
    for path, item in ours.items():
        for method in ("get", "post", "delete"):
            assert item.get(method, {"summary": "-"}).get("summary"), (method, path)
