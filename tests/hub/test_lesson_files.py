"""Lesson files in a home whose owner has laid traps."""

import errno
import os
from pathlib import Path

import pytest

from deploy.hub import lesson_files
from deploy.hub.lesson_files import BadPath, LessonFile, Owner, make_home, parts, write

NOTEBOOK = LessonFile("ai-101/notebooks/first.ipynb", b"{}")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    make_home(home)
    return home


def test_a_home_is_private_and_made_once(home: Path) -> None:
    (home / "mine").touch()

    make_home(home)

    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "mine").exists()


def test_a_file_arrives_in_its_folder(home: Path) -> None:
    assert write(home, [NOTEBOOK, LessonFile("数据 1.csv", b"a,b\n")]) == [NOTEBOOK.path, "数据 1.csv"]

    assert (home / NOTEBOOK.path).read_bytes() == b"{}"
    assert (home / "数据 1.csv").read_bytes() == b"a,b\n"
    assert (home / NOTEBOOK.path).stat().st_mode & 0o777 == 0o644


def test_what_is_there_stays_as_it_is(home: Path) -> None:
    write(home, [NOTEBOOK])
    (home / NOTEBOOK.path).write_text("my work")

    assert write(home, [NOTEBOOK, LessonFile("ai-101/new.txt", b"new")]) == ["ai-101/new.txt"]

    assert (home / NOTEBOOK.path).read_text() == "my work"
    assert not list(home.rglob("*.part"))


def test_an_empty_file_of_the_students_stays_empty(home: Path) -> None:
    (home / "ai-101" / "notebooks").mkdir(parents=True)
    (home / NOTEBOOK.path).touch()

    assert write(home, [NOTEBOOK]) == []
    assert (home / NOTEBOOK.path).read_bytes() == b""


@pytest.mark.parametrize("trap", ["ai-101", "ai-101/notebooks", NOTEBOOK.path])
def test_a_link_is_not_followed(home: Path, tmp_path: Path, trap: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (home / trap).parent.mkdir(parents=True, exist_ok=True)
    (home / trap).symlink_to(outside if trap != NOTEBOOK.path else outside / "made")

    assert write(home, [NOTEBOOK, LessonFile("ok.txt", b"ok")]) == ["ok.txt"]

    assert list(outside.iterdir()) == []
    assert (home / trap).is_symlink()


def test_a_home_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "elsewhere")

    for attempt in (lambda: make_home(tmp_path / "home"), lambda: write(tmp_path / "home", [NOTEBOOK])):
        with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
            attempt()


def test_a_file_in_a_folders_place_is_left(home: Path) -> None:
    (home / "ai-101").write_text("a file")

    assert write(home, [NOTEBOOK]) == []
    assert (home / "ai-101").read_text() == "a file"


def test_a_pipe_in_a_files_place_does_not_hold_us_up(home: Path) -> None:
    (home / "ai-101" / "notebooks").mkdir(parents=True)
    os.mkfifo(home / NOTEBOOK.path)

    assert write(home, [NOTEBOOK]) == []


def test_a_folder_that_becomes_a_link_meanwhile_is_not_followed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    real = lesson_files._publish

    def swap(folder: int, name: str, content: bytes, owner: Owner | None) -> bool:
        (home / "ai-101" / "notebooks").rename(home / "moved")
        (home / "ai-101" / "notebooks").symlink_to(outside)
        return real(folder, name, content, owner)

    monkeypatch.setattr(lesson_files, "_publish", swap)

    write(home, [NOTEBOOK])

    assert list(outside.iterdir()) == []
    assert (home / "moved" / "first.ipynb").exists()


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "lessons" / "ada.json"


def notebook(text: str) -> LessonFile:
    return LessonFile(NOTEBOOK.path, text.encode())


def test_what_was_deleted_or_renamed_comes_again_and_the_renamed_stays(home: Path, record: Path) -> None:
    write(home, [notebook("1"), LessonFile("b", b"b")], record=record)
    (home / NOTEBOOK.path).rename(home / "ai-101" / "mine.ipynb")
    (home / "b").unlink()

    assert write(home, [notebook("1"), LessonFile("b", b"b")], record=record) == [NOTEBOOK.path, "b"]

    assert (home / NOTEBOOK.path).read_text() == (home / "ai-101" / "mine.ipynb").read_text() == "1"


def test_a_changed_lesson_replaces_what_the_student_has_not_touched(home: Path, record: Path) -> None:
    write(home, [notebook("1")], record=record)

    assert write(home, [notebook("2")], record=record) == [NOTEBOOK.path]
    assert write(home, [notebook("2")], record=record) == []

    assert [path.name for path in (home / "ai-101" / "notebooks").iterdir()] == ["first.ipynb"]
    assert (home / NOTEBOOK.path).read_text() == "2"


