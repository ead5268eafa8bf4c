"""The Elasticsearch store's reading end: search bodies of our subset enter, events and aggregations leave."""

import time
from typing import Any

from elasticsearch import ApiError

from pipeline.event import Event
from pipeline.settings import Store
from pipeline.store import ALERTS, SearchError
from pipeline.store import elastic_aggregate as aggregate
from pipeline.store.elastic_client import answers, connect
from pipeline.store.elastic_query import translate
from pipeline.store.elastic_schema import LINE
from pipeline.store.request import parse_request

_BAD_REQUEST = 400
#: A limit of the cluster's that the request goes over; some versions say so with a status of "not now".
_TOO_MUCH = "too_many_buckets_exception"


class ElasticReader:
    """`Reader` on an Elasticsearch cluster. Safe to share between threads."""

    def __init__(self, settings: Store) -> None:
        self._settings = settings
        self._client = connect(settings)

    def search(self, collection: str, body: dict[str, Any]) -> dict[str, Any]:
        started = time.perf_counter()
        request = parse_request(body)
        order = [item.field for item in request.order]
        asked: dict[str, Any] = {
            "query": translate(request.condition), "size": request.size, "from_": request.offset,
            "sort": [key for item in request.order for key in aggregate.sort(item.field, item.descending)],
            "track_total_hits": True, "source": [LINE],
        }  # fmt: skip
        if request.aggregations:
            asked["aggregations"] = aggregate.requests(request.aggregations)
        raw = self._ask(collection, asked)
        hits = [aggregate.hit(item, request.fields, order) for item in raw["hits"]["hits"]]
        answer: dict[str, Any] = {"hits": {"total": raw["hits"]["total"], "hits": hits}}
        if request.aggregations:
            answer["aggregations"] = aggregate.read(request.aggregations, raw.get("aggregations", {}))
        return {"took": round((time.perf_counter() - started) * 1000), "timed_out": False, **answer}

    def get(self, collection: str, identifier: str) -> Event | None:
        answer = self.search(collection, {"query": {"ids": {"values": [identifier]}}, "size": 1})
        hits = answer["hits"]["hits"]
        return hits[0]["_source"] if hits else None

    def close(self) -> None:
        self._client.close()

    def _ask(self, collection: str, asked: dict[str, Any]) -> Any:
        prefix = self._settings.index_prefix
        index = f"{prefix}{ALERTS}" if collection == ALERTS else f"{prefix}{collection}-*"
        with answers(self._settings):
            try:
                return self._client.search(index=index, ignore_unavailable=True, allow_no_indices=True, **asked).body
            except ApiError as error:
                if error.meta.status == _BAD_REQUEST or _TOO_MUCH in str(error.body):
                    raise SearchError("search.refused", reason=_reason(error)) from error
                raise


def _reason(error: ApiError) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    causes = body.get("error", {}).get("root_cause") or [{}]
    return str(causes[0].get("reason") or error)[:300]
