"""Elasticsearch's JSON around our answers: what the store says enters, what its clients expect leaves, faults too."""

import re
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from pipeline.messages import say
from pipeline.store import ALERTS, DATE, EVENTS, KEYWORD, NUMBER, TEXT, SearchError

Json = dict[str, Any]
#: Whose requests are understood: clients and Grafana ask for this and choose their words by it.
VERSION = "8.19.0"
#: Without this header Elasticsearch's own clients take no answer.
PRODUCT = {"X-Elastic-Product": "Elasticsearch"}
CLUSTER = "haidang"
_TYPES = {DATE: "date", KEYWORD: "keyword", NUMBER: "double", TEXT: "text"}
_SHARDS = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
_COLUMNS = (
    "health", "status", "index", "uuid", "pri", "rep", "docs.count", "docs.deleted", "store.size", "pri.store.size",
)  # fmt: skip
#: Elasticsearch's names for what an answer's status says.
_REASONS = {
    400: "illegal_argument_exception", 401: "security_exception", 403: "security_exception",
    404: "resource_not_found_exception", 413: "content_too_long_exception", 429: "es_rejected_execution_exception",
    503: "unavailable_shards_exception",
}  # fmt: skip


class NoIndex(HTTPException):
    """An index that is not there; the answer names it as Elasticsearch does."""

    def __init__(self, name: str) -> None:
        super().__init__(404, say("es.no_index", name=name, known=f"{EVENTS}, {ALERTS}"))
        self.name = name


def banner() -> Json:
    """Return what `GET /` says."""
    told = {
        "number": VERSION, "build_flavor": "default", "build_type": "haidang", "build_hash": version("haidang"),
        "build_date": "2026-01-01T00:00:00Z", "build_snapshot": False, "lucene_version": "9.12.2",
        "minimum_wire_compatibility_version": "7.17.0", "minimum_index_compatibility_version": "7.0.0",
    }  # fmt: skip
    return {
        "name": CLUSTER, "cluster_name": CLUSTER, "cluster_uuid": CLUSTER, "version": told,
        "tagline": "You Know, for Search",
    }  # fmt: skip


def health() -> Json:
    """Return the cluster's health while the store answers."""
    none = (
        "relocating_shards", "initializing_shards", "unassigned_shards", "delayed_unassigned_shards",
        "number_of_pending_tasks", "number_of_in_flight_fetch", "task_max_waiting_in_queue_millis",
    )  # fmt: skip
    return {
        "cluster_name": CLUSTER, "status": "green", "timed_out": False, "number_of_nodes": 1,
        "number_of_data_nodes": 1, "active_primary_shards": 2, "active_shards": 2, **dict.fromkeys(none, 0),
        "active_shards_percent_as_number": 100.0,
    }  # fmt: skip


def results(answer: Json, total_as_number: bool = False) -> Json:
    """Return the store's answer to a search as `_search` gives it."""
    hits = answer["hits"]
    told = {
        "total": hits["total"]["value"] if total_as_number else hits["total"], "max_score": None,
        "hits": [{"_score": None, **hit} for hit in hits["hits"]],
    }  # fmt: skip
    shown = {"took": answer["took"], "timed_out": answer["timed_out"], "_shards": _SHARDS, "hits": told}
    return {**shown, "aggregations": answer["aggregations"]} if "aggregations" in answer else shown


def count(answer: Json) -> Json:
    """Return the store's answer to a search as `_count` gives it."""
    return {"count": answer["hits"]["total"]["value"], "_shards": _SHARDS}


def field_caps(indices: Sequence[str], types: dict[str, str], patterns: Iterable[str]) -> Json:
    """Return the fields that fit patterns as `_field_caps` gives them."""
    wanted = re.compile("|".join(re.escape(pattern).replace(r"\*", ".*") for pattern in patterns) or "(?!)")
    return {"indices": list(indices), "fields": {
        name: {_TYPES[kind]: {
            "type": _TYPES[kind], "metadata_field": False, "searchable": True, "aggregatable": kind != TEXT,
        }} for name, kind in types.items() if wanted.fullmatch(name)
    }}  # fmt: skip


def mapping(types: dict[str, str]) -> Json:
    """Return an index's fields as `_mapping` gives them: flat names, as in the events."""
    return {"mappings": {"subobjects": False, "properties": {n: {"type": _TYPES[kind]} for n, kind in types.items()}}}


def cat(counts: dict[str, int]) -> list[dict[str, str]]:
    """Return the rows of `_cat/indices`."""
    return [
        dict(zip(_COLUMNS, ("green", "open", name, name, "1", "0", str(number), "0", "-", "-"), strict=True))
        for name, number in counts.items()
    ]


def table(rows: Sequence[dict[str, str]], columns: Sequence[str], with_names: bool) -> str:
    """Return rows as text, one a line.

    Raises:
        SearchError: a column is none.
    """
    for name in columns:
        if name not in _COLUMNS:
            raise SearchError("search.unknown_key", place="h", value=name[:100], known=", ".join(_COLUMNS))
    chosen = columns or _COLUMNS
    lines = ([list(chosen)] if with_names else []) + [[row[name] for name in chosen] for row in rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(chosen))] if lines else []
    return "".join(" ".join(map(str.ljust, line, widths)).rstrip() + "\n" for line in lines)


def resolved(names: Iterable[str]) -> Json:
    """Return indexes as `_resolve/index` gives them."""
    return {"indices": [{"name": n, "attributes": ["open"]} for n in names], "aliases": [], "data_streams": []}


def fault(error: Exception) -> Json:
    """Return what went wrong as Elasticsearch says it."""
    if isinstance(error, SearchError):
        status, kind, reason = 400, "parsing_exception", str(error)
    elif isinstance(error, HTTPException):
        status, reason = error.status_code, str(error.detail)
        kind = _REASONS.get(status, "exception")
    elif isinstance(error, RequestValidationError):
        status, kind, reason = 400, _REASONS[400], say("api.invalid", place="", limit="")
    else:
        status, kind, reason = 503, _REASONS[503], str(error)
    cause: Json = {"type": kind, "reason": reason}
    if isinstance(error, NoIndex):
        cause = {"type": "index_not_found_exception", "reason": reason, "index": error.name, "index_uuid": "_na_",
                 "resource.type": "index_or_alias", "resource.id": error.name}  # fmt: skip
    return {"error": {"root_cause": [cause], **cause}, "status": status}


def failed(error: Exception) -> JSONResponse:
    """Return the answer to a request that failed."""
    told = fault(error)
    return JSONResponse(told, told["status"], getattr(error, "headers", None))
