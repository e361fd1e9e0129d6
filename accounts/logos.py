"""Look at a picture that somebody sends as a logo: what it is, or why it is refused.

PNG and JPEG are recognized by what they hold, not by what the sender calls them. An SVG is a program as much as a
picture, so one passes only if it holds nothing but shapes, colors and text; whatever else it holds is named.
"""

import struct
from xml.parsers import expat

from flask_babel import gettext as _

from accounts.errors import LogoRefused

LARGEST = 256 * 1024
WIDEST = 4096  # pixels

PNG, JPEG, SVG = "image/png", "image/jpeg", "image/svg+xml"
SVG_NAMESPACE = "http://www.w3.org/2000/svg"
DRAWING = {"path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan"}
ELEMENTS = DRAWING | {"svg", "g", "defs", "title", "desc", "use", "symbol", "clipPath", "mask"}
ELEMENTS |= {"linearGradient", "radialGradient", "stop"}
HARMFUL = ("url(", "javascript:", "data:", "expression", "@import", "\\")


def media_type(content: bytes) -> str:
    """Return what the picture is, or refuse it."""
    if len(content) > LARGEST:
        raise LogoRefused(_("A logo has at most %(n)s KB.", n=LARGEST // 1024))
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return _of_size(PNG, _png_size(content))
    if content.startswith(b"\xff\xd8\xff"):
        return _of_size(JPEG, _jpeg_size(content))
    if b"<svg" in content[:4096]:
        _check_svg(content)
        return SVG
    raise LogoRefused(_("A logo is a PNG, JPEG or SVG picture."))


def _of_size(kind: str, size: tuple[int, int] | None) -> str:
    if size is None or not all(0 < side <= WIDEST for side in size):
        raise LogoRefused(_("This picture is damaged, or larger than %(n)s pixels.", n=WIDEST))
    return kind


def _png_size(content: bytes) -> tuple[int, int] | None:
    if len(content) < 33 or content[12:16] != b"IHDR" or b"IEND" not in content[-16:]:
        return None
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Walk the segments to the frame header, which has the size."""
    at = 2
    while at + 9 < len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        at += 2 + max(length, 2)
    return None


def _check_svg(content: bytes) -> None:
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = lambda *_args: _refuse_svg("<!DOCTYPE>")  # and with it every entity
    parser.ProcessingInstructionHandler = lambda target, _data: _refuse_svg(f"<?{target}?>")
    parser.StartElementHandler = _check_element
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError) as error:
        raise LogoRefused(_("This SVG picture is damaged.")) from error


def _check_element(name: str, attributes: dict[str, str]) -> None:
    namespace, _space, element = name.rpartition(" ")
    if namespace != SVG_NAMESPACE or element not in ELEMENTS:
        _refuse_svg(f"<{element}>")
    for key, value in attributes.items():
        attribute = key.rpartition(" ")[2].lower()
        plain = "".join(value.lower().split())
        local = attribute == "href" and plain.startswith("#")
        inside = plain.startswith("url(#") and plain.count("url(") == 1
        if attribute.startswith("on") or attribute == "style" or (attribute == "href" and not local):
            _refuse_svg(attribute)
        if not inside and any(word in plain for word in HARMFUL):
            _refuse_svg(f"{attribute}={value[:30]}")


def _refuse_svg(what: str) -> None:
    raise LogoRefused(_("This SVG picture holds more than shapes: %(what)s. Save it as PNG.", what=what[:60]))
