"""The embedded PostgreSQL: made once, found again, and clear about what keeps it from starting."""

import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from app.embedded import database, postgres
from app.embedded.errors import CannotStart
from app.embedded.postgres import Cluster
from tests.campus import until
from tests.embedded.disks import small_disk

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away and mount disks")


@pytest.fixture
def home() -> Iterator[Path]:
    with TemporaryDirectory(prefix="chancai-test-", dir="/tmp", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


@contextmanager
def serving(cluster: Cluster) -> Iterator["subprocess.Popen[bytes]"]:
    server = subprocess.Popen(
        cluster.command(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **cluster.account.popen_options(),
    )
    try:
        postgres.wait_until_ready(cluster, lambda: server.poll() is None)
        yield server
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=30)


def test_what_was_written_is_there_at_the_next_start(home):
    cluster = postgres.prepare(home)
    with serving(cluster):
        postgres.create_database(cluster)
        with psycopg.connect(cluster.conninfo("chancai"), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 'öä中文' AS word")

    again = postgres.prepare(home)
    with serving(again):
        postgres.create_database(again)
        with psycopg.connect(again.conninfo("chancai")) as connection:
            assert connection.execute("SELECT upper(word) FROM kept").fetchone() == ("ÖÄ中文",)
            assert connection.execute("SHOW data_checksums").fetchone() == ("on",)


def test_nobody_else_gets_near_it(home):
    cluster = postgres.prepare(home)
    with serving(cluster), psycopg.connect(cluster.conninfo("postgres")) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert stat.S_IMODE(cluster.socket.stat().st_mode) == 0o700
        assert stat.S_IMODE((cluster.socket / postgres.SOCKET_NAME).stat().st_mode) == 0o700
        assert stat.S_IMODE(cluster.data.stat().st_mode) == 0o700


def test_it_starts_again_after_a_kill(home):
    cluster = postgres.prepare(home, settings=postgres.THROW_AWAY)
    with serving(cluster) as server:
        server.kill()
        server.wait()
    assert (cluster.data / "postmaster.pid").exists()

    with serving(postgres.prepare(home, settings=postgres.THROW_AWAY)):
        pass


def test_a_pid_file_that_names_somebody_elses_process_is_forgotten(home):
    cluster = postgres.prepare(home, settings=postgres.THROW_AWAY)
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (cluster.data / "postmaster.pid").write_text(f"{stranger.pid}\n{cluster.data}\n")

        postgres.clear_stale_pid(cluster)

        assert stranger.poll() is None
        assert not (cluster.data / "postmaster.pid").exists()
    finally:
        stranger.kill()
        stranger.wait()


def test_a_server_that_outlived_its_supervisor_is_ended(home):
    cluster = postgres.prepare(home, settings=postgres.THROW_AWAY)
    with serving(cluster) as orphan:
        postgres.clear_stale_pid(cluster)

        until(lambda: orphan.poll() is not None)


def test_an_interrupted_beginning_is_begun_anew(home):
    half_made = home / "postgres.new"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18")

    cluster = postgres.prepare(home, settings=postgres.THROW_AWAY)

    assert (cluster.data / "global" / "pg_control").exists()
    assert not half_made.exists()


def test_data_of_another_version_is_left_alone(home):
    (home / "postgres").mkdir()
    (home / "postgres" / "PG_VERSION").write_text("16\n")

    with pytest.raises(CannotStart, match="made by PostgreSQL 16, and this is PostgreSQL 18"):
        postgres.prepare(home)


def test_the_socket_lies_elsewhere_when_its_path_would_be_too_long(home):
    deep = home / ("x" * 90)
    deep.mkdir()

    cluster = postgres.prepare(deep, settings=postgres.THROW_AWAY)

    try:
        with serving(cluster):
            assert len(os.fsencode(cluster.socket / postgres.SOCKET_NAME)) <= postgres.SOCKET_PATH_LIMIT
    finally:
        shutil.rmtree(cluster.socket)


def test_a_socket_folder_that_others_can_enter_is_refused(home):
    (home / "socket").mkdir()
    (home / "socket").chmod(0o777)

    with pytest.raises(CannotStart, match="open to others"):
        postgres.prepare(home, settings=postgres.THROW_AWAY)


@as_root
def test_under_a_closed_folder_the_data_lie_where_its_user_can_reach_them(home, monkeypatch):
    monkeypatch.setattr(postgres, "ROOT_HOME", home / "lib")
    closed = home / "root"
    (closed / "checkout" / "var").mkdir(parents=True)
    closed.chmod(0o700)

    cluster = postgres.prepare(closed / "checkout" / "var", settings=postgres.THROW_AWAY)

    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert cluster.data.is_relative_to(home / "lib")
    assert any(str(closed) in note for note in cluster.notes)
    with serving(cluster):
        pass


@as_root
def test_programs_its_user_cannot_reach_are_copied(home, monkeypatch):
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    package = postgres.installation().parent
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, closed / part.name, ignore=shutil.ignore_patterns("include", "pginstall"))
    monkeypatch.setattr(postgres, "installation", lambda: closed / package.name / postgres.INSTALLATION)

    cluster = postgres.prepare(home, settings=postgres.THROW_AWAY)

    assert not cluster.programs.is_relative_to(closed)
    with serving(cluster):
        pass


@as_root
def test_a_full_disk_is_said_in_a_sentence(home):
    with small_disk(home / "disk", mebibytes=8) as disk, pytest.raises(CannotStart, match=r"^The disk .* is full"):
        postgres.prepare(disk)


def test_a_folder_that_cannot_be_written_is_said_in_a_sentence(home):
    file = home / "var"
    file.write_text("not a folder")

    with pytest.raises(CannotStart, match="cannot be written"):
        postgres.prepare(file)


def test_a_way_with_blanks_and_chinese_letters_works_for_both_libraries(home):
    odd = home / "a folder of 学生's"
    odd.mkdir(mode=0o711)

    cluster = postgres.prepare(odd, settings=postgres.THROW_AWAY)

    try:
        with serving(cluster):
            postgres.create_database(cluster)
            assert database.check(cluster.url()).startswith("18.")
            with psycopg.connect(cluster.url().replace("postgresql+psycopg", "postgresql")) as connection:
                assert connection.info.dbname == "chancai"
    finally:
        shutil.rmtree(cluster.socket)
