"""What a hub tells the platform of its labs, round by round; with labs and a platform that do as they like."""

import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.hub import reports
from deploy.hub.home_sizes import HomeSizes
from deploy.hub.reports import Lab, Reporter, read_news
from labs import internal
from tests.hub.loops import in_a_loop

NEWS = {"owner": "Ada", "lease_ends_at": None, "keep_alive_until": None, "notices": []}


class Platform:
    """Listens, answers what it is told to, or fails."""

    def __init__(self) -> None:
        self.pages: list[list[dict[str, Any]]] = []
        self.answer: Callable[[dict[str, Any]], Any] = lambda row: NEWS
        self.trouble: Exception | None = None

    async def report(self, labs: list[dict[str, Any]]) -> Any:
        if self.trouble:
            raise self.trouble
        self.pages.append(labs)
        return {"labs": {row["server"]: self.answer(row) for row in labs}}


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def reporter(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Reporter:
    monkeypatch.setattr(Reporter, "_begin", lambda self: None)  # rounds are made by hand
    return Reporter(platform)


def lab(tmp_path: Path, name: str = "lab-1", uid: int | None = None) -> Lab:
    found = Lab(name, tmp_path / "homes" / name, tmp_path / name, os.geteuid() if uid is None else uid)
    found.room.mkdir()
    found.home.mkdir(parents=True)
    return found


def say(one: Lab, **changes: Any) -> None:
    body = {"at": datetime.now(UTC).isoformat(), "kernels": 2, "busy": 1} | changes
    (one.room / "activity.json").write_text(json.dumps(body))


def test_every_lab_is_told_of_in_pages(reporter: Reporter, platform: Platform, tmp_path: Path) -> None:
    for number in range(3):
        reporter.add(lab(tmp_path, f"lab-{number}"))
    reports_in_a_page, reports.LABS_IN_A_PAGE = reports.LABS_IN_A_PAGE, 2
    try:
        in_a_loop(reporter.round())
    finally:
        reports.LABS_IN_A_PAGE = reports_in_a_page

    assert [[row["server"] for row in page] for page in platform.pages] == [["lab-0", "lab-1"], ["lab-2"]]


def test_a_lab_that_says_nonsense_is_told_of_as_one_that_says_nothing(
    reporter: Reporter, platform: Platform, tmp_path: Path
) -> None:
    good, bad = lab(tmp_path, "lab-1"), lab(tmp_path, "lab-2")
    say(good, last_busy_at="2026-03-02T09:00:00Z")
    say(bad, kernels="many", server="lab-1")
    reporter.add(good)
    reporter.add(bad)

    in_a_loop(reporter.round())

    first, second = platform.pages[0]
    assert (first["kernels"], first["busy_kernels"], first["last_busy_at"]) == (2, 1, "2026-03-02T09:00:00+00:00")
    assert (second["server"], second["kernels"], second["busy_kernels"]) == ("lab-2", 0, 0)


def test_a_click_is_told_once_and_again_only_if_it_was_not_heard(
    reporter: Reporter, platform: Platform, tmp_path: Path
) -> None:
    one = lab(tmp_path)
    reporter.add(one)
    say(one, keep_alive={"id": "a1", "minutes": 60})

    platform.trouble = OSError("down")
    in_a_loop(reporter.round())
    platform.trouble = None
    for _ in range(3):
        in_a_loop(reporter.round())
    say(one, keep_alive={"id": "a2", "minutes": 30})
    in_a_loop(reporter.round())

    assert [page[0]["keep_alive_minutes"] for page in platform.pages] == [60, None, None, 30]


def test_news_are_written_when_they_have_changed(reporter: Reporter, platform: Platform, tmp_path: Path) -> None:
    one = lab(tmp_path)
    reporter.add(one)
    file = one.room / "news.json"

    in_a_loop(reporter.round())
    first = file.stat().st_ino, file.stat().st_mtime_ns
    in_a_loop(reporter.round())
    again = file.stat().st_ino, file.stat().st_mtime_ns
    platform.answer = lambda row: NEWS | {"owner": "Eve"}
    in_a_loop(reporter.round())

    assert first == again
    assert json.loads(file.read_text())["owner"] == "Eve"


def test_a_lab_that_takes_no_news_does_not_keep_them_from_others(
    reporter: Reporter, platform: Platform, tmp_path: Path
) -> None:
    closed, other = lab(tmp_path, "lab-1"), lab(tmp_path, "lab-2")
    (closed.room / "news.json" / "in the way").mkdir(parents=True)
    reporter.add(closed)
    reporter.add(other)

    in_a_loop(reporter.round())

    assert json.loads((other.room / "news.json").read_text()) == NEWS


@pytest.mark.parametrize("answer", [None, [], "x", {}, {"labs": None}, {"labs": []}, {"labs": {"lab-1": "x"}}])
def test_an_answer_that_makes_no_sense_does_no_harm(
    reporter: Reporter, platform: Platform, tmp_path: Path, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = lab(tmp_path)
    reporter.add(one)

    async def answer_so(labs: list[dict[str, Any]]) -> Any:
        return answer

    monkeypatch.setattr(platform, "report", answer_so)
    in_a_loop(reporter.round())

    assert not (one.room / "news.json").exists()


def test_a_platform_that_does_not_hear_is_complained_of_once(
    reporter: Reporter, platform: Platform, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reporter.add(lab(tmp_path))
    platform.trouble = OSError("down")

    with caplog.at_level(logging.WARNING, "chancai.hub"):
        for _ in range(3):
            in_a_loop(reporter.round())
        platform.trouble = None
        in_a_loop(reporter.round())

    assert [record.message for record in caplog.records] == [
        "The platform does not hear what the labs do: down",
        "The platform hears again what the labs do",
    ]


def test_the_size_of_a_home_is_told_once_more_after_its_labs_end(
    reporter: Reporter, platform: Platform, tmp_path: Path
) -> None:
    one = lab(tmp_path)
    reporter.add(one)
    sizes: HomeSizes = reporter._homes
    in_a_loop(sizes.measure_next([one.home]))
    (one.home / "late").write_bytes(bytes(1 << 16))

    reporter.remove(one.server)
    in_a_loop(reporter.round())
    assert platform.pages == []  # not measured since
    in_a_loop(sizes.measure_next([one.home]))
    in_a_loop(reporter.round())
    in_a_loop(reporter.round())

    ((row,),) = platform.pages
    assert row["home_bytes"] >= 1 << 16
    assert (row["kernels"], row["busy_kernels"]) == (0, 0)


def test_the_platform_understands_what_a_hub_tells(reporter: Reporter, platform: Platform, tmp_path: Path) -> None:
    one = lab(tmp_path, "lab-" + "a" * 32)
    reporter.add(one)
    now = datetime.now(UTC).isoformat()
    moments = {"last_busy_at": now, "last_accelerator_at": now, "last_seen_person_at": now}
    say(one, accelerator_percent=7, keep_alive={"id": "a1", "minutes": 60}, **moments)
    in_a_loop(reporter._homes.measure_next([one.home]))

    in_a_loop(reporter.round())

    heard = internal._report(json.loads(json.dumps(platform.pages[0][0])))
    assert heard
    assert (heard.kernels, heard.busy_kernels, heard.accelerator_percent, heard.keep_alive_minutes) == (2, 1, 7, 60)
    assert heard.home
    assert heard.last_busy_at == heard.last_accelerator_at == heard.last_seen_person_at == datetime.fromisoformat(now)


def test_only_what_a_notice_has_is_taken_down() -> None:
    good = {"id": "a", "kind": "k", "tone": "error", "text": "t" * 5000, "url": None, "more": "x"}
    found = read_news(NEWS | {"notices": [good, {"id": "b"}, "x", {"id": "c", "text": "t", "tone": "loud"}], "x": 1})

    assert found
    assert found["notices"] == [
        {"id": "a", "kind": "k", "text": "t" * 1000, "url": None, "tone": "error"},
        {"id": "c", "kind": None, "text": "t", "url": None, "tone": "info"},
    ]
    assert set(found) == set(NEWS)
