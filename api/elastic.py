"""Elasticsearch's read-only side over either store, for Grafana's data source and Elasticsearch's own clients.

A request as they send it enters, an answer as Elasticsearch gives it leaves. There are two indexes, `events` and
`alerts`, whatever the store calls its own; what is searched is narrowed, bounded and audited as on the search routes.
"""

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from api import elastic_shapes as shapes
from api.fields import fields_of
from api.search import Reader, found, reader_of, searching_of
from pipeline.identity.users import User
from pipeline.identity.views import Sight
from pipeline.logs import log
from pipeline.messages import Unavailable, say
from pipeline.stage import STATE_AWAY
from pipeline.store import ALERTS, BOTH, EVENTS, SearchError

Json = dict[str, Any]
#: Searches of one `_msearch`: Grafana sends those of one panel.
_MOST_SEARCHES = 50
#: How long the name of an index, or a list of names, may be.
_MOST_NAMES = 1_000
#: Parameters that change nothing here, of every route, and of a search's header in `_msearch`.
_WITHOUT_EFFECT = frozenset((
    "pretty", "human", "error_trace", "ignore_throttled", "allow_no_indices", "expand_wildcards", "preference",
    "request_cache", "batched_reduce_size", "max_concurrent_shard_requests", "max_concurrent_searches",
    "pre_filter_shard_size", "ccs_minimize_roundtrips", "search_type", "timeout", "master_timeout", "local",
    "wait_for_status", "wait_for_no_initializing_shards", "include_unmapped", "level", "allow_partial_search_results",
))  # fmt: skip
_IGNORE = "ignore_unavailable"
#: Parameters that stand for parts of a search's body, and how they are read.
_TO_BODY: Mapping[str, Callable[[str], Any]] = {
    "size": lambda text: _number(text, "size"), "from": lambda text: _number(text, "from"),
    "sort": lambda text: [_sort(part) for part in text.split(",")],
    "_source": lambda text: text == "true" if text in ("true", "false") else text.split(","),
    "docvalue_fields": lambda text: text.split(","), "track_total_hits": lambda text: text != "false",
}  # fmt: skip
_TOTAL_AS_NUMBER = "rest_total_hits_as_int"


class _Route(APIRoute):
    """Answers faults in Elasticsearch's shape, and says in each answer what Elasticsearch's clients look for."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route."""
        handler = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                response = await handler(request)
            except (SearchError, HTTPException, RequestValidationError, Unavailable) as error:
                response = shapes.failed(error)
            except STATE_AWAY as error:
                log("api").error("state_away", reason=str(error)[:300])
                response = shapes.failed(HTTPException(503, say("api.state_away")))
            response.headers.update(shapes.PRODUCT)
            return response

        return answered


router = APIRouter(route_class=_Route, include_in_schema=False)


@router.api_route("", methods=["GET", "HEAD"])
@router.api_route("/", methods=["GET", "HEAD"])
def banner(_user: Reader) -> Json:
    """Return name and version, as clients ask first."""
    return shapes.banner()


@router.get("/_cluster/health")
@router.get("/_cluster/health/{index}")
async def cluster_health(request: Request, user: Reader) -> Response:
    """Return that the store answers, or 503."""
    _parameters(request, ())
    names = _named(request)
    nothing = {"query": {"match_none": {}}, "size": 0}

    def looked() -> Json:
        found(request, user, names[0] if names else EVENTS, nothing)
        return shapes.health()

    return await searching_of(request).answer(looked)


@router.api_route("/_search", methods=["GET", "POST"])
@router.api_route("/{index}/_search", methods=["GET", "POST"])
async def search(request: Request, user: Reader) -> Response:
    """Answer one search."""
    asked = _parameters(request, (*_TO_BODY, "q", "default_operator", "df", _TOTAL_AS_NUMBER, _IGNORE))
    body = _with_parameters(_object(await request.body(), "body"), asked)
    names = _named(request)
    plain = asked.get(_TOTAL_AS_NUMBER) in ("", "true")
    return await searching_of(request).answer(lambda: shapes.results(_searched(request, user, names, body), plain))


@router.api_route("/_count", methods=["GET", "POST"])
@router.api_route("/{index}/_count", methods=["GET", "POST"])
async def count(request: Request, user: Reader) -> Response:
    """Answer how many events fit."""
    asked = _parameters(request, ("q", "default_operator", "df", _IGNORE))
    body = _with_parameters(_object(await request.body(), "body"), asked)
    for key in body:
        if key != "query":
            raise SearchError("search.unknown_key", place="body", value=str(key)[:100], known="query")
    names = _named(request)
    # an aggregation, so that the audit has it: a count tells of events, too
    asked_for = {**body, "size": 0, "aggs": {}}
    return await searching_of(request).answer(lambda: shapes.count(_searched(request, user, names, asked_for)))


