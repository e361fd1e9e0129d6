"""Installing: on any Python from 3.11 on, with or without the part that brings pip, and only when needed."""

import functools
import hashlib
import http.server
import subprocess
import sysconfig
import threading
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import bootstrap
from deploy.bootstrap import CannotInstall


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    (tmp_path / "requirements.txt").write_text("flask==3.1.3\n")
    (tmp_path / "requirements-dev.txt").write_text("-r requirements.txt\npytest==9.2.0\n")
    (tmp_path / "pyproject.toml").write_text("[build-system]\n")
    (tmp_path / "setup.cfg").write_text("[metadata]\nname = chancai\n[mypy]\nstrict = True\n")
    monkeypatch.setattr(bootstrap, "CHECKOUT", tmp_path)
    return tmp_path


@pytest.fixture
def steps(monkeypatch) -> list[str]:
    """What was done, without doing it: making an environment and filling it takes a minute."""
    done: list[str] = []

    def make(place: Path) -> None:
        done.append("make")
        program = place / "bin" / "python"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.unlink(missing_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        (place / ".made-for").write_text(str(place))

    monkeypatch.setattr(bootstrap, "make", make)
    monkeypatch.setattr(bootstrap, "install_packages", lambda place, requirements: done.append(requirements.name))
    monkeypatch.setattr(bootstrap, "install_ourselves", lambda place: done.append("ourselves"))
    return done


@pytest.fixture
def no_pip_settings(tmp_path, monkeypatch) -> None:
    for name in ("PIP_INDEX_URL", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))


