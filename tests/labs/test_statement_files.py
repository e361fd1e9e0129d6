"""Statements as tables and PDF, in both languages: what stands in them, and that people can read it."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from pypdf import PdfReader

from app import pdf
from app.db import db
from labs.models import MemberCap
from tests.labs.books import MONTHS
from tests.make import sign_in

JANUARY = MONTHS[0]


def pages_of(answer):
    assert answer.status_code == 200, answer.text
    assert answer.mimetype == "application/pdf"
    return [page.extract_text() for page in PdfReader(io.BytesIO(answer.data)).pages]


def rows_of(answer):
    assert answer.mimetype == "text/csv"
    return list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))


@pytest.fixture
def admin(app, books):
    return sign_in(app, books.admin)


@pytest.fixture
def january(books):
    books.use("li", 3600)
    books.use("wang", 1, flavor="large")
    return books.close(JANUARY)


def test_the_pdf_is_in_the_readers_language(admin, books, january):
    english = "\n".join(pages_of(admin.get(books.url(JANUARY) + ".pdf")))
    admin.set_cookie("language", "zh_CN")
    chinese = "\n".join(pages_of(admin.get(books.url(JANUARY) + ".pdf")))

    for text in ("Statement for January 2026", "Haibin University", "Hailan Computing Center", "Page 1 of", "李娜"):
        assert text in english
    for text in (
        "2026年1月对账单",
        "海滨大学",
        "海蓝计算中心",
        "期初余额",
        "合计",
        "李娜",
        "– 深度学习 2026 春",
        "金额单位均为算力点",
    ):
        assert text in chinese
    assert january.sha256 in english.replace("\n", "")
    assert january.sha256 in chinese.replace("\n", "")
    assert "Preliminary" not in english
    assert "暂定" not in chinese


def test_the_sums_in_the_pdf_are_exact(admin, books, january):
    text = "\n".join(pages_of(admin.get(books.url(JANUARY) + ".pdf")))

    assert "1.001111" in text  # 1 credit, and 4 credits an hour for a second
    assert "98.998889" in text


def test_the_pdf_of_an_open_month_says_so_on_every_page(admin, books):
    books.use("li", 3600)

    pages = pages_of(admin.get(books.url(JANUARY) + ".pdf"))

    assert all("Preliminary" in page for page in pages)


def test_the_pdf_of_a_closed_month_is_the_same_every_time(admin, books, january, clock):
    first = admin.get(books.url(JANUARY) + ".pdf")
    clock.shift(timedelta(hours=5))

    again = admin.get(books.url(JANUARY) + ".pdf")
    assert again.data.startswith(b"%PDF")
    assert again.data == first.data


def test_a_long_table_goes_on_with_its_header_and_numbers_its_pages(admin, books, make):
    names = [f"学生{number:03d}" for number in range(150)]
    for name in names:
        person = books.people[name] = make.person(name=name)
        db.session.add(MemberCap(budget_id=books.run.id, person_id=person.id))
        db.session.commit()
        books.use(name, 60)

    pages = pages_of(admin.get(books.url(JANUARY) + ".pdf"))

    assert len(pages) > 3
    for number, page in enumerate(pages, 1):
        assert f"Page {number} of {len(pages)}" in page
    people = [page for page in pages if "学生" in page]
    assert all("Person" in page for page in people)
    assert all(name in "\n".join(pages) for name in names)


@pytest.mark.parametrize("name", ["李娜", "欧阳文静", "喆堃镕", "𬭸𬀩", "Amira 李", "O’Neil-Ó Súilleabháin"])
def test_names_come_out_as_they_are_written(admin, books, name):
    books.people["li"].name = name
    db.session.commit()
    books.use("li", 3600)

    assert name in "\n".join(pages_of(admin.get(books.url(JANUARY) + ".pdf")))


def test_a_character_that_the_font_lacks_is_shown_by_its_number(admin, books):
    books.people["li"].name = "𠮷野"
    db.session.commit()
    books.use("li", 3600)

    assert "[U+20BB7]野" in "\n".join(pages_of(admin.get(books.url(JANUARY) + ".pdf")))


def test_long_words_and_long_names_stay_in_their_column():
    document = pdf.Document("t", "en", datetime(2026, 1, 1, tzinfo=UTC))
    document.add_page()

    for text in ("word " * 60, "x" * 300, "汉" * 100, "混合 mixed text 混合" * 9, ""):
        lines = document.wrap(text, 9, 120, lines=4)
        assert 1 <= len(lines) <= 4
        assert all(document.width(line, 9) <= 120 for line in lines)
    assert document.wrap("word " * 60, 9, 120, lines=4)[-1].endswith("…")
    assert document.wrap("two words", 9, 500) == ["two words"]


def test_the_font_of_the_pdf_is_embedded_and_small(admin, books, january):
    answer = admin.get(books.url(JANUARY) + ".pdf")
    font = PdfReader(io.BytesIO(answer.data)).pages[0]["/Resources"]["/Font"]["/F"].get_object()
    descriptor = font["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object()

    assert "/FontFile3" in descriptor
    assert len(answer.data) < 100_000


def test_the_table_has_every_line_exactly(admin, books, january):
    rows = rows_of(admin.get(books.url(JANUARY) + ".csv"))

    used = [row for row in rows if row["Line kind"] == "usage"]
    assert {(row["Person"], row["Flavor"], row["Credits"], row["Micro-credits"]) for row in used} == {
        ("李娜", "Small", "1.000000", "1000000"),
        ("王伟", "Large", "0.001111", "1111"),
    }
    assert {row["Statement number"] for row in rows} == {"1"}
    total = next(row for row in rows if row["Line kind"] == "total-used")
    assert total["Micro-credits"] == "1001111"
    closing = [row for row in rows if row["Line kind"] == "closing-available"]
    assert sum(int(row["Micro-credits"]) for row in closing) == 98_998_889
    granted = next(row for row in rows if row["Line kind"] == "entry-grant-available")
    assert granted["Credits"] == "100.000000"


def test_no_cell_of_the_table_is_a_formula(admin, books):
    books.people["li"].name = "=cmd|' /C calc'!A0"
    db.session.commit()
    books.use("li", 3600)

    rows = rows_of(admin.get(books.url(JANUARY) + ".csv"))

    assert "'=cmd|' /C calc'!A0" in {row["Person"] for row in rows}


def test_filters_narrow_page_table_and_pdf_alike(admin, books, january):
    wang, small = books.people["wang"].id, books.flavors["small"].id

    of_wang = rows_of(admin.get(f"{books.url(JANUARY)}.csv?person={wang}"))
    of_small = rows_of(admin.get(f"{books.url(JANUARY)}.csv?flavor={small}"))
    page = admin.get(f"{books.url(JANUARY)}?person={wang}").text
    text = "\n".join(pages_of(admin.get(f"{books.url(JANUARY)}.pdf?person={wang}")))

    assert {row["Person"] for row in of_wang} == {"王伟", ""}
    assert {row["Person"] for row in of_small} == {"李娜", ""}
    assert "李娜" not in page
    assert "Only what 王伟 used." in page
    assert "李娜" not in text
    assert "Person: 王伟" in text
    assert "This is a part of the partner's statement" in text


def test_ten_thousand_people_are_paged_on_the_page_and_all_in_the_table(admin, books):
    from tests.labs.crowd import crowd

    crowd(books, people=10_000)

    page = admin.get(books.url(JANUARY)).text
    rows = rows_of(admin.get(books.url(JANUARY) + ".csv"))

    assert "Page 1 of 200" in page
    assert page.count("?person=") == 50
    assert sum(row["Line kind"] == "usage" for row in rows) == 10_000
    found = admin.get(books.url(JANUARY) + "?q=crowd-09999").text
    assert "crowd-09999" in found
    assert found.count("?person=") == 1


def test_i_get_my_own_usage_as_table_and_pdf(app, books, january):
    mine = sign_in(app, books.people["li"])

    rows = rows_of(mine.get("/labs/usage/2026-01.csv"))
    text = "\n".join(pages_of(mine.get("/labs/usage/2026-01.pdf")))

    assert [row["Micro-credits"] for row in rows if row["Line kind"] == "usage"] == ["1000000"]
    assert "Compute used in January 2026" in text
    assert "李娜" in text
    assert "王伟" not in text
    assert "No lab was charged" in "\n".join(pages_of(mine.get("/labs/usage/2025-12.pdf")))
