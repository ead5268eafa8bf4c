"""What somebody wants to add to a collection enters, what became of each object leaves (TAXII 2.1, section 4.3.1).

Each object is taken or refused by itself, and says why: whoever sends a thousand with one that is wrong has sent 999.
"""

import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import orjson
from sqlalchemy import Connection, Engine, delete, select

from pipeline.messages import say
from pipeline.state.tables import taxii_statuses
from sharing.stix.checking import fault_of
from sharing.stix.marking import is_stricter, level_of
from sharing.taxii import store
from sharing.taxii.store import Collection

Status = dict[str, Any]
#: How long it can be asked what became of something; TAXII wants a day at the least (section 4.3).
_KEPT_SECONDS = 7 * 86_400.0
_LONGEST_ID = 300
_DAY_MICROS = 86_400 * 1_000_000


def add(
    engine: Engine, collection: Collection, objects: Sequence[Any], client: str, most: int, keep_days: float
) -> Status:
    """Add what is STIX and may be in the collection; return the status, which is kept for `status_of`.

    `most`: objects that the collection may hold; what is older than `keep_days` is forgotten.
    """
    now = time.time_ns() // 1000
    with engine.begin() as connection:
        store.forget(connection, collection, oldest(keep_days))
        status = added(connection, collection, objects, most)
        status = {"id": str(uuid4()), "status": "complete", "request_timestamp": store.from_added(now), **status}
        _keep(connection, client, status)
    return status


def added(connection: Connection, collection: Collection, objects: Sequence[Any], most: int) -> Status:
    """Add what is STIX and may be in the collection, in the caller's transaction; return the counts and details."""
    good: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []
    for item in objects:
        if reason := refusal(item, collection.tlp):
            failures.append(_detail(item, reason))
        else:
            good.append(item)
    successes = []
    for outcome in store.put(connection, collection, good, most) if good else ():
        detail = {"id": outcome.id, "version": outcome.version}
        if outcome.state == "differs":
            failures.append({**detail, "message": say("taxii.differs")})
        elif outcome.state in ("full", "crowded"):
            limits = {"full": most, "crowded": store.MOST_OF_OBJECT}
            said = say(f"taxii.{outcome.state}", collection=collection.alias, limit=limits[outcome.state])
            failures.append({"id": outcome.id, "version": outcome.version or "-", "message": said})
        else:
            successes.append(detail if outcome.state == "added" else {**detail, "message": say("taxii.known")})
    made: Status = {
        "total_count": len(objects), "success_count": len(successes), "failure_count": len(failures),
        "pending_count": 0,
    }  # fmt: skip
    return made | ({"successes": successes} if successes else {}) | ({"failures": failures} if failures else {})


def oldest(keep_days: float) -> int:
    """Return the moment before which what was added is forgotten, in microseconds since 1970."""
    return time.time_ns() // 1000 - round(keep_days * _DAY_MICROS)


def refusal(item: Any, tlp: str) -> str:
    """Return why an object may not be in a collection of this level, or ""."""
    if fault := fault_of(item):
        return say(f"stix.fault.{fault.kind}", place=fault.place)
    if len(item["id"]) > _LONGEST_ID:
        return say("stix.fault.no_id", place="id")
    if item["type"] != "marking-definition" and is_stricter(level_of(item), tlp):
        return say("taxii.too_strict", level=level_of(item), limit=tlp)
    return ""


def status_of(engine: Engine, identifier: str, client: str) -> bytes | None:
    """Return what became of something that this client has sent, as JSON; None where nothing is known of it."""
    query = select(taxii_statuses.c.body).where(taxii_statuses.c.id == identifier, taxii_statuses.c.client == client)
    with engine.connect().execution_options(read_only=True) as connection:
        body = connection.scalar(query)
    return bytes(body) if body is not None else None


def _keep(connection: Connection, client: str, status: Status) -> None:
    table, now = taxii_statuses, time.time()
    connection.execute(delete(table).where(table.c.created < now - _KEPT_SECONDS))
    row = {"id": status["id"], "client": client, "created": now, "body": orjson.dumps(status)}
    connection.execute(table.insert(), row)


def _detail(item: Any, reason: str) -> dict[str, str]:
    """Return what is said of an object that was refused; what it calls itself may be anything, or nothing."""
    said = item if isinstance(item, dict) else {}
    version = next((said[name] for name in ("modified", "created") if isinstance(said.get(name), str)), "-")
    identifier = said.get("id")
    shown = identifier[:_LONGEST_ID] if isinstance(identifier, str) and identifier else "-"
    return {"id": shown, "version": version[:50], "message": reason}
