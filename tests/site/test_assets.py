"""Static files: names that change with the content, long caching, and what others wrote kept as they wrote it."""

import gzip
import hashlib
import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import assets

TREE = Path(assets.__file__).parent.parent
VENDOR = assets.FOLDER / "vendor"
TEMPLATES = [path for package in ("app", "accounts", "labs", "courses") for path in (TREE / package).rglob("*.html")]


@pytest.fixture
def url(app: Flask) -> str:
    with app.test_request_context():
        return assets.asset("chancai.css")


def test_a_file_under_its_current_name_is_kept_for_a_year(client: FlaskClient, url: str) -> None:
    response = client.get(url)

    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_a_file_under_an_old_name_is_asked_for_again(client: FlaskClient, url: str) -> None:
    response = client.get(url.split("?")[0] + "?v=old")

    assert response.headers["Cache-Control"] == "no-cache"


def test_the_name_changes_with_the_content(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "FOLDER", tmp_path)
    file = tmp_path / "page.css"

    with app.test_request_context():
        file.write_text("a {}")
        before = assets.asset("page.css")
        file.write_text("b {} ")
        after = assets.asset("page.css")

    assert before != after


def test_text_is_sent_packed_to_who_can_unpack_it(client: FlaskClient, url: str) -> None:
    packed = client.get(url, headers={"Accept-Encoding": "gzip"})
    plain = client.get(url, headers={"Accept-Encoding": "identity"})

    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert len(packed.data) < len(plain.data) / 3


def test_what_the_browser_has_is_not_sent_again(client: FlaskClient, url: str) -> None:
    tag = client.get(url).headers["ETag"]

    assert client.get(url, headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize("path", ["../config.py", "nothing.css", "%2e%2e/config.py", "vendor"])
def test_nothing_outside_the_folder_is_served(client: FlaskClient, path: str) -> None:
    assert client.get(f"/static/{path}").status_code == 404


def test_vendored_files_are_what_their_list_says() -> None:
    listed = dict(re.findall(r"^\| `([^`]+)` .* `([0-9a-f]{64})` \|$", (VENDOR / "VENDORED.md").read_text(), re.M))
    found = {
        str(path.relative_to(VENDOR)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.glob("*/*")
        if path.name not in ("LICENSE", "names.txt")
    }

    assert found == listed
    assert {path.parent for path in VENDOR.glob("*/LICENSE")} == {path for path in VENDOR.iterdir() if path.is_dir()}


def test_every_icon_in_use_is_in_the_sprite_and_no_other() -> None:
    sprite = set(re.findall(r'<symbol id="([^"]+)"', (VENDOR / "tabler-icons" / "icons.svg").read_text()))
    text = "\n".join(path.read_text() for path in TEMPLATES)
    called = set(re.findall(r"""\bicon\(\s*["']([a-z0-9-]+)["']""", text))
    called |= set(re.findall(r"""\bempty\(.*["']([a-z0-9-]+)["']\)""", text))
    quoted = set(re.findall(r"""["']([a-z][a-z0-9-]*)["']""", text))

    assert called <= sprite
    assert sprite <= quoted


def test_templates_load_nothing_from_elsewhere_and_carry_no_inline_code() -> None:
    forbidden = re.compile(
        r"""<style|\sstyle=|<script(?![^>]*\ssrc=)|\son[a-z]+=|javascript:|(?:src|href)=["'](?:https?:)?//|hx-on""",
        re.I,
    )
    faults = [(path.name, hit) for path in TEMPLATES for hit in forbidden.findall(path.read_text())]

    assert TEMPLATES
    assert faults == []
