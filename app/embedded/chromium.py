"""Where a Chromium is, for the tests in a browser."""

import os
import shutil
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APPLICATIONS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)


def find() -> Path | None:
    """CHROMIUM where it is set, else the first that is installed."""
    chosen = os.environ.get("CHROMIUM")
    if chosen:
        return Path(chosen) if os.access(chosen, os.X_OK) else None
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    found = found or next((path for path in APPLICATIONS if os.access(path, os.X_OK)), None)
    return Path(found) if found else None
