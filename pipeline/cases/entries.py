"""What people put into a case enters: notes, tasks, observables, events, files; each with who, when, from where.

Nothing is deleted: what is taken away keeps its place, marked so, with the reason in the timeline.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import zstandard
from sqlalchemy import Connection, Engine, func, insert, select, update

from pipeline.access import note as audit
from pipeline.cases import ALERTS, CHANGE, EVENT, FILE, KINDS, NOTE, OBSERVABLE, OPEN, TASK, TLP
from pipeline.event import Event, to_micros
from pipeline.messages import HaidangError
from pipeline.networks import is_address
from pipeline.state import insert_new
from pipeline.state.tables import case_entries, case_files, cases

#: Kinds of observables.
OBSERVABLES = ("address", "domain", "url", "hash", "email", "host", "user", "file", "other")
#: Fields of alerts that are observables, by kind.
_FIELDS = {
    "address": ("source.ip", "destination.ip"),
    "domain": ("dns.question.name", "destination.domain", "tls.client.server_name", "url.domain"),
    "url": ("url.original", "url.full"),
    "hash": ("file.hash.sha256", "process.hash.sha256", "file.hash.md5", "process.hash.md5"),
    "host": ("host.name",),
    "user": ("user.name",),
    "file": ("file.path", "process.executable"),
}
_MAX_TEXT = 50_000
_MAX_LINE = 1000
#: Entries of a case, and bytes of one event in it.
_MOST = 20_000
_MAX_EVENT_BYTES = 1_000_000
#: Files of a case together, in multiples of the largest one.
_FILES = 20


@dataclass(frozen=True, slots=True)
class By:
    """Who does something, and from where."""

    who: str
    address: str


def add_note(engine: Engine, case: int, text: str, by: By) -> int:
    """Add a note in Markdown; return its number.

    Raises:
        HaidangError: it says nothing, or too much; or there is no such open case.
    """
    return _add(engine, case, NOTE, {"text": _text(text, "text", _MAX_TEXT)}, by)


def add_task(engine: Engine, case: int, title: str, owner: str, by: By) -> int:
    """Add a task; return its number."""
    return _add(engine, case, TASK, {"title": _text(title, "title"), "owner": owner[:100], "done": False}, by)


def set_task(engine: Engine, case: int, number: int, done: bool, owner: str | None, by: By) -> None:
    """Say that a task is done, or not; or whose it is.

    Raises:
        HaidangError: there is none.
    """
    with engine.begin() as connection:
        writable(connection, case)
        body = dict(_entry(connection, case, number, TASK).body)
        body["done"] = done
        if owner is not None:
            body["owner"] = owner[:100]
        connection.execute(update(case_entries).where(case_entries.c.id == number).values(body=body))
        change(connection, case, by, task=number, done=done, owner=body["owner"])


def add_observable(engine: Engine, case: int, kind: str, value: str, tlp: str, note: str, by: By) -> int:
    """Add an observable; one that is there already keeps its place. Return its number."""
    if kind not in OBSERVABLES:
        raise HaidangError("cases.no_kind", value=kind[:50], expected=", ".join(OBSERVABLES))
    if tlp not in TLP:
        raise HaidangError("cases.no_tlp", value=tlp[:50], expected=", ".join(TLP))
    value = _text(value, "value")
    if kind == "address" and not is_address(value):
        raise HaidangError("cases.no_address", value=value[:100])
    with engine.connect().execution_options(read_only=True) as connection:
        known = observables(connection, case).get((kind, value))
    if known:
        return known
    return _add(engine, case, OBSERVABLE, {"kind": kind, "value": value, "tlp": tlp, "note": note[:_MAX_LINE]}, by)


def observables(connection: Connection, case: int) -> dict[tuple[str, str], int]:
    """Return the observables of a case and their numbers."""
    query = select(case_entries.c.id, case_entries.c.body).where(
        case_entries.c.case_id == case, case_entries.c.kind == OBSERVABLE, case_entries.c.removed.is_(False)
    )
    return {(row.body["kind"], row.body["value"]): row.id for row in connection.execute(query)}


def observed(alert: Event) -> list[tuple[str, str]]:
    """Return the observables of an alert."""
    values = ((kind, alert.get(name)) for kind, names in _FIELDS.items() for name in names)
    single = ((kind, each) for kind, value in values for each in (value if isinstance(value, list) else [value]))
    return list(dict.fromkeys((kind, each) for kind, each in single if isinstance(each, str) and _fits(kind, each)))


def _fits(kind: str, value: str) -> bool:
    return bool(value.strip()) and len(value) <= _MAX_LINE and (kind != "address" or is_address(value))


def add_events(engine: Engine, case: int, events: Sequence[Event], by: By) -> int:
    """Add copies of events, which stay when the store has forgotten them; return how many are new.

    Raises:
        HaidangError: there is no such open case, it is full, or an event is too long.
    """
    with engine.begin() as connection:
        writable(connection, case)
        known = {
            row.body["event.id"]
            for row in connection.execute(
                select(case_entries.c.body).where(
                    case_entries.c.case_id == case, case_entries.c.kind == EVENT, case_entries.c.removed.is_(False)
                )
            )
        }
        new = {event["event.id"]: event for event in events if event["event.id"] not in known}
        for event in new.values():
            if len(orjson.dumps(event)) > _MAX_EVENT_BYTES:
                raise HaidangError("cases.too_long", what=event["event.id"], limit=_MAX_EVENT_BYTES)
            put(connection, case, EVENT, event, by, at=to_micros(event["@timestamp"]))
    return len(new)


def add_file(engine: Engine, case: int, name: str, data: bytes, limit: int, by: By) -> tuple[int, str]:
    """Add a file of at most `limit` bytes; return its number and its SHA-256.

    Raises:
        HaidangError: it has no name, is too large, or the case has no room for it.
    """
    if len(data) > limit:
        raise HaidangError("cases.too_long", what=name[:100], limit=limit)
    digest = hashlib.sha256(data).hexdigest()
    body = {
        "name": _text(name.replace("\\", "/").rpartition("/")[2], "name", 255), "size": len(data), "sha256": digest,
        "sha1": hashlib.sha1(data, usedforsecurity=False).hexdigest(),
        "md5": hashlib.md5(data, usedforsecurity=False).hexdigest(),
    }  # fmt: skip
    with engine.begin() as connection:
        writable(connection, case)
        held = connection.scalar(select(func.sum(case_files.c.size)).where(case_files.c.case_id == case)) or 0
        if held + len(data) > limit * _FILES:
            raise HaidangError("cases.no_room", case=case, limit=limit * _FILES // 1_000_000)
        packed = zstandard.ZstdCompressor().compress(data)
        row = {"case_id": case, "sha256": digest, "size": len(data), "data": packed}
        insert_new(connection, case_files, [row], ["case_id", "sha256"])
        return put(connection, case, FILE, body, by), digest


def file_of(connection: Connection, case: int, number: int) -> tuple[Mapping[str, Any], bytes]:
    """Return what is known of a file, and its bytes.

    Raises:
        HaidangError: there is none.
    """
    body = _entry(connection, case, number, FILE).body
    query = select(case_files.c.data).where(case_files.c.case_id == case, case_files.c.sha256 == body["sha256"])
    data = connection.scalar(query)
    if data is None:
        raise HaidangError("cases.no_entry", case=case, number=number)
    return body, zstandard.ZstdDecompressor().decompress(data, max(1, body["size"]))


def remove(engine: Engine, case: int, number: int, reason: str, by: By) -> None:
    """Take an entry away; it stays in the state, and the timeline says who did it and why.

    Raises:
        HaidangError: there is none, it is alerts or a change, or no reason is given.
    """
    reason = _text(reason, "reason")
    with engine.begin() as connection:
        writable(connection, case)
        entry = _entry(connection, case, number)
        if entry.kind in (ALERTS, CHANGE):
            raise HaidangError("cases.stays", number=number, kind=entry.kind)
        connection.execute(update(case_entries).where(case_entries.c.id == number).values(removed=True))
        change(connection, case, by, removed=number, kind=entry.kind, reason=reason)


def put(connection: Connection, case: int, kind: str, body: Mapping[str, Any], by: By, at: int | None = None) -> int:
    """Write an entry, and the audit of it, in the caller's transaction; return its number."""
    number = write(connection, case, kind, body, by, at)
    told = body if kind == CHANGE else {"entry": number, "kind": kind}
    audit(connection, by.who, by.address, "case_changed", case=case, **told)
    return number


