"""The doctor at a center: a real hub that is well, and one that is ill in each way."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from app.config import HubSettings
from app.embedded.doctor import Level
from labs import examining
from labs.examining import Subject
from labs.models import CenterKind
from tests.hub.conftest import Campus

pytestmark = pytest.mark.hub


def subject(campus: Campus) -> Subject:
    hub = HubSettings(**json.loads(campus.hubs_file.read_text())[0])
    return Subject(campus.center, CenterKind.HOST, hub, campus.platform.url)


def found(subject: Subject) -> dict[str, tuple[Level, str]]:
    """By what was looked at: how it is, and what was found. Whatever is not well says what to do."""
    findings = examining.examine(subject)
    assert [finding for finding in findings if (finding.level is Level.OK) == bool(finding.remedy)] == []
    told = str(findings)
    assert subject.hub.token not in told
    assert subject.hub.admission_secret not in told
    return {finding.what.partition(": ")[2]: (finding.level, finding.found) for finding in findings}


def test_a_center_that_is_well(campus: Campus) -> None:
    users = {user.name for page in campus.client.users() for user in page}

    findings = found(subject(campus))

    assert {what: level for what, (level, _) in findings.items()} == dict.fromkeys(
        (
            "hub",
            "token",
            "people's rights",
            "clock",
            "hub's account",
            "admission asked here",
            "admission asked by the hub",
        ),
        Level.OK,
    )
    assert {user.name for page in campus.client.users() for user in page} == users  # nothing of it stays


def test_a_hub_that_is_not_there(campus: Campus) -> None:
    ill = subject(campus)
    findings = found(replace(ill, hub=replace(ill.hub, api_url="http://127.0.0.1:1/hub/api")))

    assert findings["hub"][0] is Level.ERROR
    assert findings["admission asked here"][0] is Level.OK


def test_a_token_that_the_hub_does_not_know(campus: Campus) -> None:
    ill = subject(campus)
    findings = found(replace(ill, hub=replace(ill.hub, token="f" * 64)))

    assert findings["token"][0] is Level.ERROR
    assert findings["admission asked by the hub"][0] is Level.ERROR


def test_a_token_that_may_too_much_and_too_little(campus: Campus) -> None:
    ill = subject(campus)
    findings = examining.examine(replace(ill, hub=replace(ill.hub, token=campus.tester_token)))

    said = [finding.found for finding in findings if finding.what.endswith("token")]
    assert said == ["it may not shares", "it may more than it needs: admin:groups, groups, tokens"]


def test_secrets_that_differ(campus: Campus) -> None:
    ill = subject(campus)
    here = found(replace(ill, hub=replace(ill.hub, admission_secret="f" * 64)))
    right, campus.platform.admission_secret = campus.platform.admission_secret, "e" * 64
    try:
        there = found(subject(campus))
    finally:
        campus.platform.admission_secret = right

    assert here["admission asked here"][0] is Level.ERROR
    assert here["admission asked by the hub"][0] is Level.OK
    assert there["admission asked by the hub"][0] is Level.ERROR


def test_a_platform_that_is_away(campus: Campus) -> None:
    with campus.platform.down():
        findings = found(subject(campus))

    assert findings["admission asked here"][0] is Level.ERROR
    assert findings["admission asked by the hub"][0] is Level.ERROR
    assert findings["token"][0] is Level.OK


@pytest.mark.parametrize(("apart", "level"), [(0.4, Level.OK), (10, Level.WARNING), (-400, Level.ERROR)])
def test_clocks_that_differ(campus: Campus, monkeypatch: pytest.MonkeyPatch, apart: float, level: Level) -> None:
    time = examining.time.time
    monkeypatch.setattr(examining.time, "time", lambda: time() + apart)

    clock = next(one for one in examining._about(subject(campus)) if one.what == "clock")

    assert clock.level is level


def test_people_who_may_start_servers(campus: Campus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "OF_PEOPLE", examining.OF_PEOPLE - {"delete:servers!user"})

    level, said = found(subject(campus))["people's rights"]

    assert level is Level.ERROR
    assert "delete:servers!user" in said


def test_what_the_hub_tells_of_itself_is_for_the_platform_only(campus: Campus) -> None:
    hub = subject(campus)
    for token in (campus.tester_token, "f" * 64):
        other = replace(hub, hub=replace(hub.hub, token=token))
        assert examining._get(other, "/chancai/about").status_code == 403


def test_a_checkout_below_a_folder_that_is_closed(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o755)
    closed = tmp_path / "root"
    (closed / "checkout").mkdir(parents=True)
    closed.chmod(0o700)

    findings = list(examining.readable(closed / "checkout", sys.executable))

    assert str(tmp_path.parent) in findings[0].found or str(closed) in findings[0].found
    assert findings[0].level is Level.ERROR
