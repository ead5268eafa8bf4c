"""Sites for the tests of the API: a data directory with events and alerts, and the API served from it over a socket."""

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import Engine

from api.app import make_app
from api.searching import Searching
from api.serve import Server, configuration
from pipeline import access, bus, store
from pipeline.bus import open_bus
from pipeline.event import Event, encode, event_id, format_time, to_micros
from pipeline.frame import pack
from pipeline.identity import users
from pipeline.instance import instance_of
from pipeline.ledger import DROPPED, IN, Tally
from pipeline.settings import Access, Api, Settings, Store
from pipeline.stage import Stage
from pipeline.state import open_state, upsert
from pipeline.state.tables import alerts, stages
from pipeline.store.indexer import index_topics

PASSWORD = "một mật khẩu dài"
#: Values that a page must show and never obey.
UGLY = ("<script>document.title='owned'</script><img src=x onerror=alert(1)>", "x" * 10_000, "مرحبا \u202eexe.gnp")
NOW = datetime.now(UTC).replace(microsecond=0)


#: How clients of httpx ask here: with patience, on a machine that others load, too; and whom they trust is read once,
#: for it takes longer than most of what they ask.
PATIENTLY: dict[str, Any] = {"timeout": 60, "verify": ssl.create_default_context()}


@dataclass(frozen=True)
class Site:
    """A data directory, what it was filled with, and where its API answers."""

    settings: Settings
    engine: Engine
    address: str
    events: list[Event]
    app: FastAPI

    def client(self, secret: str = "", language: str = "en") -> httpx.Client:
        """Return a client; `secret` is a session or a token."""
        headers = {"Accept-Language": language}
        if secret:
            headers["Authorization"] = f"Bearer {secret}"
        return httpx.Client(base_url=self.address, headers=headers, **PATIENTLY)

    def user(self, name: str, role: str = "viewer") -> None:
        """Make a user with `PASSWORD`."""
        with self.engine.begin() as connection:
            users.create_user(connection, name, role, PASSWORD)

    def log_in(self, name: str) -> str:
        """Return a new session of a user with `PASSWORD`."""
        with self.client() as client:
            return str(client.post("/api/v1/login", json={"name": name, "password": PASSWORD}).json()["token"])

    def token(self, name: str, role: str) -> str:
        """Return a new token that reads the API."""
        with self.engine.begin() as connection:
            return access.create_token(connection, re.sub(r"[^\w.@-]", "-", name)[:100], access.API, role)


#: Tests ask more often than people.
_OFTEN = Access(logins_per_minute=100_000, requests_per_minute=100_000, second_factor_roles=["needs-factor"])


def serving(folder: Path, filled_by: Callable[[Settings, Engine], list[Event]], **settings: Any) -> Any:
    """Return a context in which the API of a new data directory is served, with these settings beside the usual ones."""
    return _Serving(folder, filled_by, **{"access": _OFTEN, **settings})


class _Serving:
    def __init__(self, folder: Path, filled_by: Callable[[Settings, Engine], list[Event]], **settings: Any) -> None:
        settings = {"store": Store(memory_mb=20, commit_seconds=0.1), **settings}
        self._settings = Settings(data_dir=folder, api=Api(lockout_failures=3), sources=[], **settings)
        self._engine = open_state(folder, self._settings.state)
        self._events = filled_by(self._settings, self._engine)
        self._reader = store.open_reader(folder, self._settings.store)
        self._searching = Searching()
        self._app = make_app(self._settings, self._engine, self._reader, self._searching)
        self._server = Server(configuration(self._app))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    def __enter__(self) -> Site:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        port = self._socket.getsockname()[1]
        return Site(self._settings, self._engine, f"http://127.0.0.1:{port}", self._events, self._app)

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()
        self._searching.close()
        self._reader.close()
        self._engine.dispose()


