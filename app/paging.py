"""Pages of a list: `@blp.paginate(Rows)` over a `select()` in the API, `page_of()` for HTML."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import request, url_for
from flask_smorest import Page
from sqlalchemy import Select, func, select

from app.db import db


class Rows(Page):
    @property
    def items(self) -> list[Any]:
        page = self.page_params
        return list(db.session.scalars(self.collection.offset(page.first_item).limit(page.page_size)))

    @property
    def item_count(self) -> int:
        return count(self.collection)


def count(statement: Select[Any]) -> int:
    return db.session.scalar(select(func.count()).select_from(statement.order_by(None).subquery())) or 0


@dataclass(frozen=True)
class Pagination:
    """One page of a list in HTML. `url(n)` is this page's own address with another page number."""

    items: list[Any]
    page: int
    size: int
    total: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))

    @property
    def url(self) -> Callable[[int], str]:
        arguments = {**(request.view_args or {}), **request.args.to_dict(flat=False)}
        endpoint = request.endpoint or ""
        return lambda number: url_for(endpoint, **{**arguments, "page": number})


def page_of(statement: Select[Any], size: int = 20) -> Pagination:
    """Run the statement for the page that the address asks for; a page beyond the end is the last one."""
    total = count(statement)
    wanted = request.args.get("page", 1, type=int)
    page = min(max(1, wanted), max(1, -(-total // size)))
    items = list(db.session.scalars(statement.offset((page - 1) * size).limit(size)))
    return Pagination(items, page, size, total)
