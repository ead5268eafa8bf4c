"""`bench taxii`: a collection is filled, its pages are asked for over a socket; milliseconds a page of 1,000 leave."""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine

from api.app import make_app
from api.searching import Searching
from api.serve import Server, configuration
from api.taxii import MEDIA_TYPE, ROOT
from pipeline import store as search_store
from pipeline.event import from_micros, to_micros
from pipeline.listener import tcp_listener
from pipeline.settings import Access, Settings, default_data_dir
from pipeline.state import open_state
from sharing.taxii import clients, store

_OBJECTS, _BATCH = 1_000_000, 5_000
_PAGE, _REPEATS = 1_000, 7
#: What must be reached, in milliseconds.
_MOST_MS = 200
#: Each object of so many has a second version; one of so many is of a rare type.
_AGAIN, _RARE = 20, 5_000


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the figures: each the median of seven requests, whole, from the client's side."""
    count = chosen.events or _OBJECTS
    folder = default_data_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="bench-") as scratch:
        settings = Settings(data_dir=Path(scratch), sources=[], access=Access(requests_per_minute=100_000))
        engine = open_state(settings.data_dir)
        started = time.perf_counter()
        _fill(engine, count)
        filled = time.perf_counter() - started
        ended = time.time_ns() // 1000
        with _served(settings, engine) as client:
            figures = _times(client, ended)
        engine.dispose()
    slowest = max(figures.values())
    made: dict[str, Any] = {"objects": count, "put_objects_per_second": round(count / filled), **figures}
    return {**made, "slowest_ms": slowest, "ok": slowest < _MOST_MS}


def _fill(engine: Engine, count: int) -> None:
    with engine.begin() as connection:
        store.collections(connection)
    for start in range(0, count, _BATCH):
        objects = [_object(number) for number in range(start, min(start + _BATCH, count))]
        with engine.begin() as connection:
            store.put(connection, store.named(store.collections(connection), "tlp-green"), objects)


def _object(number: int) -> dict[str, Any]:
    """Return an indicator, a later version of the one before, or something rare."""
    kind = "malware" if number % _RARE == 1 else "indicator"
    again = number % _AGAIN == _AGAIN - 1
    of = number - 1 if again else number
    moment = from_micros(1_790_000_000_000_000 + of * 1_000_000 + again * 1_000)
    created = from_micros(1_790_000_000_000_000 + of * 1_000_000)
    shared = {
        "type": kind, "spec_version": "2.1", "id": f"{kind}--00000000-0000-4000-8000-{of:012x}", "created": created,
        "modified": moment, "object_marking_refs": ["marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"],
    }  # fmt: skip
    if kind == "malware":
        return {**shared, "name": f"family {number}", "is_family": True}
    pattern = f"[domain-name:value = 'h{of}.example.com' OR ipv4-addr:value = '45.{of % 250}.{of // 250 % 250}.9']"
    return {
        **shared, "name": f"h{of}.example.com", "pattern": pattern, "pattern_type": "stix", "valid_from": created,
        "indicator_types": ["malicious-activity"], "confidence": 80,
    }  # fmt: skip


@contextmanager
def _served(settings: Settings, engine: Engine) -> Iterator[httpx.Client]:
    with engine.begin() as connection:
        secret = clients.add(connection, "bench", {"tlp-green": "r"}, 1, ("bench", "-"))
    reader = search_store.open_reader(settings.data_dir, settings.store)
    searching = Searching()
    server = Server(configuration(make_app(settings, engine, reader, searching)))
    listener = tcp_listener("127.0.0.1", 0, 16)
    running = threading.Thread(target=server.run, args=([listener],), daemon=True)
    running.start()
    while not server.started:
        time.sleep(0.01)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        with httpx.Client(
            base_url=address, auth=("bench", secret), headers={"Accept": MEDIA_TYPE}, timeout=60
        ) as client:
            yield client
    finally:
        server.should_exit = True
        running.join(10)
        listener.close()
        searching.close()
        reader.close()


def _times(client: httpx.Client, ended: int) -> dict[str, float]:
    base = f"{ROOT}/collections/tlp-green"
    began = to_micros(client.get(f"{base}/manifest/", params={"limit": 1}).headers["X-TAXII-Date-Added-First"])
    middle, last = (store.from_added(began + round((ended - began) * share)) for share in (0.5, 0.99))
    asked: dict[str, Callable[[], httpx.Response]] = {
        "first_page_ms": lambda: client.get(f"{base}/objects/", params={"limit": _PAGE}),
        "middle_page_ms": lambda: client.get(f"{base}/objects/", params={"limit": _PAGE, "added_after": middle}),
        "last_page_ms": lambda: client.get(f"{base}/objects/", params={"limit": _PAGE, "added_after": last}),
        "all_versions_ms": lambda: client.get(
            f"{base}/objects/", params={"limit": _PAGE, "added_after": middle, "match[version]": "all"}
        ),
        "first_versions_ms": lambda: client.get(
            f"{base}/objects/", params={"limit": _PAGE, "added_after": middle, "match[version]": "first"}
        ),
        "rare_type_ms": lambda: client.get(f"{base}/objects/", params={"match[type]": "malware"}),
        "two_types_ms": lambda: client.get(
            f"{base}/objects/", params={"added_after": middle, "match[type]": "malware,indicator"}
        ),
        "no_such_type_ms": lambda: client.get(f"{base}/objects/", params={"match[type]": "tool"}),
        "no_such_version_ms": lambda: client.get(f"{base}/objects/", params={"match[version]": "2000-01-01T00:00:00Z"}),
        "manifest_ms": lambda: client.get(f"{base}/manifest/", params={"added_after": middle}),
        "one_object_ms": lambda: client.get(f"{base}/objects/indicator--00000000-0000-4000-8000-{7:012x}/"),
    }
    figures = {}
    for name, ask in asked.items():
        taken = []
        for _ in range(_REPEATS):
            started = time.perf_counter()
            answer = ask()
            taken.append((time.perf_counter() - started) * 1000)
            answer.raise_for_status()
        figures[name] = round(statistics.median(taken), 2)
    return figures
