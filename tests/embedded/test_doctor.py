"""The doctor: says what is wrong, what to do about it, and nothing but good when all is well."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.embedded import chromium, doctor, ports
from app.embedded.doctor import Finding, Level
from app.embedded.errors import CannotStart
from app.embedded.var import Running, Var
from deploy.hub import bubblewrap


@pytest.fixture
def var(tmp_path) -> Var:
    return Var(tmp_path / "var")


def only(findings) -> Finding:
    found = list(findings)
    assert len(found) == 1, found
    return found[0]


def test_this_python_will_do():
    assert only(doctor.python()).level is Level.OK


@pytest.mark.parametrize(
    ("version", "level"),
    [((3, 10, 12), Level.ERROR), ((3, 11, 2), Level.OK), ((3, 13, 0), Level.OK), ((3, 14, 0), Level.WARNING)],
)
def test_a_python_too_old_is_an_error_and_one_too_new_a_warning(monkeypatch, version, level):
    monkeypatch.setattr(doctor.sys, "version_info", version)

    finding = only(doctor.python())

    assert finding.level is level
    assert bool(finding.remedy) is (level is not Level.OK)


def test_the_packages_here_are_as_pinned():
    assert only(doctor.packages()).level is Level.OK


def test_a_package_of_another_version_or_missing_is_named(tmp_path):
    pins = tmp_path / "requirements.txt"
    pins.write_text('# pins\nflask==0.1\nno-such-package==1.0\nelsewhere==2.0; sys_platform == "nowhere"\npytest>=1\n')

    finding = only(doctor.packages(pins))

    assert finding.level is Level.ERROR
    assert "flask (3." in finding.found
    assert "no-such-package (nothing instead of ==1.0)" in finding.found
    assert "elsewhere" not in finding.found
    assert "make install" in finding.remedy


def test_postgresql_runs_here(var, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)

    assert next(iter(doctor.postgresql(var))).found.startswith("postgres (PostgreSQL) 18")


def test_a_postgresql_that_does_not_run_is_an_error(var, tmp_path, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    tmp_path.chmod(0o755)
    broken = tmp_path / "bin" / "postgres"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho 'libz.so: no such file' >&2; exit 127\n")
    broken.chmod(0o755)
    monkeypatch.setattr(doctor.postgres, "installation", lambda: tmp_path)

    finding = only(doctor.postgresql(var))

    assert finding.level is Level.ERROR
    assert "libz.so: no such file" in finding.found


def test_room_for_a_new_campus(var):
    assert only(doctor.folder(var)).level is Level.OK


def test_too_little_room_is_an_error(var, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10 * 2**20}))

    finding = only(doctor.folder(var))

    assert finding.level is Level.ERROR
    assert "300 MiB are needed" in finding.remedy


def test_a_folder_that_cannot_be_written_is_an_error():
    assert only(doctor.folder(Var(Path("/proc/var")))).level is Level.ERROR


def test_secrets_that_others_can_read_are_an_error(var):
    var.secrets.mkdir(parents=True)
    (var.secrets / "secret_key").write_text("x")
    (var.secrets / "secret_key").chmod(0o644)

    finding = next(iter(doctor.secret_files(var)))

    assert finding.level is Level.ERROR
    assert finding.remedy == f"chmod 600 {var.secrets / 'secret_key'}"


def test_a_taken_port_is_a_warning_for_the_next_one_is_used(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        monkeypatch.setattr(doctor, "USUAL_PORTS", {taken: "the platform", ports.choose(0): "the labs"})

        finding = only(doctor.free_ports(None))

    assert finding.level is Level.WARNING
    assert str(taken) in finding.found


def test_ports_that_chancai_itself_uses_are_fine():
    assert only(doctor.free_ports(Running(pid=1, platform="http://127.0.0.1:8600"))).level is Level.OK


def test_labs_without_walls_are_a_warning_with_the_remedy(monkeypatch):
    monkeypatch.setattr(bubblewrap, "usable", lambda: "Install bubblewrap.")

    finding = only(doctor.isolation())

    assert (finding.level, finding.remedy) == (Level.WARNING, "Install bubblewrap.")


def test_walls_are_fine(monkeypatch):
    monkeypatch.setattr(bubblewrap, "usable", lambda: None)

    assert only(doctor.isolation()).level is Level.OK


def test_no_browser_is_a_warning(monkeypatch):
    monkeypatch.setattr(chromium, "find", lambda: None)

    assert only(doctor.browser()).level is Level.WARNING


def test_services_that_do_not_answer_are_errors():
    findings = list(doctor.services(Running(pid=1, platform="http://127.0.0.1:1", labs="http://127.0.0.1:1")))

    assert [finding.level for finding in findings] == [Level.ERROR, Level.ERROR]


def test_a_database_that_does_not_answer_is_said_without_its_password(var, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://me:hush@127.0.0.1:1/campus")

    with pytest.raises(CannotStart) as problem:
        list(doctor.tables(var, None))

    assert "The database campus at 127.0.0.1:1 cannot be reached" in str(problem.value)
    assert "hush" not in str(problem.value)


def test_an_empty_database_is_not_at_the_newest_migration(var, monkeypatch, empty_database):
    monkeypatch.setenv("DATABASE_URL", empty_database)

    finding = list(doctor.tables(var, None))[-1]

    assert (finding.level, finding.remedy) == (Level.ERROR, "Run `chancai db upgrade`.")


def test_a_check_that_fails_is_a_finding(var, monkeypatch):
    def faint(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(doctor, "browser", faint)

    findings = {finding.what: finding for finding in doctor.examine(var)}

    assert findings["browser for tests"].found == "could not be examined: ZeroDivisionError: oh"


def test_the_command_says_it_to_programs_too(tmp_path):
    clean = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "open").touch(mode=0o644)

    done = subprocess.run(
        [sys.executable, "-P", "-m", "app.cli", "doctor", "--json", "--var-dir", tmp_path],
        capture_output=True,
        text=True,
        env=clean,
        cwd="/",
        check=False,
    )

    answer = json.loads(done.stdout)
    assert (done.returncode, answer["healthy"]) == (1, False)
    assert [row["what"] for row in answer["findings"] if row["level"] == "error"] == ["secrets"]
