"""The Elasticsearch store's writing end: events with their lines enter, documents of an index a day leave.

`_id` is `event.id` and an event is created, never replaced, so a frame read twice changes nothing, whoever reads it.
An answer is durable when it comes (`index.translog.durability` is `request` by default), and searchable after `commit`.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import orjson

from pipeline.logs import log
from pipeline.messages import Unavailable
from pipeline.settings import Store
from pipeline.store import ALERTS, CANARIES, Added, Index, Refusal
from pipeline.store.days import DAY_MICROS, covers, index_name
from pipeline.store.document import Document
from pipeline.store.elastic_client import answers, connect
from pipeline.store.elastic_schema import RECEIVED, body, document_id, template

#: Bytes of one request: small enough that making the next one and indexing this one overlap.
_REQUEST_BYTES = 1_500_000
#: Requests on their way at once.
_AT_ONCE = 2
#: How long what Elasticsearch cannot take now is offered again before we give up, in seconds.
_PATIENCE_SECONDS = 30.0
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0
#: How often it is asked which indexes there are, in seconds.
_LOOK_SECONDS = 60.0
#: How long it is believed when an index last took something in, in seconds: to ask costs a look at all its events.
_RECEIVED_SECONDS = 3600.0
#: Indexes whose columns are remembered.
_MOST_INDEXES = 100
_CONFLICT, _BAD_REQUEST = 409, 400
#: The error of a document whose index cannot be made, as the cluster holds as many shards as it may.
_NO_MORE_SHARDS = "validation_exception"
_ANSWER_PARTS = "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"


class ElasticWriter:
    """`Writer` on an Elasticsearch cluster; see the module's text."""

    def __init__(self, settings: Store) -> None:
        self._settings = settings
        self._client = connect(settings)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="bulk")
        self._touched: set[str] = set()
        self._columns: dict[str, set[str]] = defaultdict(set)  # by index
        self._names: set[str] = set()
        self._received: dict[str, tuple[int, float]] = {}  # by index: when it last took something in, and when we asked
        self._looked = 0.0
        with answers(settings):
            prefix = settings.index_prefix
            made = template(prefix, settings.shards, settings.replicas)
            self._client.indices.put_index_template(name=f"{prefix}template", **made)

    def add(self, collection: str, documents: Sequence[Document]) -> Added:
        action = b"index" if collection == ALERTS else b"create"
        now = datetime.now(UTC)
        existing = self._existing()
        names: dict[int, str] = {}
        sent: list[Future[tuple[int, list[tuple[str, str]]]]] = []
        rows: list[bytes] = []
        size = 0
        for document in documents:  # while one request is under way the next is made
            day = document.micros // DAY_MICROS
            index = names.get(day) or names.setdefault(day, self._index(collection, day, now, existing))
            head = orjson.dumps({"_index": index, "_id": document_id(document.identifier)})
            rows.append(b'{"%b":%b}\n%b\n' % (action, head, body(document, self._columns[index])))
            size += len(rows[-1])
            if size >= _REQUEST_BYTES:
                sent.append(self._pool.submit(self._send, rows))
                rows, size = [], 0
        if rows:
            sent.append(self._pool.submit(self._send, rows))
        self._touched.update(names.values())
        parts = [request.result() for request in sent]
        lines = {document_id(document.identifier): document.line for document in documents}
        refused = (Refusal(lines.get(name, b""), why) for _, gone in parts for name, why in gone)
        return Added(sum(repeated for repeated, _ in parts), tuple(refused))

    def commit(self) -> None:
        if self._touched:
            with answers(self._settings):
                self._client.indices.refresh(index=sorted(self._touched), ignore_unavailable=True)
            self._touched.clear()

    def prove(self, documents: Sequence[Document]) -> set[str]:
        """In an index of its own, from which they are deleted at once."""
        name = f"{self._settings.index_prefix}{CANARIES}"
        self.add(CANARIES, documents)
        with answers(self._settings):
            self._client.indices.refresh(index=name)
            wanted = [document_id(document.identifier) for document in documents]
            asked = self._client.search(index=name, query={"ids": {"values": wanted}}, size=len(wanted))
            found = {hit["_id"] for hit in asked["hits"]["hits"]}
            self._client.bulk(index=name, operations=[{"delete": {"_id": identifier}} for identifier in wanted])
        return {document.identifier for document in documents if document_id(document.identifier) in found}

    def indexes(self) -> list[Index]:
        prefix = f"{self._settings.index_prefix}events-"
        found = []
        with answers(self._settings):
            for name, size in self._sizes(f"{prefix}*").items():
                span = covers(name.removeprefix(prefix))
                if span is not None:
                    found.append(Index(name, max(span[1], self._last_received(name)), size))
        return sorted(found, key=lambda index: index.latest)

    def remove(self, name: str) -> None:
        with answers(self._settings):
            self._client.indices.delete(index=name, ignore_unavailable=True)

    def delete_all(self) -> None:
        """Delete every index of ours and the template: a measurement's."""
        with answers(self._settings):
            for name in self._list():
                self._client.indices.delete(index=name)
            self._client.indices.delete_index_template(name=f"{self._settings.index_prefix}template")
        self._touched.clear()
        self.close()

    def close(self) -> None:
        self.commit()
        self._pool.shutdown()
        self._client.close()

    def _index(self, collection: str, day: int, now: datetime, existing: set[str]) -> str:
        if collection in (ALERTS, CANARIES):
            return f"{self._settings.index_prefix}{collection}"
        return f"{self._settings.index_prefix}{collection}-{index_name(day * DAY_MICROS, now, existing)}"

    def _existing(self) -> set[str]:
        """Return the days and months that have an index, as of a minute ago."""
        if not self._looked or time.monotonic() - self._looked > _LOOK_SECONDS:
            prefix = f"{self._settings.index_prefix}events-"
            with answers(self._settings):
                self._names = {name.removeprefix(prefix) for name in self._list()}
            self._looked = time.monotonic()
            while len(self._columns) > _MOST_INDEXES:
                del self._columns[next(iter(self._columns))]
        return self._names

    def _list(self) -> list[str]:
        pattern = f"{self._settings.index_prefix}events-*"
        return list(self._client.indices.get_settings(index=pattern, name="index.uuid", allow_no_indices=True).body)

    def _last_received(self, index: str) -> int:
        """Return when an index last took something in, in microseconds: imported history is kept from its import."""
        known, asked = self._received.get(index, (0, 0.0))
        if not asked or time.monotonic() - asked > _RECEIVED_SECONDS:
            answer = self._client.search(index=index, size=0, aggregations={"last": {"max": {"field": RECEIVED}}})
            known = int(answer["aggregations"]["last"]["value"] or 0)
            self._received[index] = known, time.monotonic()
        return known

    def _sizes(self, pattern: str) -> dict[str, int]:
        """Return the bytes of each index, with all its copies."""
        parts = "indices.*.total.store.size_in_bytes"
        asked = self._client.indices.stats(index=pattern, metric="store", filter_path=parts).body
        sizes = asked.get("indices", {}).items()
        return {name: int(index["total"]["store"]["size_in_bytes"]) for name, index in sizes}

    def _send(self, rows: list[bytes]) -> tuple[int, list[tuple[str, str]]]:
        """Bring rows to Elasticsearch, those that it cannot take now again and again for a while.

        Returns how many were there already, and `_id` and reason of those that it refuses.
        """
        repeated = 0
        refused: list[tuple[str, str]] = []
        deadline = time.monotonic() + _PATIENCE_SECONDS
        wait = _FIRST_WAIT
        while True:
            items = self._bulk(rows)
            repeated += sum(item["status"] == _CONFLICT for item in items)
            for item, row in zip(items, rows, strict=True):
                if _is_refusal(item):
                    log("store").error("not_an_event", error=str(item)[:300], document=row[:100].decode())
                    refused.append((_id_of(row), str(item["error"].get("reason"))))
            waiting = [(item, row) for item, row in zip(items, rows, strict=True) if _waits(item)]
            if not waiting:
                return repeated, refused
            if time.monotonic() > deadline:
                fault = str(waiting[0][0])[:300]
                raise Unavailable("store.no_answer", urls=", ".join(self._settings.urls), fault=fault)
            rows = [row for _, row in waiting]
            time.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    def _bulk(self, rows: list[bytes]) -> list[dict[str, Any]]:
        with answers(self._settings):
            answer = self._client.perform_request(
                "POST", f"/_bulk?filter_path={_ANSWER_PARTS}", body=b"".join(rows),
                headers={"content-type": "application/x-ndjson", "accept": "application/json"},
            )  # fmt: skip
        return [next(iter(item.values())) for item in answer.body["items"]]


def _id_of(row: bytes) -> str:
    """Return `_id` out of a row of a request."""
    (action,) = orjson.loads(row.partition(b"\n")[0]).values()
    return str(action["_id"])


def _is_refusal(item: dict[str, Any]) -> bool:
    """Say whether a document is at fault: what it says, not what the cluster can or may do now."""
    return bool(item["status"] == _BAD_REQUEST and item["error"]["type"] != _NO_MORE_SHARDS)


def _waits(item: dict[str, Any]) -> bool:
    return int(item["status"]) >= _BAD_REQUEST and item["status"] != _CONFLICT and not _is_refusal(item)