@router.api_route("/_msearch", methods=["GET", "POST"])
@router.api_route("/{index}/_msearch", methods=["GET", "POST"])
async def msearch(request: Request, user: Reader) -> Response:
    """Answer several searches, each by itself: one that is refused says so in its place."""
    asked = _parameters(request, (_TOTAL_AS_NUMBER,))
    plain = asked.get(_TOTAL_AS_NUMBER) in ("", "true")
    searches = list(_pairs(await request.body()))

    def answers() -> Json:
        told = [_one_of_many(request, user, head, body, plain) for head, body in searches]
        return {"took": sum(each.get("took", 0) for each in told), "responses": told}

    return await searching_of(request).answer(answers)


@router.api_route("/_field_caps", methods=["GET", "POST"])
@router.api_route("/{index}/_field_caps", methods=["GET", "POST"])
async def field_caps(request: Request, user: Reader) -> Response:
    """Return fields and types."""
    asked = _parameters(request, ("fields", "filters", "include_empty_fields", _IGNORE))
    body = _object(await request.body(), "body")
    patterns = body.get("fields", asked.get("fields", "*"))
    patterns = patterns.split(",") if isinstance(patterns, str) else patterns
    if not isinstance(patterns, list) or not all(isinstance(each, str) for each in patterns):
        raise SearchError("search.want_list", place="fields", value=repr(patterns)[:100])
    names = _named(request)

    def told() -> Json:
        types = {name: kind for each in names for name, kind in _types(request, user, each).items()}
        return shapes.field_caps(names, types, patterns)

    return await searching_of(request).answer(told)


@router.get("/_mapping")
@router.get("/{index}/_mapping")
async def mapping(request: Request, user: Reader) -> Response:
    """Return fields and types of each index."""
    _parameters(request, (_IGNORE,))
    names = _named(request)
    return await searching_of(request).answer(
        lambda: {name: shapes.mapping(_types(request, user, name)) for name in names}
    )


@router.get("/_cat/indices")
@router.get("/_cat/indices/{index}")
async def cat_indices(request: Request, user: Reader) -> Response:
    """Return the indexes with their counts, as text, or as JSON where `format` says so."""
    asked = _parameters(request, ("format", "v", "h", "s", "bytes"))
    names = _named(request)
    nothing_else = {"size": 0, "aggs": {}}

    def rows() -> list[dict[str, str]]:
        return shapes.cat({n: found(request, user, n, nothing_else)["hits"]["total"]["value"] for n in names})

    answer = await searching_of(request).answer(rows)
    columns = [name for name in asked.get("h", "").split(",") if name]
    text = shapes.table(orjson.loads(answer.body), columns, asked.get("v") in ("", "true"))
    return answer if asked.get("format") == "json" and not columns else PlainTextResponse(text)


@router.get("/_resolve/index/{index}")
def resolve_index(request: Request, _user: Reader) -> Json:
    """Return the indexes that a name or pattern stands for."""
    _parameters(request, (_IGNORE,))
    return shapes.resolved(_named(request))


@router.api_route("/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"])
def nothing_here(request: Request, _user: Reader, path: str) -> None:
    """Say what is not there; nothing can be written here."""
    raise HTTPException(400, say("es.no_handler", path=path[:200], method=request.method))


def _searched(request: Request, user: User, names: Sequence[str], body: Json) -> Json:
    """Search indexes by their names; none of them is none of the events."""
    if not names:
        return found(request, user, EVENTS, {**body, "query": {"match_none": {}}})
    return found(request, user, names[0] if len(names) == 1 else _seen_together(user.sight), body)


def _seen_together(sight: Sight) -> str:
    """Return what of both indexes may be searched at once.

    Raises:
        SearchError: a data view shows another part of the one than of the other.
    """
    if sight.condition(EVENTS) == sight.condition(ALERTS):
        return BOTH
    shown = [name for name in (EVENTS, ALERTS) if all(any(v.names(name) for v in any_of) for any_of in sight.views)]
    if len(shown) == 2:
        raise SearchError("es.one_index", known=f"{EVENTS}, {ALERTS}")
    return shown[0] if shown else EVENTS


