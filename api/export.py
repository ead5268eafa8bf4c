"""The route of exports: a query enters, a file of all that fits leaves, as CSV or JSON lines, the newest first.

It is written while it is sent: a page of the store is in memory, and no more. Whoever goes away stops the work; the
audit has what was asked for before the first row leaves, and afterwards how many rows left.
"""

import csv
import io
import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import anyio
import orjson
from fastapi import APIRouter, Depends, HTTPException, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from api.access import needs, noted
from api.search import SEARCH_BODY, Collection, between, reader_of, searching_of
from api.searched import MAX_NOTED
from pipeline import store
from pipeline.event import Event
from pipeline.identity.users import User
from pipeline.messages import say

router = APIRouter(prefix="/export", tags=["search"])
#: So many rows may one export have.
MOST_ROWS = 1_000_000
#: Exports at once, of all and of one user.
AT_ONCE, OF_ONE = 4, 2
_AGAIN_SECONDS = "30"
Exporter = Annotated[User, Depends(needs("events.export", views=True))]
Format = Literal["csv", "ndjson"]
_MEDIA = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}
#: What a table has when no columns are named.
_COLUMNS = {
    store.EVENTS: (
        "@timestamp", "event.id", "event.dataset", "host.name", "user.name", "source.ip", "destination.ip",
        "destination.port", "event.action", "event.outcome", "message",
    ),
    store.ALERTS: (
        "@timestamp", "event.id", "rule.level", "rule.name", "alert.status", "alert.count", "host.name", "user.name",
        "source.ip", "destination.ip",
    ),
}  # fmt: skip
#: By this Excel knows UTF-8.
_BOM = b"\xef\xbb\xbf"
#: A text that begins so is a formula to a spreadsheet, also after spaces and in its wide form
#: (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = re.compile(r"[\s\0]*[=+\-@\t\r＝＋－＠]")

#: What is a field's name and nothing else, `@timestamp` too.
_FIELD = re.compile(r"@?[A-Za-z_][\w.-]*")


class Exports:
    """Who exports now; one for each application."""

    def __init__(self) -> None:
        self._now: list[str] = []

    @asynccontextmanager
    async def place(self, name: str) -> AsyncIterator[None]:
        """Hold a place for a user. Answers 429 where there is none."""
        if len(self._now) >= AT_ONCE or self._now.count(name) >= OF_ONE:
            raise HTTPException(429, say("api.export_busy", limit=OF_ONE, all=AT_ONCE), {"Retry-After": _AGAIN_SECONDS})
        self._now.append(name)
        try:
            yield
        finally:
            self._now.remove(name)


class Export:
    """One export: what it asks for, and the rows that have left."""

    def __init__(self, request: Request, user: User) -> None:
        self._request, self._user = request, user
        self._pages: Iterator[list[bytes]] = iter(())
        self._asked: dict[str, Any] | None = None
        self._limit = 0
        self._rows = 0

    def begin(self, collection: str, query: Any, text: str, limit: int | None, **told: Any) -> int:
        """Look how many rows there will be, and note it; answers 400 where there are too many and no `limit`."""
        condition = self._user.sight.narrowed(collection, query)
        reader = reader_of(self._request)
        total = int(reader.search(collection, {"query": condition, "size": 0})["hits"]["total"]["value"])
        if limit is None and total > MOST_ROWS:
            raise HTTPException(400, say("api.export_too_many", total=total, limit=MOST_ROWS))
        self._limit = min(limit or MOST_ROWS, total)
        self._asked = {"index": collection, "search": text[:MAX_NOTED], **told}
        noted(self._request, self._user.name, "export", **self._asked, total=total, rows=self._limit)
        self._pages = reader.lines(collection, condition, newest=True)
        return total

    def rows(self, collection: str) -> Iterator[list[bytes]]:
        """Yield the lines that leave, some thousands together, of alerts without the evidence that is not in view."""
        for page in self._pages:
            lines = page[: self._limit - self._rows]
            if collection == store.ALERTS and self._user.sight.is_limited():
                lines = [orjson.dumps(self._user.sight.alert(orjson.loads(line))) for line in lines]
            yield lines
            self._rows += len(lines)
            if self._rows >= self._limit:
                return

    @property
    def planned(self) -> int:
        """How many rows it will have."""
        return self._limit

    def finish(self) -> None:
        """Note how many rows have left; what was not read is let go."""
        close = getattr(self._pages, "close", None)
        if close is not None:
            close()
        if self._asked is not None:
            whole = self._rows >= self._limit
            noted(self._request, self._user.name, "export_done", **self._asked, rows=self._rows, whole=whole)


