"""Pages and API of partners and of the administration."""

import io

import pytest

from accounts import queries
from accounts.models import Partner
from accounts.services import contacts
from app import clock
from app.access import SYSTEM, MemberRole, PlatformRole
from tests.accounts.test_agreements import png, svg
from tests.conftest import as_actor, sign_in

OPEN = {"slug": "qdu", "kind": "university", "title_zh": "青大", "title_en": "Qingdao", "time_zone": "Asia/Shanghai"}


@pytest.fixture
def partner(make) -> Partner:
    return make.partner(slug="qust")


@pytest.fixture
def as_own(app, make, partner):
    return sign_in(app, make.member(partner, MemberRole.ADMINISTRATOR))


@pytest.fixture
def as_member(app, make, partner):
    return sign_in(app, make.member(partner))


@pytest.fixture
def as_stranger(app, make):
    return sign_in(app, make.member(role=MemberRole.ADMINISTRATOR))


@pytest.fixture
def as_platform(app, make):
    return sign_in(app, make.platform(PlatformRole.ADMINISTRATOR))


def test_a_partner_has_a_card_and_its_people_see_whom_to_ask(partner, as_member, as_stranger):
    contacts.add(SYSTEM, partner.slug, name="Zhou Ting", role="Academic affairs", phone="0532 1")

    own, others = as_member.get("/partners/qust"), as_stranger.get("/partners/qust")

    assert "Zhou Ting" in own.text
    assert "Takes part" in own.text
    assert others.status_code == 200
    assert "Zhou Ting" not in others.text
    assert as_member.get("/partners/qust/settings").status_code == 404
    assert as_stranger.get("/partners/qust/settings").status_code == 404


def test_an_administrator_keeps_the_settings(partner, as_own):
    contact = {"name": "Zhou Ting", "role": "Academic affairs", "email": "zhou@q.example", "phone": ""}

    assert as_own.post("/partners/qust/settings/contacts", data=contact).status_code == 303
    assert as_own.post("/partners/qust/settings", data={"time_zone": "Asia/Tokyo"}).status_code == 303
    page = as_own.get("/partners/qust/settings")

    (row,) = queries.contacts(partner.id)
    assert row.phone is None
    assert "zhou@q.example" in page.text
    assert queries.partner("qust").time_zone == "Asia/Tokyo"
    assert as_own.post(f"/partners/qust/settings/contacts/{row.id}/remove").status_code == 303
    assert queries.contacts(partner.id) == []


@pytest.mark.parametrize(
    ("address", "form"),
    [("", {"time_zone": "Mars/Base"}), ("/contacts", {"name": "", "role": "x"}), ("/logo", {})],
)
def test_wrong_settings_come_back_with_a_reason(partner, as_own, address, form):
    answer = as_own.post(f"/partners/qust/settings{address}", data=form)

    assert answer.status_code == 422
    assert "note-danger" in answer.text


def test_a_logo_is_shown_with_headers_that_let_it_do_nothing(partner, as_own, as_stranger):
    sent = as_own.post("/partners/qust/settings/logo", data={"logo": (io.BytesIO(svg()), "logo.svg")})
    digest = queries.logo_digest(partner.id)
    picture = as_stranger.get(f"/partners/qust/logo/{digest}")

    assert sent.status_code == 303
    assert picture.data == svg()
    assert picture.headers["Content-Type"].startswith("image/svg+xml")
    assert "sandbox" in picture.headers["Content-Security-Policy"]
    assert "default-src 'none'" in picture.headers["Content-Security-Policy"]
    assert picture.headers["X-Content-Type-Options"] == "nosniff"
    assert "immutable" in picture.headers["Cache-Control"]
    assert f"/partners/qust/logo/{digest}" in as_own.get("/partners/qust").text
    assert as_stranger.get(f"/partners/qust/logo/{'0' * 64}").status_code == 404
    assert as_own.post("/partners/qust/settings/logo/remove").status_code == 303
    assert queries.logo_digest(partner.id) is None


