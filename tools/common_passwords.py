"""Make the list of common passwords that are refused: `python tools/common_passwords.py`.

Takes the lists of two packages whose licenses let us pass them on, from npm and PyPI, and writes
accounts/common_passwords/: a Bloom filter of their digests, NOTICE.md, and the licenses.
"""

import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from accounts import common_passwords

FOLDER = common_passwords.FILE.parent
ZXCVBN, DJANGO = "@zxcvbn-ts/language-common@4.1.3", "django==5.2.19"
BITS_EACH = 29  # with twenty probes, one in a million of all other passwords is taken for one of these


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        wanted = set(of_zxcvbn(Path(folder))) | set(of_django(Path(folder)))
    plain = sorted({word.casefold() for word in wanted if word})
    content = filled(plain)
    common_passwords.FILE.write_bytes(content)
    (FOLDER / "NOTICE.md").write_text(notice(len(plain), content))


def filled(passwords: Iterable[str]) -> bytes:
    passwords = list(passwords)
    bits = bytearray((len(passwords) * BITS_EACH + 7) // 8)
    for password in passwords:
        for position in common_passwords.positions(password, 8 * len(bits)):
            bits[position >> 3] |= 1 << (position & 7)
    return bytes(bits)


def of_zxcvbn(folder: Path) -> list[str]:
    done = run("npm", "pack", "--json", ZXCVBN, cwd=folder)
    with tarfile.open(folder / json.loads(done)[0]["filename"]) as archive:
        (FOLDER / "LICENSE-zxcvbn").write_bytes(member(archive, "package/LICENSE.txt"))
        found: list[str] = json.loads(member(archive, "package/src/passwords.json"))
    return found


def of_django(folder: Path) -> list[str]:
    run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", DJANGO, cwd=folder)
    with zipfile.ZipFile(next(folder.glob("django-*.whl"))) as wheel:
        license_path = next(name for name in wheel.namelist() if name.endswith("licenses/LICENSE"))
        (FOLDER / "LICENSE-django").write_bytes(wheel.read(license_path))
        packed = wheel.read("django/contrib/auth/common-passwords.txt.gz")
    return gzip.open(io.BytesIO(packed), "rt").read().split("\n")


def member(archive: tarfile.TarFile, path: str) -> bytes:
    content = archive.extractfile(path)
    assert content is not None, path
    return content.read()


def run(*command: str, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout  # noqa: S603


def notice(count: int, content: bytes) -> str:
    return f"""# Common passwords

`passwords.bloom` holds the digests of {count} passwords and none of them in the open. Made by
`python tools/common_passwords.py`; a test compares the sum: `{hashlib.sha256(content).hexdigest()}`.

| package | license | what |
| --- | --- | --- |
| {ZXCVBN} (npm) | MIT, `LICENSE-zxcvbn` | `src/passwords.json` |
| {DJANGO} (PyPI) | BSD-3-Clause, `LICENSE-django` | `django/contrib/auth/common-passwords.txt.gz` |
"""


if __name__ == "__main__":
    main()