async def _export(request: Request, user: Exporter) -> AsyncIterator[Export]:
    """Hold a place until the last row has left, or whoever asked has gone away."""
    exports: Exports = request.app.state.exports
    async with exports.place(user.name):
        export = Export(request, user)
        try:
            yield export
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(export.finish)


_Export = Annotated[Export, Depends(_export)]
_Columns = Annotated[str, Query(max_length=10_000, description="fields with commas between; all of them for ndjson")]
_Limit = Annotated[int | None, Query(ge=1, le=MOST_ROWS, description="the newest so many; else all, if not too many")]


@router.get("/{collection}", response_class=StreamingResponse)
async def export_text(
    collection: Collection,
    request: Request,
    export: _Export,
    text: Annotated[str, Query(alias="q", max_length=10_000)] = "",
    start: Annotated[str | None, Query(alias="from", max_length=100)] = None,
    end: Annotated[str | None, Query(alias="to", max_length=100)] = None,
    kind: Annotated[Format, Query(alias="format")] = "csv",
    columns: _Columns = "",
    limit: _Limit = None,
) -> StreamingResponse:
    """Send all that a query text finds as a file; times as for a search."""
    told = {"from": start, "to": end}
    return await _answer(request, export, collection, between(text, start, end), text, kind, columns, limit, told)


@router.post("/{collection}", response_class=StreamingResponse)
async def export_body(
    collection: Collection,
    request: Request,
    export: _Export,
    body: Annotated[dict[str, Any], SEARCH_BODY],
    kind: Annotated[Format, Query(alias="format")] = "csv",
    columns: _Columns = "",
    limit: _Limit = None,
) -> StreamingResponse:
    """Send all that the `query` of a DSL body finds as a file; nothing else of a body has a meaning here."""
    query = body.get("query", {"match_all": {}})
    return await _answer(request, export, collection, query, json.dumps(query), kind, columns, limit, {})


async def _answer(
    request: Request, export: Export, collection: str, query: Any, text: str, kind: Format, columns: str,
    limit: int | None, told: dict[str, Any],
) -> StreamingResponse:  # fmt: skip
    named = [name.strip() for name in columns.split(",") if name.strip()]
    wanted = named or list(_COLUMNS[collection] if kind == "csv" else ())
    told = {**told, "format": kind, "columns": wanted}
    total = await searching_of(request).result(lambda: export.begin(collection, query, text, limit, **told))
    rows = export.rows(collection)
    pieces = _table(rows, wanted) if kind == "csv" else _lines(rows, wanted)
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {
        "Content-Disposition": f'attachment; filename="haidang-{collection}-{moment}.{kind}"',
        "X-Haidang-Total": str(total), "X-Haidang-Rows": str(export.planned),
    }  # fmt: skip
    return StreamingResponse(pieces, headers=headers, media_type=_MEDIA[kind])


def _table(rows: Iterator[list[bytes]], columns: Sequence[str]) -> Iterator[bytes]:
    """Yield CSV (RFC 4180) with a row of heads; a sign before what a spreadsheet would take for a formula."""
    yield _BOM + _csv([[name if _FIELD.fullmatch(name) else plain(name) for name in columns]])
    for lines in rows:
        yield _csv([[plain(event.get(name)) for name in columns] for event in map(orjson.loads, lines)])


def _lines(rows: Iterator[list[bytes]], columns: Sequence[str]) -> Iterator[bytes]:
    for lines in rows:
        made = lines if not columns else [orjson.dumps(_only(orjson.loads(line), columns)) for line in lines]
        yield b"".join(line + b"\n" for line in made)


def _only(event: Event, columns: Sequence[str]) -> Event:
    return {name: event[name] for name in columns if name in event}


def _csv(table: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(table)
    return text.getvalue().encode("utf-8", "replace")


def plain(value: Any) -> str:
    """Return a value as a cell that no spreadsheet runs; numbers stay numbers."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list):
        value = "; ".join(_inner(each) for each in value)
    text = _inner(value).replace("\0", "\ufffd")
    return f"'{text}" if _FORMULA.match(text) else text


def _inner(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
