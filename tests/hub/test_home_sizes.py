"""How much a home holds, measured without trusting what is in it."""

import os
import subprocess
from pathlib import Path

import pytest

from deploy.hub import home_sizes
from deploy.hub.home_sizes import HomeSizes, measure
from tests.hub.loops import in_a_loop

KIB = 1024


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


def fill(path: Path, kib: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(kib * KIB))


def size(home: Path) -> int:
    found = measure(home)
    assert found
    return found.size_bytes


def test_what_lies_anywhere_in_it_counts(home: Path) -> None:
    fill(home / "a", 64)
    fill(home / "deep" / "er" / "b", 64)
    fill(home / ".hidden", 64)

    found = measure(home)

    assert found
    assert 3 * 64 * KIB <= found.size_bytes < 3 * 64 * KIB + 64 * KIB
    assert (found.files, found.is_whole) == (5, True)


def test_a_file_with_two_names_counts_once_and_a_hole_not_at_all(home: Path) -> None:
    fill(home / "a", 256)
    os.link(home / "a", home / "b")
    with (home / "hole").open("wb") as file:
        file.truncate(1 << 40)

    assert 256 * KIB <= size(home) < 320 * KIB


def test_no_link_is_followed(home: Path, tmp_path: Path) -> None:
    fill(tmp_path / "outside" / "big", 1024)
    (home / "folder").symlink_to(tmp_path / "outside")
    (home / "file").symlink_to(tmp_path / "outside" / "big")
    (home / "loop").symlink_to(home)

    assert size(home) < 64 * KIB


def test_a_folder_that_becomes_a_link_meanwhile_is_not_followed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "outside" / "big", 1024)
    (home / "folder").mkdir()
    real = home_sizes._Walk._into

    def swap(walk: home_sizes._Walk, folder: int, entry: "os.DirEntry[str]", depth: int) -> bool:
        (home / "folder").rmdir()
        (home / "folder").symlink_to(tmp_path / "outside")
        return real(walk, folder, entry, depth)

    monkeypatch.setattr(home_sizes._Walk, "_into", swap)

    assert size(home) < 64 * KIB


def test_folders_in_folders_without_end_do_no_harm(home: Path) -> None:
    place = os.open(home, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=place)
        inside = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inside
    os.close(place)

    found = measure(home)

    subprocess.run(["rm", "-rf", home / "d"], check=True)  # pytest's own sweep would recurse too deep
    assert found
    assert found.files == home_sizes.DEEPEST + 1


def test_what_takes_too_long_is_ended_and_counts_as_far_as_it_got(home: Path) -> None:
    fill(home / "a", 64)

    found = measure(home, seconds=-1)

    assert found
    assert found.is_whole is False


def test_there_may_be_no_home(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)

    assert measure(tmp_path / "none") is None
    assert measure(tmp_path / "link") is None


def test_homes_are_measured_in_turn_and_anew_after_a_while_or_a_labs_end(tmp_path: Path) -> None:
    now = [0.0]
    sizes = HomeSizes(lambda: now[0])
    homes = [tmp_path / name for name in ("a", "b")]
    for home in homes:
        fill(home / "x", 4)

    def measured() -> list[Path]:
        found = []
        while (home := in_a_loop(sizes.measure_next(homes))) is not None:
            found.append(home)
        return found

    assert sorted(measured()) == homes
    assert measured() == []
    sizes.forget_soon(homes[1])
    assert measured() == [homes[1]]
    now[0] += home_sizes.SECONDS_TO_BELIEVE
    assert sorted(measured()) == homes
    known = sizes.known(homes[0])
    assert known
    assert known.files == 1


def test_half_a_measurement_does_not_make_a_home_smaller(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(home / "a", 64)
    now = [0.0]
    sizes = HomeSizes(lambda: now[0])
    in_a_loop(sizes.measure_next([home]))
    whole = sizes.known(home)

    monkeypatch.setattr(home_sizes, "measure", lambda home: measure(home, seconds=-1))
    now[0] += home_sizes.SECONDS_TO_BELIEVE
    in_a_loop(sizes.measure_next([home]))

    assert sizes.known(home) == whole


def test_homes_that_nobody_asks_about_are_forgotten(home: Path) -> None:
    sizes = HomeSizes()
    in_a_loop(sizes.measure_next([home]))

    in_a_loop(sizes.measure_next([]))

    assert sizes.known(home) is None
