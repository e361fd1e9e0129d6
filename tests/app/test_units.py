"""The systemd units: systemd understands them, they are walled in, and no secret stands in them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app.config import Settings, SettingsError

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
EXPOSED_AT_MOST = 20  # tenths, as `systemd-analyze security` counts: 2.0 is "OK"
MUST_HAVE = ("NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "SystemCallFilter=")


def analyze(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("NO UNIT IS CHECKED BY SYSTEMD: there is no systemd-analyze here")
    return subprocess.run(
        [tool, *arguments],
        cwd=folder,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_PAGER": "", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def installed(tmp_path):
    """The units as if this checkout lay in /opt/chancai, with a hub of a center named slurm."""
    for unit in SERVICES:
        text = unit.read_text().replace("/opt/chancai", str(ROOT))
        (tmp_path / unit.name.replace("@.", "@slurm.")).write_text(text)
    template = (tmp_path / "chancai-hub@slurm.service").read_text()
    (tmp_path / "chancai-hub@.service").write_text(template)
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.glob("*.service") if "@." not in path.name)


def test_systemd_understands_every_unit(installed):
    answer = analyze("verify", "--man=no", *(f"./{name}" for name in names(installed)), folder=installed)

    ours = [line for line in answer.stderr.splitlines() if "chancai" in line]
    assert (answer.returncode, ours) == (0, [])


def test_every_unit_is_walled_in(installed):
    for name in names(installed):
        threshold = f"--threshold={EXPOSED_AT_MOST}"
        answer = analyze("security", "--offline=yes", "--no-pager", threshold, f"./{name}", folder=installed)
        assert answer.returncode == 0, (name, answer.stdout[-300:], answer.stderr)


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_unit_has_its_walls_and_no_secret(unit):
    text = unit.read_text()

    assert [line for line in MUST_HAVE if line not in text] == []
    assert re.findall(r"^Environment=.*\b(SECRET_KEY|DATABASE_URL|METRICS_TOKEN|SMTP_URL)=", text, re.M) == []
    loaded = set(re.findall(r"^LoadCredential=([\w.]+):", text, re.M))
    assert set(re.findall(r"%d/([\w.]+)", text)) <= loaded


def test_settings_take_secrets_from_the_files_of_credentials(tmp_path):
    for name, text in (("url", "postgresql+psycopg://here\n"), ("key", "a key\n"), ("token", "x" * 30 + "\n")):
        (tmp_path / name).write_text(text)
    files = {"DATABASE_URL_FILE": "url", "SECRET_KEY_FILE": "key", "METRICS_TOKEN_FILE": "token"}

    settings = Settings.from_env({name: str(tmp_path / file) for name, file in files.items()})

    assert settings.database_url == "postgresql+psycopg://here"
    assert settings.secret_key == "a key"
    assert settings.metrics_token == "x" * 30
    assert "x" * 30 not in repr(settings)


def test_a_file_of_secrets_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsError, match="no-such-file"):
        Settings.from_env({"DATABASE_URL": "x", "SECRET_KEY_FILE": str(tmp_path / "no-such-file")})


def test_a_token_that_can_be_guessed_is_refused():
    with pytest.raises(SettingsError, match="METRICS_TOKEN"):
        Settings.from_env({"DATABASE_URL": "x", "SECRET_KEY": "y", "METRICS_TOKEN": "short"})
