"""Where a Chromium is, for the tests in a browser."""

import os
import shutil
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APPLICATIONS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
IN_PLAYWRIGHT = ("chrome-linux*/chrome", "chrome-mac*/Chromium.app/Contents/MacOS/Chromium")


def find() -> Path | None:
    """CHROMIUM where it is set, else the first that is installed."""
    chosen = os.environ.get("CHROMIUM")
    if chosen:
        return Path(chosen) if os.access(chosen, os.X_OK) else None
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    found = found or next((path for path in APPLICATIONS if os.access(path, os.X_OK)), None)
    return Path(found) if found else _of_playwright()


def _of_playwright() -> Path | None:
    """The newest that `playwright install chromium` has fetched."""
    caches = (Path.home() / ".cache" / "ms-playwright", Path.home() / "Library" / "Caches" / "ms-playwright")
    programs = [path for cache in caches for inside in IN_PLAYWRIGHT for path in cache.glob(f"chromium-*/{inside}")]
    return max(programs, key=lambda path: path.stat().st_mtime, default=None)
