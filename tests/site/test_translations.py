"""Chinese and English are equals: every text is in both catalogs, whole and current."""

import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from flask.testing import FlaskClient

from app import catalogs


@pytest.mark.parametrize("locale", catalogs.LOCALES)
def test_a_catalog_has_every_text_translated(locale: str) -> None:
    assert list(catalogs.faults(locale)) == []


@pytest.mark.parametrize("locale", catalogs.LOCALES)
def test_collecting_the_texts_again_changes_nothing(
    locale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = catalogs._path(locale).read_text()
    catalog = catalogs.updated(locale)
    monkeypatch.setattr(catalogs, "FOLDER", tmp_path)

    catalogs.write(locale, catalog)

    assert catalogs._path(locale).read_text() == kept


def test_chinese_texts_are_chinese() -> None:
    same_in_both = {"API"}
    foreign = [
        text
        for message in catalogs.texts(catalogs.read("zh_CN"))
        for text in catalogs.strings(message)
        if text.isascii() and re.search("[A-Za-z]", catalogs.PLACEHOLDER.sub("", text))
    ]

    assert set(foreign) <= same_in_both


@pytest.mark.parametrize(
    ("id", "string", "flags", "fault"),
    [
        ("Free seats", "", (), "no translation"),
        ("Free seats", "空余名额", ("fuzzy",), "only guessed"),
        ("%(num)s seats", "%(n)s 个名额", (), "other placeholders"),
        ("%(num)s %% left", "剩余 %(num)s", (), "other placeholders"),
        (("%(num)s seat", "%(num)s seats"), ("个名额",), (), "other placeholders"),
    ],
)
def test_a_bad_entry_is_found(
    id: str, string: str, flags: tuple[str, ...], fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, today = Catalog(locale="zh_CN"), Catalog()
    catalog.add(id, string, flags=flags)
    today.add(id)
    monkeypatch.setattr(catalogs, "read", lambda locale: catalog)
    monkeypatch.setattr(catalogs, "extracted", lambda: today)

    (found,) = catalogs.faults("zh_CN")

    assert fault in found


def test_texts_that_come_and_go_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog, today = Catalog(locale="zh_CN"), Catalog()
    catalog.add("Old", "旧")
    today.add("New")
    monkeypatch.setattr(catalogs, "read", lambda locale: catalog)
    monkeypatch.setattr(catalogs, "extracted", lambda: today)

    assert list(catalogs.faults("zh_CN")) == ["zh_CN: not in the catalog: 'New'", "zh_CN: used nowhere: 'Old'"]


def test_a_catalog_is_compiled_when_its_source_is_newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogs, "FOLDER", tmp_path)
    catalog = Catalog(locale="zh_CN")
    catalog.add("Seat", "名额")
    catalogs.write("zh_CN", catalog)
    compiled = catalogs._compiled("zh_CN")

    catalogs.compile_stale()
    first = compiled.stat().st_mtime_ns
    catalogs.compile_stale()

    assert "名额".encode() in compiled.read_bytes()
    assert compiled.stat().st_mtime_ns == first
    assert list(compiled.parent.iterdir()) == [compiled]


@pytest.mark.parametrize(("chosen", "text"), [("zh_CN", "登录"), ("en", "Sign in")])
def test_the_chosen_language_is_kept(client: FlaskClient, chosen: str, text: str) -> None:
    answer = client.post("/language", data={"language": chosen, "next": "/problems"})
    page = client.get("/problems")

    assert (answer.status_code, answer.location) == (303, "/problems")
    assert text in page.text
    assert f'<html lang="{chosen.replace("_", "-")}">' in page.text


def test_an_unknown_language_is_refused(client: FlaskClient) -> None:
    assert client.post("/language", data={"language": "xx", "next": "/"}).status_code == 400


@pytest.mark.parametrize("wanted", ["https://example.org/", "//example.org", "/\\example.org"])
def test_choosing_a_language_sends_nobody_elsewhere(client: FlaskClient, wanted: str) -> None:
    assert client.post("/language", data={"language": "en", "next": wanted}).location == "/"
