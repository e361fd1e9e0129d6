"""PDF documents with Chinese in them: pages of text and lines, and the part of the font that they need.

The font is Noto Sans SC, embedded, so a document looks the same on every machine and its text can be searched and
copied. HarfBuzz cuts the font down to the characters that occur; everything else of the format is written here, since a
statement with ten thousand lines must be there at once.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise

WIDTH, HEIGHT = 595.28, 841.89  # A4, in points
BLACK, GREY, LINE = "0 g", "0.4 g", "0.75 G"


class Typeface:
    """Noto Sans SC: which glyph a character is, and how wide. Loaded with the first document, not with the program."""

    def __init__(self) -> None:
        import pylopdf_fonts_zh_cn
        import uharfbuzz

        self._shaping = uharfbuzz
        self._face = uharfbuzz.Face(uharfbuzz.Blob.from_file_path(str(pylopdf_fonts_zh_cn.sans_path())))
        self._font = uharfbuzz.Font(self._face)
        self._codes = _codes_of(self._face.reference_table("CFF ").data)
        self._known: dict[str, tuple[int, int]] = {}

    def glyph(self, character: str) -> tuple[int, int] | None:
        """(its code in the font, its width in thousandths); None where the font has no such character."""
        found = self._known.get(character)
        if found is None:
            glyph = self._font.get_nominal_glyph(ord(character))
            if not glyph:
                return None
            found = self._known[character] = (self._codes[glyph], self._font.get_glyph_h_advance(glyph))
        return found

    def cut(self, characters: set[str]) -> bytes:
        """The outlines of these characters only, as a CFF font."""
        wanted = self._shaping.SubsetInput()
        wanted.unicode_set.update(map(ord, characters))
        wanted.layout_feature_tag_set.clear()
        data: bytes = self._shaping.subset(self._face, wanted).reference_table("CFF ").data
        return data


@lru_cache(maxsize=1)
def typeface() -> Typeface:
    return Typeface()


class Document:
    """Pages to draw on, measured from the bottom left; `save()` puts them together."""

    def __init__(self, title: str, language: str, made_at: datetime) -> None:
        self.title = title
        self.language = language
        self.made_at = made_at
        self.pages: list[list[str]] = []
        self._typeface = typeface()
        self._used: dict[str, tuple[int, int]] = {}
        self._set: dict[str, tuple[str, int]] = {}

    def add_page(self) -> None:
        self.pages.append([])

    def width(self, text: str, size: float) -> float:
        return self._measured(text)[1] * size / 1000

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 9,
        *,
        bold: bool = False,
        color: str = BLACK,
        end: bool = False,
    ) -> None:
        """Write a line of text from x on, or so that it ends at x."""
        code, width = self._measured(text)
        if end:
            x -= width * size / 1000
        weight = f"2 Tr {size * 0.035:.2f} w {color.upper()}" if bold else "0 Tr"
        self.pages[-1].append(f"BT {color} {weight} /F {size:g} Tf {x:.2f} {y:.2f} Td <{code}> Tj ET")

    def rule(self, x: float, y: float, to_x: float, thickness: float = 0.5) -> None:
        self.pages[-1].append(f"{LINE} {thickness:g} w {x:.2f} {y:.2f} m {to_x:.2f} {y:.2f} l S")

    def wrap(self, text: str, size: float, width: float, lines: int = 3) -> list[str]:
        """The text in lines that are not wider; between Latin letters only where there is a space. What does not fit
        into so many lines ends in an ellipsis."""
        room, found, line = width * 1000 / size, [], ""
        for word in _words(text):
            while word:
                if self._measured(line + word.rstrip())[1] <= room:
                    line += word
                    word = ""
                elif line.strip():
                    found.append(line.rstrip())
                    line, word = "", word.lstrip()
                else:  # a word that is wider than the column by itself
                    fits = next(n for n in range(len(word), 0, -1) if n == 1 or self._measured(word[:n])[1] <= room)
                    found.append(word[:fits])
                    word = word[fits:]
        if line.strip() or not found:
            found.append(line.rstrip())
        if len(found) <= lines:
            return found
        last = found[lines - 1]
        while last and self._measured(last + "…")[1] > room:
            last = last[:-1]
        return [*found[: lines - 1], last + "…"]

    def save(self, decorate: Callable[[int, int], None] | None = None) -> bytes:
        """The finished document. `decorate(number, of)` draws what each page says of itself, its number say."""
        pages = self.pages
        for number, page in enumerate(pages, 1):
            if decorate is not None:
                self.pages = [page]
                decorate(number, len(pages))
        self.pages = pages
        return _assembled(self, self._used, self._typeface)

    def _measured(self, text: str) -> tuple[str, int]:
        """The text as codes of the font, and its width in thousandths; what the font lacks is shown by its number."""
        found = self._set.get(text)
        if found is None:
            codes, width = [], 0
            for character in text:
                for shown in character if self._typeface.glyph(character) else f"[U+{ord(character):04X}]":
                    glyph = self._typeface.glyph(shown)
                    assert glyph is not None
                    self._used[shown] = glyph
                    codes.append(f"{glyph[0]:04x}")
                    width += glyph[1]
            found = self._set[text] = ("".join(codes), width)
        return found


def _words(text: str) -> list[str]:
    """What may not be broken: Chinese characters one by one, Latin words with the space after them."""
    found: list[str] = []
    for character in " ".join(text.split()):
        is_latin = character < "\u2e80"
        if found and is_latin and found[-1][-1] < "\u2e80" and not found[-1].endswith(" "):
            found[-1] += character
        else:
            found.append(character)
    return found


def _codes_of(cff: bytes) -> list[int]:
    """The code (CID) of each glyph, from the charset of the font (Adobe Technical Note 5176, section 13)."""
    at = _after_index(cff, cff[2])[0]  # past the header and the names
    _end, tops = _after_index(cff, at)
    charset = _number(tops[0], 15)
    glyphs = struct.unpack_from(">H", cff, _number(tops[0], 17))[0]  # as many as there are outlines
    codes, kind, place = [0], cff[charset], charset + 1
    while len(codes) < glyphs:
        first = struct.unpack_from(">H", cff, place)[0]
        left = 0 if kind == 0 else cff[place + 2] if kind == 1 else struct.unpack_from(">H", cff, place + 2)[0]
        codes += range(first, first + left + 1)
        place += 2 + kind
    return codes


def _after_index(cff: bytes, at: int) -> tuple[int, list[bytes]]:
    """Where an INDEX ends, and what is in it."""
    count = struct.unpack_from(">H", cff, at)[0]
    if not count:
        return at + 2, []
    size = cff[at + 2]
    offsets = [int.from_bytes(cff[at + 3 + n * size : at + 3 + (n + 1) * size], "big") for n in range(count + 1)]
    base = at + 2 + (count + 1) * size
    return base + offsets[-1], [cff[base + a : base + b] for a, b in pairwise(offsets)]


def _number(top: bytes, wanted: int) -> int:
    """The number that stands before an operator in a DICT."""
    at, last = 0, 0
    while at < len(top):
        b = top[at]
        if b <= 21:
            if b == 12:
                at += 1
            elif b == wanted:
                return last
            at += 1
        elif b == 30:
            at += 1
            while top[at] & 15 != 15:
                at += 1
            at += 1
        elif b == 28:
            last, at = struct.unpack_from(">h", top, at + 1)[0], at + 3
        elif b == 29:
            last, at = struct.unpack_from(">i", top, at + 1)[0], at + 5
        elif b <= 246:
            last, at = b - 139, at + 1
        else:
            last, at = 0, at + 2
    raise ValueError(f"the font has no operator {wanted}")


# --- the format (ISO 32000) ---------------------------------------------------------------------------------------


def _assembled(document: Document, used: dict[str, tuple[int, int]], face: Typeface) -> bytes:
    pages = [_stream("\n".join(page).encode()) for page in document.pages]
    kids = " ".join(f"{8 + 2 * n} 0 R" for n in range(len(pages)))
    made = document.made_at.astimezone(UTC).strftime("D:%Y%m%d%H%M%SZ")
    parts = [
        f"<</Type/Catalog/Pages 2 0 R/Lang({document.language})/ViewerPreferences<</DisplayDocTitle true>>>>".encode(),
        f"<</Type/Pages/Count {len(pages)}/Kids[{kids}]/MediaBox[0 0 {WIDTH} {HEIGHT}]"
        "/Resources<</Font<</F 4 0 R>>>>>>".encode(),
        f"<</Title {_text(document.title)}/Producer(Chancai)/CreationDate({made})>>".encode(),
        b"<</Type/Font/Subtype/Type0/BaseFont/CHNCAI+NotoSansSC/Encoding/Identity-H"
        b"/DescendantFonts[5 0 R]/ToUnicode 7 0 R>>",
        b"<</Type/Font/Subtype/CIDFontType0/BaseFont/CHNCAI+NotoSansSC"
        b"/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>/DW 1000/W["
        + " ".join(f"{code}[{width}]" for code, width in sorted(set(used.values()))).encode()
        + b"]/FontDescriptor<</Type/FontDescriptor/FontName/CHNCAI+NotoSansSC/Flags 4/FontBBox[-1002 -1048 2928 1808]"
        b"/ItalicAngle 0/Ascent 880/Descent -120/CapHeight 733/StemV 80/FontFile3 6 0 R>>>>",
        _stream(face.cut(set(used)), b"/Subtype/CIDFontType0C"),
        _stream(_to_unicode(used)),
    ]
    for number, page in enumerate(pages):
        parts.append(f"<</Type/Page/Parent 2 0 R/Contents {9 + 2 * number} 0 R>>".encode())
        parts.append(page)
    return _file(parts)


def _file(parts: Sequence[bytes]) -> bytes:
    out, places = bytearray(b"%PDF-1.7\n%\xe4\xba\xa7\xe6\x89\x8d\n"), []
    for number, part in enumerate(parts, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, part)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(parts) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    name = hashlib.sha256(out).hexdigest()[:32].encode()
    out += b"trailer\n<</Size %d/Root 1 0 R/Info 3 0 R/ID[<%b><%b>]>>\n" % (len(parts) + 1, name, name)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % start)


def _stream(data: bytes, more: bytes = b"") -> bytes:
    packed = zlib.compress(data, 6)
    return b"<</Length %d/Filter/FlateDecode%b>>stream\n%b\nendstream" % (len(packed), more, packed)


def _text(text: str) -> str:
    return f"<feff{text.encode('utf-16-be').hex()}>"


def _to_unicode(used: dict[str, tuple[int, int]]) -> bytes:
    """Which character each code is, so that text can be searched and copied."""
    pairs = sorted({code: character for character, (code, _width) in sorted(used.items(), reverse=True)}.items())
    blocks = [pairs[start : start + 100] for start in range(0, len(pairs), 100)]
    lines = [
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap",
        "/CIDSystemInfo<</Registry(Adobe)/Ordering(UCS)/Supplement 0>> def",
        "/CMapName/Adobe-Identity-UCS def /CMapType 2 def",
        "1 begincodespacerange <0000><ffff> endcodespacerange",
    ]
    for block in blocks:
        lines.append(f"{len(block)} beginbfchar")
        lines += [f"<{code:04x}><{character.encode('utf-16-be').hex()}>" for code, character in block]
        lines.append("endbfchar")
    lines.append("endcmap CMapName currentdict /CMap defineresource pop end end")
    return "\n".join(lines).encode()
