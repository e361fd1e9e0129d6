"""Fetch the style sheets, scripts and icons we ship from npm: `python tools/vendor.py`.

Writes app/static/vendor/ with each part's license, one SVG sprite of the icons we use, and VENDORED.md.
Pages never load anything from another host, so what is here is all a browser gets.
"""

import hashlib
import io
import json
import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

VENDOR = Path(__file__).parent.parent / "app" / "static" / "vendor"
MIT = """The MIT License (MIT)

Copyright (c) {holders}

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in
all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN
THE SOFTWARE.
"""


@dataclass(frozen=True)
class Part:
    name: str
    version: str
    license: str
    folder: str
    files: tuple[str, ...]  # paths inside the npm package, copied by their last name
    license_holders: str | None = None  # for a package that names its license without shipping the text


TABLER = Part(
    name="@tabler/core",
    version="1.6.1",
    license="MIT",
    folder="tabler",
    files=("dist/css/tabler.min.css",),
    license_holders="2018-2026 The Tabler Authors",
)
HTMX = Part(name="htmx.org", version="2.0.11", license="0BSD", folder="htmx", files=("dist/htmx.min.js", "LICENSE"))
ICONS = Part(name="@tabler/icons", version="3.51.0", license="MIT", folder="tabler-icons", files=("LICENSE",))


def main() -> None:
    rows = []
    for part in (TABLER, HTMX, ICONS):
        files = fetch(part)
        if part is ICONS:
            files["icons.svg"] = sprite(files.pop("icons"), icon_names()).encode()
        rows += write(part, {name: content for name, content in files.items() if isinstance(content, bytes)})
    (VENDOR / "VENDORED.md").write_text(document(rows))


def icon_names() -> list[str]:
    return (VENDOR / "tabler-icons" / "names.txt").read_text().split()


def fetch(part: Part) -> dict[str, bytes]:
    """The wanted files of an npm package; for the icons also the whole tarball, under `icons`."""
    with tempfile.TemporaryDirectory() as folder:
        order = ["npm", "pack", "--json", f"{part.name}@{part.version}"]
        done = subprocess.run(order, cwd=folder, check=True, capture_output=True, text=True)  # noqa: S603
        tarball = (Path(folder) / json.loads(done.stdout)[0]["filename"]).read_bytes()
    found = {Path(path).name: member(tarball, path) for path in part.files}
    if part.license_holders:
        found["LICENSE"] = MIT.format(holders=part.license_holders).encode()
    if part is ICONS:
        found["icons"] = tarball
    return found


def member(tarball: bytes, path: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(tarball)) as archive:
        content = archive.extractfile(f"package/{path}")
        assert content is not None, path
        return content.read()


def sprite(tarball: bytes, names: list[str]) -> str:
    """One SVG with a <symbol> for each name; `alert-circle` is an outline, `filled/star` a filled icon."""
    symbols = []
    with tarfile.open(fileobj=io.BytesIO(tarball)) as archive:
        for name in sorted(names):
            path = f"package/icons/{name if '/' in name else 'outline/' + name}.svg"
            source = archive.extractfile(path)
            assert source is not None, path
            symbols.append(symbol(name.replace("/", "-"), source.read().decode()))
    return '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"


def symbol(name: str, source: str) -> str:
    found = re.search(r"<svg[^>]*>(.*)</svg>", source, re.DOTALL)
    assert found is not None, name
    shapes = re.sub(r'<path stroke="none" d="M0 0h24v24H0z" fill="none"\s*/>', "", found.group(1))
    line = " ".join(shapes.split())
    return f'<symbol id="{name}" viewBox="0 0 24 24">{line}</symbol>'


def write(part: Part, files: dict[str, bytes]) -> list[str]:
    folder = VENDOR / part.folder
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, content in sorted(files.items()):
        (folder / name).write_bytes(content)
        if name != "LICENSE":
            source = f"https://www.npmjs.com/package/{part.name}/v/{part.version}"
            digest = hashlib.sha256(content).hexdigest()
            cells = (f"`{part.folder}/{name}`", part.name, part.version, part.license, source, f"`{digest}`")
            rows.append(f"| {' | '.join(cells)} |")
    return rows


def document(rows: list[str]) -> str:
    return "\n".join(
        [
            "# What others wrote",
            "",
            "Made by `python tools/vendor.py`; a test compares the sums. License texts lie beside the files.",
            "`icons.svg` is our selection of Tabler's outline icons (`tabler-icons/names.txt`) put into one sprite.",
            "",
            "| file | package | version | license | source | sha256 |",
            "| --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main()
