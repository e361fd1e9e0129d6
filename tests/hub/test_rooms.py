"""What a lab and its hub put down for one another, when the lab is hostile."""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.hub import rooms
from deploy.hub.rooms import Activity, read_activity, write_news

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
UID = os.geteuid()


@pytest.fixture
def room(tmp_path: Path) -> Path:
    room = tmp_path / "room"
    room.mkdir()
    return room


def say(room: Path, **changes: Any) -> None:
    body = {"at": NOW.isoformat(), "kernels": 2, "busy": 1, "browsers": 1} | changes
    (room / "activity.json").write_text(json.dumps(body))


def test_what_a_lab_says_is_read(room: Path) -> None:
    click = {"id": "00ff", "minutes": 60}
    say(room, last_busy_at="2026-03-02T16:59:00+08:00", accelerator_percent=7, keep_alive=click)

    assert read_activity(room, UID, NOW) == Activity(
        kernels=2,
        busy=1,
        browsers=1,
        last_busy_at=NOW - timedelta(minutes=1),
        accelerator_percent=7,
        keep_alive=("00ff", 60),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"at": None},
        {"at": "now"},
        {"at": (NOW - timedelta(minutes=2)).isoformat()},
        {"at": (NOW + timedelta(minutes=2)).isoformat()},
        {"at": "2026-03-02T09:00:00"},
        {"kernels": -1},
        {"busy": True},
        {"busy": 1.5},
        {"browsers": "1"},
        {"browsers": 10**9},
        {"accelerator_percent": 101},
        {"last_busy_at": ["2026"]},
        {"keep_alive": "yes"},
        {"keep_alive": {"id": "../x", "minutes": 5}},
        {"keep_alive": {"id": "a", "minutes": 0}},
        {"keep_alive": {"id": 5, "minutes": 5}},
        {"padding": "x" * 9000},
    ],
)
def test_what_makes_no_sense_is_not_taken(room: Path, changes: dict[str, Any]) -> None:
    say(room, **changes)

    assert read_activity(room, UID, NOW) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "5", "[" * 8000, '{"at": NaN}', "\x00", "\ud800"])
def test_what_is_no_object_is_not_taken(room: Path, text: str) -> None:
    (room / "activity.json").write_bytes(text.encode("utf-8", "surrogatepass"))

    assert read_activity(room, UID, NOW) is None


def test_only_a_plain_file_of_the_labs_own_is_read(room: Path, tmp_path: Path) -> None:
    say(tmp_path)
    file = room / "activity.json"

    assert read_activity(room, UID, NOW) is None  # nothing there
    file.symlink_to(tmp_path / "activity.json")
    assert read_activity(room, UID, NOW) is None
    file.unlink()
    os.mkfifo(file)
    assert read_activity(room, UID, NOW) is None  # and nobody waits for a writer
    file.unlink()
    file.mkdir()
    assert read_activity(room, UID, NOW) is None
    file.rmdir()
    say(room)
    assert read_activity(room, UID + 1, NOW) is None
    assert read_activity(room, UID, NOW) is not None


def test_what_is_not_taken_holds_nothing_open(room: Path) -> None:
    (room / "activity.json").mkdir()
    before = os.listdir("/dev/fd")

    for _ in range(10):
        read_activity(room, UID, NOW)

    assert len(os.listdir("/dev/fd")) == len(before)


def test_a_room_that_is_a_link_is_not_entered(room: Path, tmp_path: Path) -> None:
    say(room)
    (tmp_path / "link").symlink_to(room)

    assert read_activity(tmp_path / "link", UID, NOW) is None
    with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
        write_news(tmp_path / "link", {})


def test_news_replace_what_a_lab_has_put_in_their_place(room: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("the hub's own")
    (room / "news.json").symlink_to(outside)

    write_news(room, {"owner": "王伟"})

    assert outside.read_text() == "the hub's own"
    assert json.loads((room / "news.json").read_text()) == {"owner": "王伟"}
    assert not (room / "news.json").is_symlink()
    assert [path.name for path in room.iterdir()] == ["news.json"]


def test_news_that_cannot_be_put_down_leave_nothing_behind(room: Path) -> None:
    (room / "news.json").mkdir()
    (room / "news.json" / "x").touch()

    with pytest.raises(OSError, match="directory"):
        write_news(room, {})

    assert [path.name for path in room.iterdir()] == ["news.json"]


def test_a_lab_can_read_its_news_whoever_wrote_them(room: Path) -> None:
    write_news(room, {})

    assert (room / "news.json").stat().st_mode & 0o777 == 0o644


def test_the_limits_are_those_of_the_platform() -> None:
    from labs import internal

    assert (rooms.MOST, rooms.LONGEST_KEEP_ALIVE_MINUTES) == (
        internal.MOST_KERNELS,
        internal.LONGEST_KEEP_ALIVE_MINUTES,
    )
    assert sys.getrecursionlimit() < 8000
