"""Canaries: each stage notes here how far a marked event of ours has come; what is late leaves as an alert.

`collectors/canary.py` sends them. Behind the collectors they are frames of the source `CANARY`, which every stage keeps
apart by that name alone. All times are the database's, in seconds since 1970: the stages may be on several machines.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, delete, select, update

from pipeline.event import Event, at_second
from pipeline.logs import log
from pipeline.own_alerts import told_alert
from pipeline.settings import CANARY, Canary
from pipeline.state import database_time, upsert
from pipeline.state.tables import canaries

__all__ = ["CANARY", "MARK", "STEPS", "expect", "identifiers", "judge", "keep_only", "note", "rows", "standing"]

#: What becomes of a canary, in order; the last two side by side.
STEPS = ("received", "examined", "alerted", "stored")
#: The field of a canary's event that holds its id.
MARK = "labels.canary"
#: An input is forgotten so long after its machine's silence was an alert, in seconds.
_FORGOTTEN_SECONDS = 86_400.0


def expect(connection: Connection, instance: str, sent: Iterable[dict[str, str]]) -> None:
    """Note canaries that are about to be sent: `source`, `kind`, `id` and `text` of each."""
    fresh = {"sent": database_time(connection), "fault": "", **dict.fromkeys(STEPS)}
    upsert(
        connection, canaries, [{"instance": instance, **each, **fresh} for each in sent],
        key=["instance", "source", "kind"],
    )  # fmt: skip


def note(connection: Connection, step: str, found: Collection[str]) -> None:
    """Note that canaries have come to a step, in the caller's transaction; what is noted stays."""
    if found:
        column = canaries.c[step]
        reached = canaries.c.id.in_(sorted(found)) & column.is_(None)
        connection.execute(update(canaries).where(reached).values({column: database_time(connection)}))


def note_fault(connection: Connection, identifier: str, fault: str) -> None:
    """Note why a canary could not be sent."""
    connection.execute(update(canaries).where(canaries.c.id == identifier).values(fault=fault[:500]))


def keep_only(connection: Connection, instance: str, inputs: Collection[tuple[str, str]]) -> None:
    """Forget inputs (source and kind) that a machine has no more."""
    for row in connection.execute(select(canaries).where(canaries.c.instance == instance)).mappings():
        if (row["source"], row["kind"]) not in inputs:
            _forget(connection, row)


def rows(connection: Connection, instance: str | None = None) -> Sequence[RowMapping]:
    """Return what is noted of each input, of one machine or of all."""
    query = select(canaries).order_by(canaries.c.instance, canaries.c.source, canaries.c.kind)
    if instance is not None:
        query = query.where(canaries.c.instance == instance)
    return connection.execute(query).mappings().all()


def identifiers(events: Iterable[Event]) -> set[str]:
    """Return the ids of canaries' events."""
    return {str(event.get(MARK)) for event in events}


def is_through(row: RowMapping) -> bool:
    """Say whether the last canary of an input came to every step."""
    return all(row[step] is not None for step in STEPS)


def judge(connection: Connection, settings: Canary, since: float, observer: str) -> list[Event]:
    """Look at each input's last canary once it is through or late; return the alerts.

    `since`: when whoever asks began to look. What was late before, while the pipeline was down, is nobody's fault.
    """
    now = database_time(connection)
    alerts = []
    for row in rows(connection):
        begun = max(row["sent"], since)
        through = max(row[step] for step in STEPS) if is_through(row) else now
        if now - begun > _FORGOTTEN_SECONDS + _longest_pause(settings):
            _forget(connection, row)
        elif row["judged"] != row["id"] and is_through(row) and through - begun <= settings.late_seconds:
            good = {"judged": row["id"], "good": row["sent"], "seconds": through - row["sent"], "failed": False}
            _update(connection, row, good)
            if row["failed"]:
                alerts.append(_alert("canaries.canary_back", row, observer, "informational"))
        elif row["judged"] != row["id"] and through - begun > settings.late_seconds:
            _update(connection, row, {"judged": row["id"], "failures": row["failures"] + 1, "failed": True})
            if not row["failed"]:
                alerts.append(_alert("canaries.canary_late", row, observer, "high"))
        elif not row["failed"] and now - begun > _longest_pause(settings):
            _update(connection, row, {"failures": row["failures"] + 1, "failed": True})
            alerts.append(_alert("canaries.canary_not_sent", row, observer, "high"))
    return alerts


def standing(engine: Engine) -> list[dict[str, Any]]:
    """Return for each machine and kind of input how its canaries fare; `state` is good, late or waiting (the first)."""
    with engine.connect().execution_options(read_only=True) as connection:
        found = rows(connection)
    return [
        {
            "machine": row["instance"], "source": row["source"], "kind": row["kind"], "sent": at_second(row["sent"]),
            "last_good": at_second(row["good"]) if row["good"] else None,
            "seconds": round(row["seconds"], 2) if row["good"] else None,
            "reached": [step for step in STEPS if row[step] is not None],
            "failures": row["failures"], "fault": row["fault"],
            "state": "late" if row["failed"] else "good" if row["good"] else "waiting",
        }
        for row in found
    ]  # fmt: skip


def _longest_pause(settings: Canary) -> float:
    """Return after how many seconds without another canary its sender counts as silent."""
    return settings.minutes * 60 * 2 + settings.late_seconds


def _alert(key: str, row: RowMapping, observer: str, level: str) -> Event:
    about = f"{row['instance']} {row['source']} {row['kind']}"
    log("canaries").warning(key.rpartition(".")[2], input=about, sent=at_second(row["sent"]), fault=row["fault"])
    reached = ", ".join(step for step in ("sent", *STEPS) if row[step] is not None)
    missing = ", ".join(step for step in STEPS if row[step] is None)
    return told_alert(
        key, about, f"{row['id']}", observer, level, machine=row["instance"], source=row["source"], kind=row["kind"],
        sent=at_second(row["sent"]), reached=reached, missing=missing or "-", fault=row["fault"] or "-",
    )  # fmt: skip


def _update(connection: Connection, row: RowMapping, values: dict[str, Any]) -> None:
    connection.execute(update(canaries).where(*_is(row)).values(values))


def _forget(connection: Connection, row: RowMapping) -> None:
    connection.execute(delete(canaries).where(*_is(row)))


def _is(row: RowMapping) -> tuple[Any, ...]:
    return tuple(canaries.c[name] == row[name] for name in ("instance", "source", "kind"))
