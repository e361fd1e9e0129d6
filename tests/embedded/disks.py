"""A small disk that can be filled up, for the tests of a full one."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, mebibytes: int) -> Iterator[Path]:
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0711", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        must = os.environ.get("CI") and os.geteuid() == 0
        (pytest.fail if must else pytest.skip)("no small disk can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