def index(settings: Settings, engine: Engine, events: list[Event], copies: Sequence[Event] = ()) -> None:
    """Make events and copies of alerts searchable, by way of the bus and the store's own stage."""
    queue = open_bus(settings.data_dir, settings.bus)
    queue.publish(bus.EVENTS, list(pack("syslog", map(encode, events))))
    queue.publish(bus.ALERT_UPDATES, list(pack("alerts", map(encode, copies))))
    stage = Stage("store", settings, engine, queue)
    reader = store.open_reader(settings.data_dir, settings.store)
    running = threading.Thread(target=index_topics, args=(stage,))

    def there(collection: str) -> int:
        return int(reader.search(collection, {"size": 0})["hits"]["total"]["value"])

    wanted = [(name, there(name) + len(more)) for name, more in ((store.EVENTS, events), (store.ALERTS, copies))]
    running.start()
    for collection, count in wanted:
        while there(collection) < count:
            assert running.is_alive()
            time.sleep(0.02)
    stage.stopping.set()
    running.join()
    reader.close()
    queue.close()


def day(settings: Settings, engine: Engine) -> list[Event]:
    """Fill a site with 120 events of the last two hours, three with hostile values, and ten alerts."""
    events = [_event(number) for number in range(120)] + [_ugly(number) for number in range(len(UGLY))]
    raised = [_alert(number, event) for number, event in enumerate(events[:7] + events[120:])]
    index(settings, engine, events, raised)
    rows = [
        {
            "id": alert["event.id"], "time": to_micros(alert["@timestamp"]), "created": time.time(),
            "rule_id": alert["rule.id"], "rule_name": alert["rule.name"], "level": alert["rule.level"],
            "source": "syslog", "document": alert,
        }
        for alert in raised
    ]  # fmt: skip
    heard = {"pid": 1, "started": time.time(), "seen": time.time() + 3600, "backlog_events": 0}
    tally = Tally()
    tally.add("syslog", IN, 125)
    with engine.begin() as connection:
        connection.execute(alerts.insert(), rows)
        names = ("collectors", "detectors", "response", "store", "api")
        upsert(
            connection,
            stages,
            [
                {**heard, "stage": name, "instance": instance_of(settings.data_dir), "detail": {"ready": True}}
                for name in names
            ],
            ["stage", "instance"],
        )
        tally.save(connection, "collectors")
        tally.clear()
        tally.add("syslog", DROPPED, 2, "not_an_event")
        tally.save(connection, "store")
    return events


def _event(number: int) -> Event:
    moment = NOW - timedelta(minutes=number)
    user = "root" if number % 3 == 0 else f"canbo{number % 3}"
    text = f"Đăng nhập thất bại lần {number} của {user}"
    return {
        "@timestamp": format_time(moment), "event.id": event_id("test", number), "event.dataset": "linux.auth",
        "event.kind": "event", "event.original": text, "message": text, "host.name": f"may-{number % 2}",
        "user.name": user, "source.ip": f"203.0.113.{number}", "labels.source": "syslog", "organization.id": "vn",
    }  # fmt: skip


def _ugly(number: int) -> Event:
    event = _event(200 + number)
    value = UGLY[number]
    return {**event, "host.name": value, "user.name": value, "message": value, "event.original": value}


def _alert(number: int, event: Event) -> Event:
    level = ("critical", "high", "medium", "low", "informational")[number % 5]
    return {
        "@timestamp": event["@timestamp"], "event.id": event_id("alert", number), "event.kind": "alert",
        "rule.id": f"rule-{level}", "rule.name": f"Rule of level {level}", "rule.level": level,
        "rule.description": event["message"], "rule.response": "Ask <b>who</b> it was.",
        "rule.response_vi": "Hỏi <b>ai</b> đã làm.", "alert.status": "new", "alert.count": 1,
        "alert.matches": [{"selection": "selection", "field": "message", "value": event["message"]}],
        "alert.evidence": [event], "host.name": event["host.name"], "user.name": event["user.name"],
    }  # fmt: skip