@pytest.fixture
def index(tmp_path) -> Iterator[str]:
    """A package index like PyPI's, with one package that holds what the test puts there."""
    (tmp_path / "index" / "pip").mkdir(parents=True)
    handler = functools.partial(Quiet, directory=str(tmp_path / "index"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def offer(tmp_path: Path, wheel: bytes) -> None:
    folder = tmp_path / "index" / "pip"
    (folder / bootstrap.PIP).write_bytes(wheel)
    (folder / "index.html").write_text(f'<a href="old.whl">old</a><a href="{bootstrap.PIP}#sha256=0">new</a>')


def test_other_pins_mean_another_installation(checkout):
    place = checkout / ".venv"
    before = bootstrap.fingerprint(checkout / "requirements.txt", place)
    (checkout / "requirements.txt").write_text("flask==3.1.4\n")

    assert bootstrap.fingerprint(checkout / "requirements.txt", place) != before


def test_pins_of_what_it_runs_on_count_for_tests_too(checkout):
    place = checkout / ".venv"
    before = bootstrap.fingerprint(checkout / "requirements-dev.txt", place)
    (checkout / "requirements.txt").write_text("flask==3.1.4\n")

    assert bootstrap.fingerprint(checkout / "requirements-dev.txt", place) != before


def test_settings_of_tools_do_not(checkout):
    place = checkout / ".venv"
    before = bootstrap.fingerprint(checkout / "requirements.txt", place)
    (checkout / "setup.cfg").write_text("[metadata]\nname = chancai\n[mypy]\nstrict = False\n")

    assert bootstrap.fingerprint(checkout / "requirements.txt", place) == before


def test_the_second_time_nothing_is_done(checkout, steps):
    for _ in range(2):
        bootstrap.install(checkout / ".venv", dev=False)

    assert steps == ["make", "requirements.txt", "ourselves"]


def test_other_pins_are_installed_into_the_same_environment(checkout, steps):
    bootstrap.install(checkout / ".venv", dev=False)
    (checkout / "requirements.txt").write_text("flask==3.1.4\n")
    bootstrap.install(checkout / ".venv", dev=False)

    assert steps == ["make", *["requirements.txt", "ourselves"] * 2]


def test_having_what_tests_need_is_having_what_it_runs_on(checkout, steps):
    bootstrap.install(checkout / ".venv", dev=True)
    bootstrap.install(checkout / ".venv", dev=False)

    assert steps == ["make", "requirements-dev.txt", "ourselves"]


def test_an_environment_whose_python_is_gone_is_made_anew(checkout, steps):
    bootstrap.install(checkout / ".venv", dev=False)
    (checkout / ".venv" / "bin" / "python").unlink()
    (checkout / ".venv" / "bin" / "python").symlink_to("/nonexistent/python3")
    bootstrap.install(checkout / ".venv", dev=False)

    assert steps == ["make", "requirements.txt", "ourselves"] * 2


def test_an_environment_that_was_moved_is_made_anew(checkout, steps):
    bootstrap.install(checkout / "before", dev=False)
    (checkout / "before").rename(checkout / "after")
    bootstrap.install(checkout / "after", dev=False)

    assert steps == ["make", "requirements.txt", "ourselves"] * 2


def test_an_installation_that_was_interrupted_is_not_taken_for_a_finished_one(checkout, steps, monkeypatch):
    def interrupted(place: Path, requirements: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, "install_packages", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bootstrap.install(checkout / ".venv", dev=False)
    bootstrap.install(checkout / ".venv", dev=False)

    assert steps == ["make", "requirements.txt", "ourselves"]


def test_a_python_without_ensurepip_gets_pip_from_the_index(tmp_path, index, monkeypatch, no_pip_settings):
    wheel = bundled_pip()
    monkeypatch.setattr(bootstrap, "PIP", wheel.name)
    monkeypatch.setattr(bootstrap, "PIP_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(bootstrap, "has_ensurepip", lambda: False)
    monkeypatch.setenv("PIP_INDEX_URL", index)
    offer(tmp_path, wheel.read_bytes())
    place = tmp_path / "venv"

    bootstrap.make(place)

    version = subprocess.check_output([place / "bin" / "python", "-m", "pip", "--version"], text=True)
    assert version.split()[1] == wheel.name.split("-")[1]


@pytest.mark.parametrize("way_to_give_up", [subprocess.CalledProcessError(1, "ensurepip"), SystemExit(1)])
def test_an_ensurepip_that_does_not_work_counts_as_none(tmp_path, monkeypatch, way_to_give_up):
    class Broken(venv.EnvBuilder):
        def _setup_pip(self, context: object) -> None:
            raise way_to_give_up

    brought = []
    monkeypatch.setattr(bootstrap.venv, "EnvBuilder", Broken)
    monkeypatch.setattr(bootstrap, "has_ensurepip", lambda: True)
    monkeypatch.setattr(bootstrap, "bring_pip", brought.append)

    bootstrap.make(tmp_path / "venv")

    assert brought == [tmp_path / "venv"]


def test_a_wheel_that_was_tampered_with_is_refused(tmp_path, index, no_pip_settings):
    offer(tmp_path, b"not what it should be")

    with pytest.raises(CannotInstall, match="is not the file it should be"):
        bootstrap.fetch_pip(index)


def test_an_index_without_pip_is_named(tmp_path, index, no_pip_settings):
    (tmp_path / "index" / "pip" / "index.html").write_text("<html></html>")

    with pytest.raises(CannotInstall, match=f"{index}/pip/ has no pip"):
        bootstrap.fetch_pip(index)


def test_an_index_that_does_not_answer_is_named_without_its_password(no_pip_settings):
    with pytest.raises(CannotInstall) as problem:
        bootstrap.fetch_pip("http://user:hush@127.0.0.1:1/simple")

    assert "http://127.0.0.1:1/simple/pip/ cannot be read" in str(problem.value)
    assert "hush" not in str(problem.value)


def test_the_index_is_the_one_pip_would_use(tmp_path, monkeypatch, no_pip_settings):
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://mirror.example/simple%2F\n")

    assert bootstrap.index_url() == "https://mirror.example/simple%2F"

    monkeypatch.setenv("PIP_INDEX_URL", "https://other.example/simple")

    assert bootstrap.index_url() == "https://other.example/simple"


def bundled_pip() -> Path:
    import ensurepip

    folders = [sysconfig.get_config_var("WHEEL_PKG_DIR"), Path(ensurepip.__file__).parent / "_bundled"]
    wheels = [wheel for folder in folders if folder for wheel in Path(folder).glob("pip-*.whl")]
    if not wheels:
        pytest.skip("this Python brings no wheel of pip along")
    return wheels[0]