def test_a_changed_lesson_lies_beside_what_the_student_has_changed_once(home: Path, record: Path) -> None:
    write(home, [notebook("1")], record=record)
    (home / NOTEBOOK.path).write_text("my work")
    folder = home / "ai-101" / "notebooks"

    assert write(home, [notebook("1")], record=record) == []
    assert write(home, [notebook("2")], record=record) == ["ai-101/notebooks/first.new.ipynb"]
    assert write(home, [notebook("2")], record=record) == []
    (folder / "first.new.ipynb").write_text("my other work")
    assert write(home, [notebook("3")], record=record) == ["ai-101/notebooks/first.new2.ipynb"]
    (folder / "first.new2.ipynb").unlink()
    assert write(home, [notebook("3")], record=record) == []

    assert (home / NOTEBOOK.path).read_text() == "my work"
    assert (folder / "first.new.ipynb").read_text() == "my other work"


def test_what_a_student_brought_to_the_new_version_needs_no_other(home: Path, record: Path) -> None:
    write(home, [notebook("1")], record=record)
    (home / NOTEBOOK.path).write_text("2")

    assert write(home, [notebook("2")], record=record) == []
    assert write(home, [notebook("3")], record=record) == [NOTEBOOK.path]


def test_a_lesson_that_lost_a_file_takes_nothing_away(home: Path, record: Path) -> None:
    write(home, [notebook("1"), LessonFile("b", b"b")], record=record)

    assert write(home, [notebook("1")], record=record) == []

    assert (home / "b").read_bytes() == b"b"


@pytest.mark.parametrize("note", [None, "", "[]", "{", '{"ai-101/notebooks/first.ipynb": 5}'])
def test_a_hub_that_has_forgotten_overwrites_nothing(home: Path, record: Path, note: str | None) -> None:
    write(home, [notebook("1")])
    (home / NOTEBOOK.path).write_text("my work")
    if note is not None:
        record.parent.mkdir()
        record.write_text(note)

    write(home, [notebook("2")], record=record)

    assert (home / NOTEBOOK.path).read_text() == "my work"
    assert write(home, [notebook("2")], record=record) == []


def test_what_is_saved_at_the_last_moment_is_kept(home: Path, record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, [notebook("1")], record=record)
    real = lesson_files._replace

    def save_first(folder: int, name: str, content: bytes, owner: Owner | None, expected: str) -> bool:
        (home / NOTEBOOK.path).write_text("my work")
        return real(folder, name, content, owner, expected)

    monkeypatch.setattr(lesson_files, "_replace", save_first)

    assert write(home, [notebook("2")], record=record) == ["ai-101/notebooks/first.new.ipynb"]

    assert (home / NOTEBOOK.path).read_text() == "my work"
    assert not list(home.rglob("*.part"))


@pytest.mark.parametrize("trap", ["link", "pipe", "folder"])
def test_a_trap_in_the_place_of_what_was_delivered_is_left(home: Path, record: Path, tmp_path: Path, trap: str) -> None:
    write(home, [notebook("1")], record=record)
    file, outside = home / NOTEBOOK.path, tmp_path / "outside"
    outside.write_text("1")  # as if it were ours
    file.unlink()
    if trap == "link":
        file.symlink_to(outside)
    elif trap == "pipe":
        os.mkfifo(file)
    else:
        file.mkdir()

    assert write(home, [notebook("2")], record=record) == []

    assert outside.read_text() == "1"


def test_a_full_disk_leaves_no_half_of_a_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)

    with pytest.raises(OSError, match="No space left"):
        write(home, [NOTEBOOK])

    assert [path for path in home.rglob("*") if path.is_file()] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_and_folders_belong_to_the_labs_user(tmp_path: Path) -> None:
    owner = Owner(61200, 61201)
    make_home(tmp_path / "home", owner)
    (tmp_path / "home" / "roots").mkdir()

    write(tmp_path / "home", [NOTEBOOK, LessonFile("roots/file", b"")], owner)

    made = [".", "ai-101", "ai-101/notebooks", NOTEBOOK.path, "roots/file"]
    assert {(found.st_uid, found.st_gid) for found in map(os.stat, (tmp_path / "home" / path for path in made))} == {
        (61200, 61201)
    }
    assert (tmp_path / "home" / "roots").stat().st_uid == 0


BAD = [
    "",
    "/etc/passwd",
    "..",
    "../x",
    "a/../../x",
    "a//b",
    "a/",
    "./a",
    "a\0b",
    "a\nb",
    "a\\b",
    "x" * 201,
    "a/" * 16 + "b",
]


@pytest.mark.parametrize("path", BAD)
def test_a_path_that_leaves_the_home_or_is_no_name_is_refused(home: Path, path: str) -> None:
    with pytest.raises(BadPath):
        write(home, [LessonFile(path, b"")])

    assert list(home.iterdir()) == []


def test_a_good_path_is_cut_into_names() -> None:
    assert parts("课程 1/.hidden/a..b") == ("课程 1", ".hidden", "a..b")
