"""What a hub makes of the platform's answer, of a start's options, and of its own environment."""

import base64
import json
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tornado import web

from deploy.hub import settings
from deploy.hub.admission import Platform, Refused, Spec, read_answer
from deploy.hub.hooks import environment, take_options
from deploy.hub.lesson_files import LessonFile
from deploy.hub.settings import BadSettings

SPEC = {"cores": 1.5, "memory_mb": 1024, "accelerators": 0, "session": "0198c0de-0000-7000-8000-000000000001"}


def granted(**changes: Any) -> Spec:
    return read_answer({"allow": True, "spec": {**SPEC, **changes}})


def test_a_yes_carries_the_spec() -> None:
    spec = granted(
        language="zh-CN",
        timezone="Asia/Shanghai",
        lease_ends_at="2026-03-02T10:00:00+00:00",
        default_path="课程/first lesson.ipynb",
        environment={"COURSE": "ai-101"},
        files=[{"path": "课程/first lesson.ipynb", "base64": base64.b64encode(b"{}").decode()}],
    )

    assert (spec.cores, spec.memory_mb, spec.language, spec.timezone) == (1.5, 1024, "zh_CN", "Asia/Shanghai")
    assert spec.default_url == "/lab/tree/%E8%AF%BE%E7%A8%8B/first%20lesson.ipynb"
    assert spec.files == (LessonFile("课程/first lesson.ipynb", b"{}"),)


def test_what_may_be_missing_has_a_default() -> None:
    spec = granted(timezone="../../etc", language="tlh")

    assert (spec.language, spec.timezone, spec.default_url, spec.files) == ("en", "UTC", "/lab", ())


def test_a_no_carries_its_reason() -> None:
    with pytest.raises(Refused, match="Your course has 0 credits left"):
        read_answer({"allow": False, "code": "no-budget", "reason": "Your course has 0 credits left."})


NONSENSE: list[Any] = [
    None,
    [],
    "yes",
    {},
    {"allow": 1, "spec": SPEC},
    {"allow": "true", "spec": SPEC},
    {"allow": True},
    {"allow": True, "spec": None},
    {"allow": True, "spec": {**SPEC, "cores": 0}},
    {"allow": True, "spec": {**SPEC, "cores": "many"}},
    {"allow": True, "spec": {**SPEC, "cores": float("nan")}},
    {"allow": True, "spec": {**SPEC, "memory_mb": 8}},
    {"allow": True, "spec": {**SPEC, "memory_mb": None}},
    {"allow": True, "spec": {**SPEC, "default_path": "../other/secret"}},
    {"allow": True, "spec": {**SPEC, "environment": {"LD_PRELOAD": "x"}}},
    {"allow": True, "spec": {**SPEC, "environment": {"JUPYTERHUB_API_TOKEN": "x"}}},
    {"allow": True, "spec": {**SPEC, "environment": {"PATH": "x"}}},
    {"allow": True, "spec": {**SPEC, "environment": {"A B": "x"}}},
    {"allow": True, "spec": {**SPEC, "environment": {"A": "x\0y"}}},
    {"allow": True, "spec": {**SPEC, "environment": ["A"]}},
    {"allow": True, "spec": {**SPEC, "files": [{"path": "/etc/passwd", "base64": ""}]}},
    {"allow": True, "spec": {**SPEC, "files": [{"path": "a", "base64": "*"}]}},
    {"allow": True, "spec": {**SPEC, "files": [{"path": "a"}]}},
    {"allow": True, "spec": {**SPEC, "files": 7}},
]


@pytest.mark.parametrize("answer", NONSENSE)
def test_anything_else_is_a_no(answer: Any) -> None:
    with pytest.raises(Refused):
        read_answer(answer)


def test_the_labs_environment_tells_what_it_may_know() -> None:
    platform = Platform("http://platform", "embedded", "the secret of the center")

    found = environment(granted(environment={"COURSE": "ai-101"}, lease_ends_at=None), platform)

    assert found["COURSE"] == "ai-101"
    assert found["CHANCAI_SESSION"] == SPEC["session"]
    assert found["OMP_NUM_THREADS"] == "2"
    assert "the secret of the center" not in repr((found, platform))


@pytest.mark.parametrize(
    "options", [{"cores": 9}, {"session": "1"}, {"session": "0" * 32, "cmd": "sh"}, {"session": []}]
)
def test_a_start_takes_no_other_option(options: dict[str, Any]) -> None:
    with pytest.raises(web.HTTPError) as refusal:
        take_options(SimpleNamespace(), options)

    assert refusal.value.status_code == 400


@pytest.mark.parametrize("options", [{}, {"session": "0123456789abcdef" * 2}])
def test_a_start_may_carry_its_session(options: dict[str, Any]) -> None:
    take_options(SimpleNamespace(), options)


# Settings

HUB = {
    "center": "embedded",
    "token": "t" * 64,
    "client_id": "hub",
    "client_secret": "c" * 32,
    "admission_secret": "a" * 32,
}


@pytest.fixture
def told(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "hubs.json").write_text(json.dumps([{**HUB, "center": "other"}, HUB]))
    return {
        "HUBS_FILE": str(tmp_path / "hubs.json"),
        "HUB_DIR": str(tmp_path / "hub"),
        "HOMES_DIR": str(tmp_path / "homes"),
        "HUB_BIND_PORT": "8700",
        "HUB_API_PORT": "8701",
        "HUB_PROXY_API_PORT": "8702",
        "HUB_PUBLIC_URL": "http://localhost:8700/",
        "PLATFORM_URL": "http://127.0.0.1:8600",
    }


def test_settings_are_read_and_keep_their_secrets(told: dict[str, str]) -> None:
    hub = settings.read(told)

    assert (hub.center, hub.spawner, hub.bind_host, hub.bind_port) == ("embedded", "auto", "127.0.0.1", 8700)
    assert hub.public_url == "http://localhost:8700"
    assert not any(HUB[name] in repr(hub) for name in ("token", "client_secret", "admission_secret"))


WRONG = [
    ("HUBS_FILE", ""),
    ("HUBS_FILE", "/nowhere/hubs.json"),
    ("HUB_CENTER", "third"),
    ("HUB_DIR", "relative"),
    ("HUB_BIND_PORT", "eighty"),
    ("HUB_API_PORT", "0"),
    ("HUB_PROXY_API_PORT", "65536"),
    ("HUB_PUBLIC_URL", "localhost:8700"),
    ("PLATFORM_URL", "http://127.0.0.1:8600/platform"),
    ("HUB_SPAWNER", "docker"),
    ("HUB_LOG_LEVEL", "WARNING"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_setting_is_named(told: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(BadSettings) as complaint:
        settings.read({**told, name: value})

    assert name in str(complaint.value) or value in str(complaint.value)


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "[1]", json.dumps([{**HUB, "token": ""}]), json.dumps([{**HUB, "admission_secret": "short"}])],
)
def test_a_wrong_file_of_hubs_is_said_without_its_secrets(told: dict[str, str], content: str) -> None:
    Path(told["HUBS_FILE"]).write_text(content)

    with pytest.raises(BadSettings) as complaint:
        settings.read(told)

    assert "HUBS_FILE" in str(complaint.value)
    assert "short" not in str(complaint.value).replace("too short", "")
    assert HUB["client_secret"] not in str(complaint.value)


def test_a_kept_secret_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    made = settings.kept_secret(tmp_path / "key")

    assert settings.kept_secret(tmp_path / "key") == made
    assert len(bytes.fromhex(made)) == 32
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
