"""`chancai run` for real: it answers, says what is in its way, and leaves nothing behind however it ends."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from app.embedded import database, environment, postgres
from app.embedded.var import Var
from tests.campus import Campus, alive, launch, room, started, until
from tests.embedded.disks import small_disk

pytestmark = pytest.mark.campus
Connection = psycopg.Connection[tuple[object, ...]]
QUICK = ("--no-demo", "--port", "0", "--labs-port", "0")


@pytest.fixture(scope="module")
def var_dir() -> Iterator[Path]:
    """A folder that each test starts from anew, so that only the first has to make a database."""
    with room() as folder:
        yield folder / "a folder of 学生's"


def answer_of(url: str) -> int:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status


def command(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return subprocess.run(
        [sys.executable, "-P", "-m", "app.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**clean, **env},
        cwd="/",
        timeout=120,
    )


def test_all_of_it_answers(campus: Campus):
    assert answer_of(f"{campus.platform_url}/readyz") == 200
    assert answer_of(f"{campus.labs_url}/hub/health") == 200
    assert set(campus.parts) == {"postgres", "hub", "worker", "web"}


def test_it_says_where_it_is_and_who_may_sign_in(campus: Campus):
    assert "Chancai is ready after" in campus.said
    assert campus.platform_url in campus.said
    assert campus.sign_ins
    for person in campus.sign_ins:
        assert person["login"] in campus.said


def test_platform_and_labs_are_on_different_host_names(campus: Campus):
    assert campus.platform_url.startswith("http://127.0.0.1:")
    assert campus.labs_url.startswith("http://localhost:")


def test_secrets_are_not_in_the_log(campus: Campus):
    var = Var(campus.var_dir)
    hub = json.loads((var.secrets / "hubs.json").read_text())[0]
    secrets = [hub["token"], hub["client_secret"], hub["admission_secret"], (var.secrets / "secret_key").read_text()]

    assert not [secret for secret in secrets if secret in campus.said]


def test_nobody_else_can_look_into_the_var_folder(campus: Campus):
    open_to_others = [
        path
        for path in campus.var_dir.iterdir()
        if not path.is_symlink() and path.stat().st_mode & 0o077 and path.name not in ("homes",)
    ]

    assert open_to_others == []


def test_the_second_start_in_the_same_folder_says_where_the_first_one_is(campus: Campus):
    second = launch(campus.var_dir, log="second")

    assert second.wait() == 3
    assert f"already runs in {campus.var_dir} (process {campus.process.pid}) at {campus.platform_url}" in second.said
    assert answer_of(f"{campus.platform_url}/readyz") == 200


def test_the_doctor_finds_it_well(campus: Campus):
    done = command("doctor", "--json", "--var-dir", str(campus.var_dir))

    findings = {row["what"]: row["level"] for row in json.loads(done.stdout)["findings"]}
    assert done.returncode == 0, done.stdout
    assert {findings[what] for what in ("platform", "labs", "database", "tables", "ports")} == {"ok"}


def test_commands_typed_by_hand_find_its_settings(campus: Campus):
    done = command("db", "current", VAR_DIR=str(campus.var_dir))

    assert done.returncode == 0, done.stderr
    assert "(head)" in done.stdout


def test_taken_ports_are_passed_over_and_said(var_dir: Path):
    with socket.create_server(("127.0.0.1", 0)) as platform, socket.create_server(("127.0.0.1", 0)) as labs:
        taken = platform.getsockname()[1], labs.getsockname()[1]
        options = ("--no-demo", "--port", str(taken[0]), "--labs-port", str(taken[1]))
        with started(var_dir, *options) as campus:
            assert f"Port {taken[0]} is taken, so the platform uses " in campus.said
            assert f"Port {taken[1]} is taken, so the labs uses " in campus.said
            assert answer_of(f"{campus.platform_url}/readyz") == 200
            assert answer_of(f"{campus.labs_url}/hub/health") == 200


@contextmanager
def watched(var_dir: Path) -> Iterator[tuple[Campus, list[psutil.Process]]]:
    """A campus, and all of its processes, even those that hide in sessions of their own."""
    with started(var_dir, *QUICK) as campus:
        everything = campus.everything()
        assert len(everything) > 10  # PostgreSQL alone has half a dozen
        yield campus, everything


def test_ctrl_c_stops_all_of_it(var_dir: Path):
    with watched(var_dir) as (campus, everything):
        campus.interrupt()

        assert campus.wait() == 0
        assert alive(everything) == []
        assert Var(var_dir).running() is None
        assert not list(Path("/tmp").glob(f"chancai-{os.geteuid()}-{postgres.short_name(var_dir)}"))


@pytest.mark.parametrize("name", ["postgres", "hub", "worker", "web"])
def test_when_a_part_is_killed_all_of_it_stops(var_dir: Path, name: str):
    with watched(var_dir) as (campus, everything):
        os.kill(campus.parts[name], signal.SIGKILL)

        assert campus.wait() == 1
        assert f"{name} was killed by SIGKILL" in campus.said
        assert alive(everything) == []


def test_killed_itself_it_takes_all_along(var_dir: Path):
    with watched(var_dir) as (campus, everything):
        campus.process.kill()
        campus.wait()

        until(lambda: alive(everything) == [], within=60)


def test_killed_with_its_guard_the_next_start_clears_up(var_dir: Path):
    with watched(var_dir) as (campus, everything):
        working_half = psutil.Process(campus.process.pid).children()[0]
        working_half.suspend()
        campus.process.kill()
        working_half.kill()
        campus.wait()
        web = psutil.Process(campus.parts["web"])
        assert alive([web])

        with started(var_dir, *QUICK, log="again") as again:
            assert "Ended what a killed start had left running" in again.said
            assert alive(everything) == []


def test_a_database_that_is_not_there_is_said_in_a_sentence(tmp_path: Path):
    campus = launch(tmp_path / "var", env={"DATABASE_URL": "postgresql+psycopg://me:hush@127.0.0.1:1/campus"})

    assert campus.wait() == 1
    assert "The database campus at 127.0.0.1:1 cannot be reached: " in campus.said
    assert "Traceback" not in campus.said
    assert "hush" not in campus.said


@pytest.mark.parametrize("url", ["nonsense", "mysql://root@localhost/campus", "postgresql+psycopg://me@host:port/x"])
def test_a_database_url_that_is_none_is_said_in_a_sentence(tmp_path: Path, url: str):
    campus = launch(tmp_path / "var", env={"DATABASE_URL": url})

    assert campus.wait() == 1
    assert "DATABASE_URL" in campus.said
    assert "Traceback" not in campus.said


def test_a_command_without_a_database_says_so_in_a_sentence():
    done = command("db", "upgrade", DATABASE_URL="postgresql+psycopg://me:hush@127.0.0.1:1/campus", SECRET_KEY="x")

    assert done.returncode == 1
    assert "The database campus at 127.0.0.1:1 cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hush" not in done.stderr


def test_an_outside_database_is_used_and_left_running(tmp_path: Path, empty_database: str):
    with started(tmp_path / "var", *QUICK, env={"DATABASE_URL": empty_database}) as campus:
        assert set(campus.parts) == {"hub", "worker", "web"}
        assert answer_of(f"{campus.platform_url}/readyz") == 200

    assert database.check(empty_database).startswith("18.")


def test_a_var_folder_on_a_full_disk_is_said_in_a_sentence():
    with room() as folder, small_disk(folder / "disk", mebibytes=8) as disk:
        campus = launch(disk / "var")

        assert campus.wait() == 1
        assert f"The disk that holds {disk / 'var'} is full: " in campus.said
        assert "Traceback" not in campus.said


def test_a_disk_that_fills_up_and_is_emptied_again_costs_a_statement():
    with (
        room() as folder,
        small_disk(folder / "disk", mebibytes=400) as disk,
        started(disk / "var", *QUICK) as campus,
        connected(disk / "var") as connection,
    ):
        connection.execute("CREATE TABLE ballast (words text)")
        with filled(disk), pytest.raises(psycopg.errors.DiskFull):
            connection.execute("INSERT INTO ballast SELECT repeat('x', 1000) FROM generate_series(1, 10000)")

        connection.execute("INSERT INTO ballast SELECT repeat('x', 1000) FROM generate_series(1, 10000)")

        assert connection.execute("SELECT count(*) FROM ballast").fetchone() == (10000,)
        assert answer_of(f"{campus.platform_url}/readyz") == 200


def test_a_disk_without_room_for_the_log_of_changes_stops_all_of_it_and_says_so():
    with room() as folder, small_disk(folder / "disk", mebibytes=400) as disk:
        with started(disk / "var", *QUICK) as campus, connected(disk / "var") as connection:
            everything = campus.everything()
            connection.execute("CREATE TABLE ballast AS SELECT 1 AS number FROM generate_series(1, 10000)")
            rewrite(connection)  # makes it as large as it will ever be
            with filled(disk):
                with pytest.raises(psycopg.OperationalError):
                    rewrite_without_end(connection)

                assert campus.wait() == 1
            assert f"The disk that holds {disk / 'var'} is full" in campus.said
            assert alive(everything) == []

        with started(disk / "var", *QUICK, log="again") as again:
            assert answer_of(f"{again.platform_url}/readyz") == 200


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """The disk full to the last byte, for a while."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    yield
    ballast.unlink()


@contextmanager
def connected(var_dir: Path) -> Iterator[Connection]:
    settings: dict[str, str] = {}
    environment.adopt_from(Var(var_dir), settings)
    conninfo = settings["DATABASE_URL"].replace("postgresql+psycopg", "postgresql")
    with contextlib.closing(psycopg.connect(conninfo, autocommit=True)) as connection:
        yield connection


def rewrite(connection: Connection) -> None:
    """Change every row, and give the room of the old ones back: only the log of changes grows."""
    connection.execute("UPDATE ballast SET number = number + 1")
    connection.execute("VACUUM ballast")


def rewrite_without_end(connection: Connection) -> None:
    while True:
        rewrite(connection)
