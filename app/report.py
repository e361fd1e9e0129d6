"""Reports as PDF: headings, paragraphs and long tables that flow over pages, each with its header and its number."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flask_babel import gettext as _

from app.pdf import GREY, HEIGHT, WIDTH, Document

LEFT, RIGHT, TOP, BOTTOM = 48.0, WIDTH - 48.0, HEIGHT - 52.0, 56.0
SIZE, ROW, PADDING = 8.5, 13.0, 8.0


@dataclass(frozen=True)
class Column:
    """A column of a table. One of them takes the room that the others leave."""

    title: str
    width: float | None = None
    is_number: bool = False


class Report:
    """Writes from top to bottom, and begins a new page where one is full. `running` stands on top of later pages."""

    def __init__(self, document: Document, running: str, note: str = "") -> None:
        self.document = document
        self.running = running
        self.note = note
        self.y = 0.0
        self._turn()

    def letterhead(self, sender: str, title: str, lines: Iterable[str]) -> None:
        self.document.text(LEFT, self.y, sender, 10, color=GREY)
        self.y -= 24
        self.document.text(LEFT, self.y, title, 18, bold=True)
        self.y -= 20
        for line in lines:
            self.paragraph(line)
        self.y -= 2
        self.document.rule(LEFT, self.y, RIGHT, 1)
        self.y -= 20

    def heading(self, text: str) -> None:
        self._need(4 * ROW)
        self.y -= 6
        self.document.text(LEFT, self.y, text, 11, bold=True)
        self.y -= 18

    def paragraph(self, text: str, *, color: str = GREY) -> None:
        for line in self.document.wrap(text, SIZE, RIGHT - LEFT, lines=12):
            self._need(ROW)
            self.document.text(LEFT, self.y, line, SIZE, color=color)
            self.y -= ROW

    def facts(self, rows: Iterable[tuple[str, str]]) -> None:
        """Words on the left, numbers on the right, as in a sum."""
        for text, value in rows:
            self._need(ROW)
            self.document.text(LEFT, self.y, text, SIZE)
            self.document.text(LEFT + 300, self.y, value, SIZE, end=True)
            self.y -= ROW
        self.y -= 8

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[str]], total: Sequence[str] = ()) -> None:
        """A row of texts for each row; long ones are wrapped in the widest column and cut in the others."""
        edges = _edges(columns)
        self._table_head(columns, edges)
        for row in rows:
            self._row(columns, edges, row)
        if total:
            self._need(2 * ROW)
            self.document.rule(LEFT, self.y + ROW - 3, RIGHT, 0.8)
            self._row(columns, edges, total, bold=True)
        self.y -= 10

    def save(self) -> bytes:
        return self.document.save(self._page_number)

    def _row(
        self, columns: Sequence[Column], edges: list[tuple[float, float]], row: Sequence[str], bold: bool = False
    ) -> None:
        cells = [
            [text] if column.is_number else self.document.wrap(text, SIZE, to - start - PADDING, lines=3)
            for column, text, (start, to) in zip(columns, row, edges, strict=True)
        ]
        height = ROW * max(len(lines) for lines in cells)
        if self._need(height):
            self._table_head(columns, edges)
        for column, lines, (start, to) in zip(columns, cells, edges, strict=True):
            x = to - PADDING / 2 if column.is_number else start
            for number, line in enumerate(lines):
                self.document.text(x, self.y - number * ROW, line, SIZE, bold=bold, end=column.is_number)
        self.y -= height

    def _table_head(self, columns: Sequence[Column], edges: list[tuple[float, float]]) -> None:
        self._need(3 * ROW)
        for column, (start, to) in zip(columns, edges, strict=True):
            x = to - PADDING / 2 if column.is_number else start
            self.document.text(x, self.y, column.title, SIZE, bold=True, end=column.is_number)
        self.document.rule(LEFT, self.y - 4, RIGHT)
        self.y -= ROW + 4

    def _need(self, height: float) -> bool:
        """Make sure that so much fits on the page; say whether it is a new one."""
        if self.y - height >= BOTTOM - ROW:
            return False
        self._turn()
        return True

    def _turn(self) -> None:
        self.document.add_page()
        self.y = TOP
        if len(self.document.pages) > 1:
            self.document.text(LEFT, HEIGHT - 34, self.running, 8, color=GREY)
        if self.note:
            self.document.text(RIGHT, HEIGHT - 34, self.note, 8, bold=True, color=GREY, end=True)

    def _page_number(self, page: int, pages: int) -> None:
        text = _("Page %(page)s of %(pages)s", page=page, pages=pages)
        self.document.text(RIGHT, 34, str(text), 8, color=GREY, end=True)


def _edges(columns: Sequence[Column]) -> list[tuple[float, float]]:
    """Where each column begins and ends."""
    rest = RIGHT - LEFT - sum(column.width or 0 for column in columns)
    edges, x, after_number = [], LEFT, False
    for column in columns:
        to = x + (rest if column.width is None else column.width)
        edges.append((x + PADDING if after_number and not column.is_number else x, to))
        x, after_number = to, column.is_number
    return edges
