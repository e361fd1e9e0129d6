"""Tables that people open in a spreadsheet: CSV with a byte order mark, in which no cell can be a formula."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from flask import Response

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_response(name: str, header: Sequence[object], rows: Iterable[Sequence[object]]) -> Response:
    """Answer with the table as `name`.csv."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow([safe(cell) for cell in header])
    table.writerows([safe(cell) for cell in row] for row in rows)
    return Response(
        "\ufeff" + out.getvalue(),  # without the mark, Chinese Excel reads GBK
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


def safe(cell: object) -> object:
    """Text that a spreadsheet would run as a formula gets an apostrophe before it; numbers stay numbers."""
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.isoformat(timespec="seconds")
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    if isinstance(cell, (int, float)):
        return cell
    text = str(cell)
    return f"'{text}" if text.startswith(FORMULA) else text
