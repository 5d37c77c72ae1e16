"""A whole list of Eastmoney's, page by page, in an order that does not move.

``/api/qt/clist/get`` gives at most 100 rows a page. Sorted by code (``fid=f12``) rows keep their
places while prices move; the total stands on every page and must not change between two.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from ingest.source import SchemaDriftError, TruncatedListError, UnknownSymbolError
from ingest.sources.bodies import Question, data_of
from ingest.sources.cells import Row
from ingest.wire import Exchange

PAGE_ROWS = 100
_T = TypeVar("_T")


class Ask(Protocol):
    """Sends one request, and gives what a reader makes of the answer."""

    def __call__(
        self, url: str, parameters: dict[str, str], read: Callable[[Exchange], _T], /
    ) -> _T:
        """What came, as it was read.

        Raises:
            SourceError: As the wire or the reader says.
        """
        ...


def read_pages(
    question: Question,
    ask: Ask,
    url: str,
    parameters: dict[str, str],
    check: Callable[[Sequence[Row]], None] = lambda _rows: None,
) -> list[list[Row]]:
    """All rows of a list, by page; one request a page.

    Args:
        question: What is asked, for messages.
        ask: Sends the requests.
        url: Of the list.
        parameters: Which list, and which fields; ``f12`` must be one of them.
        check: Called with each page as it comes, so that a list that cannot be read costs one page.

    Raises:
        TruncatedListError: A page is short, the total moved, or a code repeats.
        UnknownSymbolError: The list has no rows at all, by the upstream's own word.
        SchemaDriftError: A page is not what a page is.
        SourceError: As the wire and :func:`ingest.sources.bodies.data_of` say.
    """
    pages: list[list[Row]] = []
    seen: set[str] = set()
    total = PAGE_ROWS
    page = 0
    while page * PAGE_ROWS < total:
        page += 1
        order = {"pn": str(page), "pz": str(PAGE_ROWS), "po": "0", "fid": "f12"}
        asked = {**parameters, **order, "np": "1", "fltt": "2", "invt": "2"}
        said, rows = ask(url, asked, partial(_page, question, page))
        if page > 1 and said != total:
            raise TruncatedListError(
                f"{question.what} had {total} rows on page {page - 1} and {said} on page {page}: "
                "it changed while it was read, and was not taken",
                question.context,
            )
        total = said
        due = min(PAGE_ROWS, total - (page - 1) * PAGE_ROWS)
        if len(rows) != due:
            raise TruncatedListError(
                f"page {page} of {question.what} has {len(rows)} rows where {due} of {total} are "
                "due: the list was not taken",
                question.context,
            )
        _refuse_repeated(question, rows, seen)
        check(rows)
        pages.append(rows)
    return pages


def _page(question: Question, page: int, exchange: Exchange) -> tuple[int, list[Row]]:
    try:
        data = data_of(question, exchange)
    except UnknownSymbolError as unknown:
        if page == 1:
            raise
        raise TruncatedListError(
            f"{question.what} ended before page {page}, short of its own total: the list was not "
            "taken",
            question.context,
        ) from unknown
    total, rows = data.get("total"), data.get("diff")
    if type(total) is not int:
        raise SchemaDriftError(f"{question.what} comes without a total", question.context)
    if total <= 0 or rows == []:
        _refuse_empty(question, exchange, total)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SchemaDriftError(
            f"page {page} of {question.what} is no list of rows: {str(rows)[:60]}", question.context
        )
    return total, rows


def _refuse_empty(question: Question, exchange: Exchange, total: int) -> None:
    """Success without rows: the sign of throttling if the total agrees, else a cut list."""
    raise TruncatedListError(
        f"{question.what} came back as an empty page where the upstream says {total} rows "
        f"({len(exchange.body)} bytes): the list was not taken",
        question.context,
    )


def _refuse_repeated(question: Question, rows: Sequence[dict[str, Any]], seen: set[str]) -> None:
    for row in rows:
        code = row.get("f12")
        if not isinstance(code, str):
            raise SchemaDriftError(
                f"{question.what} has a row whose code is {code!r}: nothing was taken",
                question.context,
            )
        if code in seen:
            raise TruncatedListError(
                f"{question.what} names {code} twice, so another row is missing (the upstream "
                "re-sorted between two pages): the list was not taken",
                question.context,
            )
        seen.add(code)
