"""The Elasticsearch store's reading end: search bodies of our subset enter, events and aggregations leave."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from elastic_transport import TransportError
from elasticsearch import ApiError

from pipeline.event import Event
from pipeline.settings import Store
from pipeline.store import ALERTS, Field, SearchError
from pipeline.store import elastic_aggregate as aggregate
from pipeline.store import query as q
from pipeline.store.elastic_client import answers, connect
from pipeline.store.elastic_query import translate
from pipeline.store.elastic_schema import LINE, TIME, field_of
from pipeline.store.fields import listed
from pipeline.store.pipelines import add
from pipeline.store.query_dsl import parse_query
from pipeline.store.request import hits_of, parse_request, skipped_before

_BAD_REQUEST = 400
#: A limit of the cluster's that the request goes over; some versions say so with a status of "not now".
_TOO_MUCH = "too_many_buckets_exception"
#: Events of one answer of `lines`, and how long the cluster keeps its view of the index for the next one.
_PAGE = 2_000
_KEPT = "5m"
#: Asks the same copies of the shards each time, where events of one moment must come in the same order again.
_SAME_COPY = "haidang"


class ElasticReader:
    """`Reader` on an Elasticsearch cluster. Safe to share between threads."""

    def __init__(self, settings: Store) -> None:
        self._settings = settings
        self._client = connect(settings)

    def search(self, collection: str, body: dict[str, Any]) -> dict[str, Any]:
        started = time.perf_counter()
        request = parse_request(body)
        asked: dict[str, Any] = {"query": translate(request.condition), "size": 0, "track_total_hits": True}
        page = {
            "size": request.size, "from_": request.offset, "source": [LINE], "sort": [
                key for item in request.order for key in aggregate.sort(item.field, item.descending)
            ], **({"preference": _SAME_COPY} if request.placed else {}),
        }  # fmt: skip
        if request.after is None:
            asked |= page
        if request.aggregations:
            asked["aggregations"] = aggregate.requests(request.aggregations)
        raw = self._ask(collection, asked)
        answer: dict[str, Any] = {"hits": {"total": raw["hits"]["total"]}}
        if request.after is not None:
            told = self._ask(collection, {"query": translate(request.page), "track_total_hits": False, **page})
            raw["hits"]["hits"] = told["hits"]["hits"]
        found = [aggregate.event_of(item) for item in raw["hits"]["hits"]]
        skipped = skipped_before(request, found[0][1], lambda fits: self._count(collection, fits)) if found else 0
        answer["hits"]["hits"] = hits_of(request, found, skipped)
        if request.aggregations:
            answer["aggregations"] = aggregate.read(request.aggregations, raw.get("aggregations", {}))
            add(request.aggregations, answer["aggregations"])
        return {"took": round((time.perf_counter() - started) * 1000), "timed_out": False, **answer}

    def get(self, collection: str, identifier: str) -> Event | None:
        answer = self.search(collection, {"query": {"ids": {"values": [identifier]}}, "size": 1})
        hits = answer["hits"]["hits"]
        return hits[0]["_source"] if hits else None

    def lines(self, collection: str, query: Any, newest: bool = False) -> Iterator[list[bytes]]:
        asked: dict[str, Any] = {
            "query": translate(parse_query(query)), "size": _PAGE, "source": [LINE], "track_total_hits": False,
            "sort": [{TIME: "desc" if newest else "asc"}, {"_shard_doc": "asc"}],
        }  # fmt: skip
        index = self._index(collection)
        opened = self._answer(
            lambda: self._client.open_point_in_time(index=index, keep_alive=_KEPT, ignore_unavailable=True)
        )
        view = opened["id"]
        try:
            hits: list[dict[str, Any]] = [{}]
            while hits:
                asked["pit"] = {"id": view, "keep_alive": _KEPT}
                found = self._answer(lambda: self._client.search(**asked))
                view, hits = found["pit_id"], found["hits"]["hits"]
                if hits:
                    asked["search_after"] = hits[-1]["sort"]
                    yield [hit["_source"][LINE].encode() for hit in hits]
        finally:
            with suppress(ApiError, TransportError):  # it goes by itself
                self._client.close_point_in_time(id=view)

    def fields(self, collection: str) -> list[Field]:
        index = self._index(collection)
        told = self._answer(
            lambda: self._client.field_caps(
                index=index, fields="*", filters="-metadata,-parent", include_empty_fields=False,
                ignore_unavailable=True, allow_no_indices=True,
            )
        )  # fmt: skip
        found: dict[str, set[str]] = {}
        for column in told["fields"]:
            field = field_of(column)
            if field is not None:
                found.setdefault(field[0], set()).add(field[1])
        return listed(found)

    def close(self) -> None:
        self._client.close()

    def _index(self, collection: str) -> str:
        prefix = self._settings.index_prefix
        return ",".join(f"{prefix}{name}" if name == ALERTS else f"{prefix}{name}-*" for name in collection.split(","))

    def _count(self, collection: str, condition: q.Condition) -> int:
        told = self._ask(collection, {"query": translate(condition), "size": 0, "track_total_hits": True})
        return int(told["hits"]["total"]["value"])

    def _ask(self, collection: str, asked: dict[str, Any]) -> Any:
        index = self._index(collection)
        return self._answer(
            lambda: self._client.search(index=index, ignore_unavailable=True, allow_no_indices=True, **asked)
        )

    def _answer(self, ask: Callable[[], Any]) -> Any:
        with answers(self._settings):
            try:
                return ask().body
            except ApiError as error:
                if error.meta.status == _BAD_REQUEST or _TOO_MUCH in str(error.body):
                    raise SearchError("search.refused", reason=_reason(error)) from error
                raise


def _reason(error: ApiError) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    told = body.get("error", {})
    for cause in (*(told.get("root_cause") or ()), told.get("caused_by") or {}):
        if cause.get("reason"):
            return str(cause["reason"])[:300]
    return str(error)[:300]