@pytest.mark.parametrize("content", [png() + b"\0" * 300_000, b"not a picture", svg("<script/>")])
def test_a_picture_that_is_no_logo_is_explained(partner, as_own, content):
    answer = as_own.post("/partners/qust/settings/logo", data={"logo": (io.BytesIO(content), "logo.png")})

    assert answer.status_code == 422
    assert queries.logo_digest(partner.id) is None


def test_the_administration_opens_a_partner_and_agrees_with_it(as_platform):
    made = as_platform.post(
        "/administration/partners", data=OPEN | {"until": "2026-12-31", "email_domains": "q.cn w.cn"}
    )
    partner = queries.partner("qdu")
    (agreement,) = queries.agreements(partner.id)

    assert (made.status_code, made.location) == (303, "/administration/partners/qdu")
    assert partner.email_domains == ["q.cn", "w.cn"]
    assert agreement.until_at.isoformat() == "2026-12-31T16:00:00+00:00"  # midnight in Shanghai, the last day included
    assert "Qingdao" in as_platform.get("/administration").text
    page = as_platform.get("/administration/partners/qdu")
    assert "Agreements" in page.text


def test_the_administration_moves_ends_names_and_domains(as_platform, partner):
    (agreement,) = queries.agreements(partner.id)
    base = "/administration/partners/qust"

    ended = as_platform.post(f"{base}/agreements/{agreement.id}/end", data={"now": "1", "reason": "over"})
    assert ended.status_code == 303
    assert queries.under_agreement([partner.id]) == set()
    made = as_platform.post(f"{base}/agreements", data={"from": "2026-03-01", "until": "2027-02-28", "reference": "7"})
    assert made.status_code == 303
    assert queries.under_agreement([partner.id]) == {partner.id}
    assert as_platform.post(f"{base}/names", data={"title_zh": "新", "title_en": "New"}).status_code == 303
    assert as_platform.post(f"{base}/domains", data={"email_domains": "new.cn"}).status_code == 303
    again = queries.partner("qust")
    assert (again.title_en, again.email_domains) == ("New", ["new.cn"])


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("/administration/partners", OPEN | {"slug": "No Good"}),
        ("/administration/partners", OPEN | {"kind": "club"}),
        ("/administration/partners", OPEN | {"until": "soon"}),
        ("/administration/partners", OPEN | {"time_zone": "../etc/passwd", "until": "2027-01-01"}),
        ("/administration/partners/qust/agreements", {"from": "2026-02-02", "until": "2026-02-01"}),
        ("/administration/partners/qust/agreements", {"until": "9999-12-31"}),
        ("/administration/partners/qust/names", {"title_zh": "", "title_en": ""}),
        ("/administration/partners/qust/domains", {"email_domains": "nodot"}),
        ("/administration/roles", {"email": "nobody@x.cn", "role": "operator", "reason": "x"}),
    ],
)
def test_wrong_input_comes_back_with_a_reason(as_platform, partner, address, form):
    answer = as_platform.post(address, data=form)

    assert answer.status_code == 422
    assert "note-danger" in answer.text


def test_a_short_name_in_use_is_refused(as_platform, partner):
    assert as_platform.post("/administration/partners", data=OPEN | {"slug": "qust"}).status_code == 409


def test_an_agreement_is_looked_for_under_its_own_partner(as_platform, partner, make):
    (other,) = queries.agreements(make.partner().id)
    address = f"/administration/partners/qust/agreements/{other.id}/end"

    assert as_platform.post(address, data={"now": "1", "reason": "x"}).status_code == 404


def test_platform_roles_are_given_and_ended_with_a_reason(as_platform, make):
    he = make.person(email="he@hpc.example", name="He Jing")
    form = {"email": "HE@hpc.example", "role": "operator", "reason": "night shift", "until": "2026-04-30"}

    assert as_platform.post("/administration/roles", data=form).status_code == 303
    page = as_platform.get("/administration/roles").text
    assert "He Jing" in page
    assert "night shift" in page
    (grant,) = [grant for grant, person in queries.platform_roles() if person.id == he.id]
    assert as_actor(he).may_operate
    assert as_platform.post(f"/administration/roles/{grant.id}/end", data={"reason": "over"}).status_code == 303
    assert not as_actor(he).may_operate