def _one_of_many(request: Request, user: User, head: Json, body: Json, plain: bool) -> Json:
    try:
        for key in head:
            if key not in (*_WITHOUT_EFFECT, "index", _IGNORE):
                raise SearchError("search.unknown_key", place="header", value=str(key)[:100], known="index")
        name = head.get("index") or _index(request)
        name = ",".join(map(str, name)) if isinstance(name, list) else str(name)
        names = _names(request, name, head.get(_IGNORE) in (True, "true"))
        return {**shapes.results(_searched(request, user, names, body), plain), "status": 200}
    except (SearchError, HTTPException) as error:
        return shapes.fault(error)


def _pairs(content: bytes) -> Iterator[tuple[Json, Json]]:
    """Yield header and body of each search of an `_msearch`.

    Raises:
        SearchError: a line is no JSON object, a body is missing, or there are too many.
    """
    lines = content.removesuffix(b"\n").split(b"\n") if content.strip() else []
    if len(lines) > 2 * _MOST_SEARCHES:
        raise SearchError("es.too_many_searches", value=len(lines) // 2, limit=_MOST_SEARCHES)
    if len(lines) % 2 or not lines:
        raise SearchError("es.odd_lines", value=len(lines))
    for number in range(0, len(lines), 2):
        yield _object(lines[number], f"line {number + 1}"), _object(lines[number + 1], f"line {number + 2}")


def _object(content: bytes, place: str) -> Json:
    """Return a JSON object; of nothing, an empty one."""
    if not content.strip():
        return {}
    try:
        told = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise SearchError("es.not_json", place=place, fault=error) from error
    if not isinstance(told, dict):
        raise SearchError("search.want_object", place=place, value=repr(told)[:100])
    return told


def _parameters(request: Request, known: Sequence[str]) -> dict[str, str]:
    """Return the parameters of the address.

    Raises:
        SearchError: one is not known: an answer without what it asks for would be wrong.
    """
    for name in request.query_params:
        if name not in known and name not in _WITHOUT_EFFECT and name != _IGNORE:
            raise SearchError("search.unknown_key", place="?", value=name[:100], known=", ".join(known))
    return dict(request.query_params)


def _with_parameters(body: Json, asked: Mapping[str, str]) -> Json:
    """Return a search's body with what the address says."""
    told = {name: read(asked[name]) for name, read in _TO_BODY.items() if name in asked}
    if "q" in asked:
        options = {"default_operator": asked.get("default_operator"), "default_field": asked.get("df")}
        text = {"query": asked["q"], **{name: value for name, value in options.items() if value is not None}}
        told["query"] = {"query_string": text}
    return {**body, **told}


def _sort(text: str) -> Json | str:
    name, _, direction = text.rpartition(":")
    return {name: direction} if name and direction in ("asc", "desc") else text


def _number(text: str, place: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise SearchError("search.want_count", place=place, value=repr(text)[:100])
    return int(text)


def _types(request: Request, user: User, index: str) -> dict[str, str]:
    return {field["name"]: field["type"] for field in fields_of(reader_of(request), index, user.sight)["fields"]}


def _index(request: Request) -> str:
    """Return the names that the path has: of a route without any, all."""
    return str(request.path_params.get("index", "*"))


def _named(request: Request) -> list[str]:
    return _names(request, _index(request), request.query_params.get(_IGNORE) in ("", "true"))


def _names(request: Request, index: str, ignore: bool) -> list[str]:
    """Return the indexes that a list of names and patterns stands for.

    Raises:
        NoIndex: a name stands for none.
    """
    prefix = request.app.state.settings.store.index_prefix
    if len(index) > _MOST_NAMES:
        raise shapes.NoIndex(index[:200])
    chosen = set()
    for name in index.split(","):
        fits = {known for known in (EVENTS, ALERTS) if _stands_for(name.strip(), known, prefix)}
        if not fits and "*" not in name and not ignore:
            raise shapes.NoIndex(name.strip()[:200])
        chosen |= fits
    return [name for name in (EVENTS, ALERTS) if name in chosen]


def _stands_for(name: str, index: str, prefix: str) -> bool:
    if "*" not in name:
        return name in ("_all", "", index, prefix + index)
    return any(_fits(name, each) for each in (index, prefix + index, f"{prefix}{index}-"))


def _fits(pattern: str, name: str) -> bool:
    """Whether a name fits a pattern of stars, read from left to right: each part as early as it comes."""
    first, *parts, last = pattern.split("*")
    if not name.startswith(first):
        return False
    place = len(first)
    for part in parts:
        place = name.find(part, place)
        if place < 0:
            return False
        place += len(part)
    return len(name) - len(last) >= place and name.endswith(last)
