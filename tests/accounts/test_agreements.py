"""Agreements, contacts and logos: what a partner may still start, whom to ask there, what it looks like."""

import struct
import zlib
from datetime import timedelta

import pytest

import app.clock
from accounts import logos, queries
from accounts.errors import LogoRefused
from accounts.models import PartnerKind
from accounts.services import agreements, contacts, logo, partners
from app import clock
from app.access import SYSTEM, MemberRole, PlatformRole
from app.errors import Forbidden, Invalid, NotFound
from tests.conftest import as_actor


def png(width: int = 8, height: int = 8) -> bytes:
    """A real picture of one color."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + b"\x20\x40\x80" * width for _n in range(min(height, 64)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def svg(inside: str = '<path d="M0 0h8v8z" fill="url(#a)"/>', attributes: str = "") -> bytes:
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8" {attributes}>{inside}</svg>'.encode()


def jpeg(width: int = 8, height: int = 8) -> bytes:
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    return b"\xff\xd8\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0" + frame + b"\xff\xd9"


@pytest.fixture
def admin(make):
    return as_actor(make.platform(PlatformRole.ADMINISTRATOR))


def test_a_partner_is_opened_with_an_agreement(make, admin):
    partner = partners.open_partner(
        admin,
        slug="ouc",
        kind=PartnerKind.UNIVERSITY,
        title_zh="海大",
        title_en="Ocean",
        email_domains=["@OUC.cn "],
    )

    (agreement,) = queries.agreements(partner.id)
    assert (agreement.from_at, agreement.until_at) == (clock.now(), None)
    assert queries.under_agreement([partner.id]) == {partner.id}
    assert partner.email_domains == ["ouc.cn"]


def test_an_agreement_holds_from_its_first_moment_until_before_its_last(make, clock):
    now = app.clock.now()
    partner = make.partner(agreed=False)
    make.agreement(partner, from_at=now, until_at=now + timedelta(days=1))

    assert queries.under_agreement([partner.id]) == {partner.id}
    clock.shift(timedelta(days=1))
    assert queries.under_agreement([partner.id]) == set()
    clock.shift(timedelta(days=-1, microseconds=-1))
    assert queries.under_agreement([partner.id]) == set()


def test_one_agreement_of_several_is_enough(make, admin):
    partner, now = make.partner(agreed=False), clock.now()
    make.agreement(partner, from_at=now - timedelta(days=9), until_at=now - timedelta(days=1))
    make.agreement(partner, from_at=now + timedelta(days=1), until_at=None)

    assert queries.under_agreement([partner.id]) == set()
    agreements.make(admin, partner.slug, until_at=now + timedelta(days=2), reference="2026-17")
    assert queries.under_agreement([partner.id]) == {partner.id}


def test_the_end_of_an_agreement_is_moved_with_a_reason(make, admin):
    partner = make.partner()
    (agreement,) = queries.agreements(partner.id)

    with pytest.raises(Invalid):
        agreements.set_end(admin, agreement.id, clock.now(), " ")
    agreements.set_end(admin, agreement.id, clock.now(), "not renewed")
    assert queries.under_agreement([partner.id]) == set()
    agreements.set_end(admin, agreement.id, None, "a mistake")
    assert queries.under_agreement([partner.id]) == {partner.id}


def test_an_agreement_that_has_not_begun_is_called_off(make, admin):
    partner, now = make.partner(agreed=False), clock.now()
    agreement = agreements.make(admin, partner.slug, from_at=now + timedelta(days=5))

    agreements.set_end(admin, agreement.id, now, "called off")

    assert agreement.until_at == now
    assert queries.under_agreement([partner.id]) == set()


def test_a_period_that_ends_before_it_begins_is_refused(make, admin):
    partner, now = make.partner(agreed=False), clock.now()

    with pytest.raises(Invalid):
        agreements.make(admin, partner.slug, from_at=now, until_at=now)


def test_only_the_platform_makes_agreements_and_gives_domains(make):
    partner = make.partner()
    own = as_actor(make.member(partner, MemberRole.ADMINISTRATOR))

    with pytest.raises(Forbidden):
        agreements.make(own, partner.slug)
    with pytest.raises(Forbidden):
        agreements.set_end(own, queries.agreements(partner.id)[0].id, None, "please")
    with pytest.raises(Forbidden):
        partners.set_domains(own, partner.slug, ["gmail.com"])


@pytest.mark.parametrize("wrong", ["nodot", "a b.cn", "-a.cn", "a..cn", "a.c", "x" * 300 + ".cn"])
def test_what_is_no_domain_is_refused(make, wrong):
    with pytest.raises(Invalid):
        partners.set_domains(SYSTEM, make.partner().slug, [wrong])


def test_a_partner_keeps_its_contacts_and_time_zone(make):
    partner = make.partner()
    own = as_actor(make.member(partner, MemberRole.ADMINISTRATOR))

    contact = contacts.add(own, partner.slug, name="周婷", role="教务处", email="zhou@a.example", phone="+86 532 6678")
    partners.set_time_zone(own, partner.slug, "Europe/Berlin")

    assert [c.name for c in queries.contacts(partner.id)] == ["周婷"]
    assert partner.time_zone == "Europe/Berlin"
    contacts.remove(own, partner.slug, contact.id)
    assert queries.contacts(partner.id) == []


@pytest.mark.parametrize(
    "values", [{"name": " "}, {"role": ""}, {"role": "x" * 101}, {"email": "nobody"}, {"phone": "call me"}]
)
def test_a_wrong_contact_is_refused(make, values):
    with pytest.raises(Invalid):
        contacts.add(SYSTEM, make.partner().slug, **{"name": "Zhou", "role": "Office"} | values)


def test_a_contact_of_another_partner_is_not_there(make):
    own, other = make.partner(), make.partner()
    contact = contacts.add(SYSTEM, other.slug, name="Zhou", role="Office")
    administrator = as_actor(make.member(own, MemberRole.ADMINISTRATOR))

    with pytest.raises(NotFound):
        contacts.remove(administrator, own.slug, contact.id)
    with pytest.raises(Forbidden):
        contacts.remove(administrator, other.slug, contact.id)


@pytest.mark.parametrize(
    ("content", "kind"), [(png(), logos.PNG), (jpeg(), logos.JPEG), (svg(), logos.SVG)], ids=["png", "jpeg", "svg"]
)
def test_a_logo_is_kept_under_its_digest(make, content, kind):
    partner = make.partner()

    row = logo.put(SYSTEM, partner.slug, content)
    logo.put(SYSTEM, partner.slug, content)

    assert row.media_type == kind
    assert queries.logo(partner.id, row.sha256).content == content
    with pytest.raises(NotFound):
        queries.logo(partner.id, "0" * 64)
    logo.remove(SYSTEM, partner.slug)
    assert queries.logo_digest(partner.id) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html><svg></html>",
        b"GIF89a" + b"\0" * 40,
        png()[:30],
        png(width=5000),
        jpeg(height=5000),
        png() + b"\0" * logos.LARGEST,
        svg("<script>alert(1)</script>"),
        svg('<foreignObject><p xmlns="http://www.w3.org/1999/xhtml">x</p></foreignObject>'),
        svg('<image href="https://elsewhere.example/x.png"/>'),
        svg('<use href="https://elsewhere.example/x.svg#a"/>'),
        svg('<a href="javascript:alert(1)"><path d=""/></a>'),
        svg('<path fill="url(https://elsewhere.example/#a)"/>'),
        svg('<path fill="url(#a) url(https://elsewhere.example/)"/>'),
        svg(attributes='onload="alert(1)"'),
        svg(attributes='style="background:url(//elsewhere.example)"'),
        svg("<style>path { fill: url(//elsewhere.example) }</style>"),
        svg("<animate attributeName='href' to='javascript:alert(1)'/>"),
        b'<!DOCTYPE svg [<!ENTITY a "aaaa">]>' + svg("<text>&a;</text>"),
        b'<?xml-stylesheet href="//elsewhere.example"?>' + svg(),
        svg("<g>"),
        b'<svg xmlns="http://elsewhere.example"/>',
    ],
)
def test_a_picture_that_may_harm_is_no_logo(make, content):
    with pytest.raises(LogoRefused):
        logo.put(SYSTEM, make.partner().slug, content)


def test_another_partner_does_not_change_the_logo(make):
    partner = make.partner()

    with pytest.raises(Forbidden):
        logo.put(as_actor(make.member(role=MemberRole.ADMINISTRATOR)), partner.slug, png())