def write(connection: Connection, case: int, kind: str, body: Mapping[str, Any], by: By, at: int | None = None) -> int:
    """Write an entry, in the caller's transaction, which audits it; return its number."""
    now = time.time()
    row = {
        "case_id": case, "kind": kind, "time": now, "who": by.who, "address": by.address,
        "at": round(now * 1e6) if at is None else at, "body": dict(body), "removed": False,
    }  # fmt: skip
    number: int = connection.execute(insert(case_entries).values(row).returning(case_entries.c.id)).scalar_one()
    connection.execute(update(cases).where(cases.c.id == case).values(changed=now))
    return number


def change(connection: Connection, case: int, by: By, **what: Any) -> None:
    """Write into a case's timeline that something of it changed."""
    put(connection, case, CHANGE, what, by)


def _add(engine: Engine, case: int, kind: str, body: Mapping[str, Any], by: By) -> int:
    with engine.begin() as connection:
        writable(connection, case)
        return put(connection, case, kind, body, by)


def writable(connection: Connection, case: int) -> None:
    """Hold that a case is there, open, and has room.

    Raises:
        HaidangError: it is not.
    """
    status = connection.scalar(select(cases.c.status).where(cases.c.id == case).with_for_update())
    if status is None:
        raise HaidangError("cases.none", case=case)
    if status != OPEN:
        raise HaidangError("cases.closed", case=case)
    count = connection.scalar(select(func.count()).select_from(case_entries).where(case_entries.c.case_id == case))
    if (count or 0) >= _MOST:
        raise HaidangError("cases.full", case=case, limit=_MOST)


def _entry(connection: Connection, case: int, number: int, kind: str = "") -> Any:
    columns = case_entries.c
    query = select(case_entries).where(columns.id == number, columns.case_id == case, columns.removed.is_(False))
    row = connection.execute(query).first()
    if row is None or row.kind not in ((kind,) if kind else KINDS):
        raise HaidangError("cases.no_entry", case=case, number=number)
    return row


def _text(text: str, name: str, limit: int = _MAX_LINE) -> str:
    text = text.strip()
    if not text:
        raise HaidangError("cases.empty", name=name)
    if len(text) > limit:
        raise HaidangError("cases.too_long", what=name, limit=limit)
    return text