@pytest.mark.parametrize(
    "address",
    ["/administration", "/administration/roles", "/administration/partners/qust", "/administration/partners/none"],
)
def test_for_others_there_is_no_administration(as_own, as_platform, client, address, partner):
    assert as_own.get(address).status_code == 404
    assert client.get(address).status_code == 302


# --- the API ------------------------------------------------------------------------------------------------------


def test_the_api_opens_a_partner_and_keeps_its_agreements(as_platform):
    body = {"slug": "qdu", "kind": "company", "title_zh": "甲", "title_en": "A", "email_domains": ["a.cn"]}

    made = as_platform.post("/api/v1/partners", json=body)
    changed = as_platform.patch("/api/v1/partners/qdu", json={"title_en": "B", "time_zone": "Asia/Tokyo"})
    agreement = as_platform.get("/api/v1/partners/qdu/agreements").json[0]
    end = {"until_at": clock.now().isoformat(), "reason": "over"}
    ended = as_platform.post(f"/api/v1/partners/qdu/agreements/{agreement['id']}/end", json=end)

    assert (made.status_code, changed.status_code, ended.status_code) == (201, 200, 422)  # it began this very moment
    end["until_at"] = "2026-03-03T00:00:00+00:00"
    ended = as_platform.post(f"/api/v1/partners/qdu/agreements/{agreement['id']}/end", json=end)
    assert ended.json["until_at"] == "2026-03-03T00:00:00+00:00"
    assert changed.json["title_en"] == "B"
    assert changed.json["title_zh"] == "甲"
    again = as_platform.post("/api/v1/partners/qdu/agreements", json={"reference": "2"})
    assert again.status_code == 201


def test_the_api_keeps_contacts_and_logo(as_own, partner):
    made = as_own.post("/api/v1/partners/qust/contacts", json={"name": "Zhou", "role": "Office"})
    logo = as_own.put("/api/v1/partners/qust/logo", data=png(), content_type="image/png")

    assert made.status_code == 201
    assert logo.json["media_type"] == "image/png"
    assert as_own.get("/api/v1/partners/qust/contacts").json == [made.json]
    assert as_own.delete(f"/api/v1/partners/qust/contacts/{made.json['id']}").status_code == 204
    assert as_own.delete("/api/v1/partners/qust/logo").status_code == 204


def test_the_api_gives_and_ends_platform_roles(as_platform, make):
    person = make.person()

    made = as_platform.post(
        "/api/v1/platform-roles", json={"person_id": str(person.id), "role": "operator", "reason": "duty"}
    )
    assert made.status_code == 201
    assert made.json["id"] in {row["id"] for row in as_platform.get("/api/v1/platform-roles").json}
    ended = as_platform.post(f"/api/v1/platform-roles/{made.json['id']}/end", json={"reason": "over"})
    assert ended.json["until_at"] == clock.now().isoformat()


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("get", "/api/v1/partners/qust/agreements"),
        ("get", "/api/v1/partners/qust/contacts"),
        ("put", "/api/v1/partners/qust/logo"),
        ("delete", "/api/v1/partners/qust/logo"),
        ("get", "/api/v1/platform-roles"),
    ],
)
def test_what_is_another_partners_is_not_there(as_stranger, partner, method, address):
    answer = getattr(as_stranger, method)(address)
    missing = getattr(as_stranger, method)(address.replace("qust", "none"))

    assert (answer.status_code, missing.status_code) == (404, 404)
    assert {k: v for k, v in answer.json.items() if k != "instance"} == {
        k: v for k, v in missing.json.items() if k != "instance"
    }


def test_a_token_changes_partners_only_with_the_scope(app, make, partner):
    browser = app.test_client()
    for secret, scopes, status in (("a", ("accounts:read",), 403), ("b", ("partners:write",), 404)):
        make.person(token=secret, scopes=scopes)
        headers = {"Authorization": f"Bearer {secret}"}
        answer = browser.patch("/api/v1/partners/qust", json={"time_zone": "Asia/Tokyo"}, headers=headers)
        assert answer.status_code == status
