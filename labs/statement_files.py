"""Statements as files, for pages and the API: a table or a PDF."""

from collections.abc import Sequence

from flask import Response

from labs import statement_pdf, statement_table
from labs.months import Month
from labs.queries.sheets import Sheet


def answer(sheets: Sequence[Sheet], month: Month, form: str) -> Response:
    """Answer with the sheets as "csv" or "pdf"."""
    if form == "csv":
        return statement_table.as_csv(sheets, month)
    name = statement_table.file_name(sheets, month)
    return Response(
        statement_pdf.as_pdf(sheets, month),
        mimetype="application/pdf",
        headers={"Content-Disposition": f'inline; filename="{name}.pdf"'},
    )
