"""`bench store`: events are indexed, then searched: events a second, index size and milliseconds a query leave."""

import argparse
import re
import secrets
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline import store
from pipeline.command.bench.samples import syslog_lines
from pipeline.event import Event, encode, event_id, format_time
from pipeline.frame import pack
from pipeline.logs import start_log
from pipeline.settings import Store as StoreSettings
from pipeline.settings import default_data_dir
from pipeline.store.document import Document, document

_EVENTS = 1_000_000
_BATCH = 5_000
_COMMIT = 50_000
_REPEATS = 7
#: How long the store may take to merge its segments after the last event, in seconds.
_REST_SECONDS = 5
_ADDRESS = re.compile(r"from (\d+\.\d+\.\d+\.\d+)(?: port (\d+))?")
_USER = re.compile(r"(?:user|for) (?:invalid user )?(\w+)")
_QUERIES: dict[str, dict[str, Any]] = {
    "term": {"query": {"term": {"user.name": "root"}}},
    "phrase": {"query": {"match_phrase": {"message": "authentication failure"}}},
    "range": {"query": {"range": {"source.port": {"gte": 1024, "lt": 40000}}}},
    "prefix": {"query": {"prefix": {"user.name": "ro"}}},
    "term_of_kind": {"query": {"term": {"event.outcome": "success"}}},
    "kinds_and_date_histogram": {
        "size": 0,
        "aggs": {
            "time": {
                "date_histogram": {"field": "@timestamp", "fixed_interval": "10m"},
                "aggs": {"outcomes": {"terms": {"field": "event.outcome"}}},
            }
        },
    },
    "terms_and_date_histogram": {
        "size": 0,
        "aggs": {
            "users": {
                "terms": {"field": "user.name", "size": 10},
                "aggs": {"over_time": {"date_histogram": {"field": "@timestamp", "fixed_interval": "10m"}}},
            }
        },
    },
}


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the figures; a query's time is the median of seven, the first 10 hits with it."""
    count = chosen.events or _EVENTS
    texts, origin = syslog_lines(chosen.logs)
    with _place(chosen) as (scratch, settings):
        writer = store.open_writer(scratch, settings)
        bytes_in, framed, busy = 0, 0, 0.0
        batch: list[Document] = []
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        made = events_of(texts, count, midnight, timedelta(days=1) / count)
        for number, event in enumerate(made, 1):
            line = encode(event)
            bytes_in += len(line)
            batch.append(document(event, line))
            if len(batch) == _BATCH or number == count:
                framed += sum(len(frame.payload) for frame in pack("bench", (each.line for each in batch)))
                started = time.perf_counter()
                writer.add(store.EVENTS, batch)
                if number % _COMMIT == 0 or number == count:
                    writer.commit()
                busy += time.perf_counter() - started
                batch = []
        time.sleep(_REST_SECONDS)
        reader = store.open_reader(scratch, settings)
        figures: dict[str, Any] = {"events_per_second": round(count / busy), "events": count, "input": origin}
        figures.update(_query_times(reader))
        reader.close()
        writer.close()
        size = _stored_bytes(scratch, settings)
        figures.update(index_to_json_ratio=round(size / bytes_in, 3), index_bytes_an_event=round(size / count))
        figures.update(json_bytes_an_event=round(bytes_in / count), frame_bytes_an_event=round(framed / count))
    return figures


@contextmanager
def _place(chosen: argparse.Namespace) -> Iterator[tuple[Path, StoreSettings]]:
    """Make an empty store's place; it is gone at the end."""
    if chosen.kind == "elasticsearch":
        from pipeline.store.elastic_writer import ElasticWriter

        start_log(default_data_dir(), "bench", "warning")
        urls = chosen.servers or ["http://127.0.0.1:9200"]
        prefix = f"haidang-bench-{secrets.token_hex(6)}-"
        settings = StoreSettings(kind="elasticsearch", urls=urls, index_prefix=prefix, replicas=0)
        try:
            yield default_data_dir(), settings
        finally:
            ElasticWriter(settings).delete_all()
        return
    folder = default_data_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="bench-") as scratch:
        yield Path(scratch), StoreSettings()


def _stored_bytes(scratch: Path, settings: StoreSettings) -> int:
    """Return how many bytes of disk the indexes take, one copy of them."""
    if settings.kind == "tantivy":
        return sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file())
    from pipeline.store.elastic_client import connect

    client = connect(settings)
    client.indices.flush(index=f"{settings.index_prefix}*")
    told = client.indices.stats(index=f"{settings.index_prefix}*", metric="store")
    client.close()
    return int(told["_all"]["primaries"]["store"]["size_in_bytes"])


def _query_times(reader: store.Reader) -> dict[str, float]:
    times = {}
    for name, body in _QUERIES.items():
        taken = []
        for _ in range(_REPEATS):
            started = time.perf_counter()
            answer = reader.search(store.EVENTS, body)
            taken.append((time.perf_counter() - started) * 1000)
            assert answer["hits"]["total"]["value"], f"the query {name} finds nothing"
        times[f"{name}_ms"] = round(statistics.median(taken), 2)
    return times


def events_of(texts: list[bytes], count: int, start: datetime, step: timedelta) -> Iterator[Event]:
    """Yield events of sshd as the decoders make them, one each `step` from `start` on."""
    parsed = [_fields(text.decode("utf-8", "replace")) for text in texts]
    for number in range(count):
        moment = format_time(start + step * number)
        yield {
            "@timestamp": moment, "event.id": event_id("bench", number), "event.ingested": moment,
            "log.source.address": "10.0.0.5:51413", **parsed[number % len(parsed)],
        }  # fmt: skip


def _fields(text: str) -> Event:
    """Return the fields of a line, in the order in which the collectors write them (`collectors/envelope.py`)."""
    fields: Event = {
        "host.name": "LabSZ", "process.name": "sshd", "log.syslog.facility.code": 10, "log.syslog.severity.code": 6,
    }  # fmt: skip
    address = _ADDRESS.search(text)
    if address:
        fields["source.ip"] = address[1]
        if address[2]:
            fields["source.port"] = int(address[2])
    user = _USER.search(text)
    if user:
        fields["user.name"] = user[1]
    return {
        **fields, "event.kind": "event", "event.dataset": "linux.auth", "event.category": ["authentication"],
        "event.outcome": "success" if "Accepted" in text else "failure",
        "observer.name": "may-chu", "organization.id": "vn",
        "labels.source": "syslog", "message": text.partition("]: ")[2], "event.original": text,
    }  # fmt: skip
