"""The life of alerts: somebody takes them, says what they turned out to be, or gives them back; each change is audited.

A change of many alerts is made in parts, each with its line in the audit: a kill in between leaves none half changed.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, select, update

from pipeline.access import note as audit
from pipeline.messages import HaidangError
from pipeline.queue import ACKNOWLEDGED, FALSE_POSITIVE, INDEX, NEW, OPEN, STATUSES, TRUE_POSITIVE
from pipeline.state.tables import alerts, outbox
from pipeline.views import EVERYTHING, Sight

#: What somebody may make of an alert, and which of it needs a note.
CHANGES = (NEW, ACKNOWLEDGED, TRUE_POSITIVE, FALSE_POSITIVE)
_VERDICTS = (TRUE_POSITIVE, FALSE_POSITIVE)
_PART = 2000
_MAX_NOTE = 5000


@dataclass(frozen=True, slots=True)
class Fits:
    """Which alerts: of these ids, or all that fit the rest; times in microseconds since 1970."""

    ids: Sequence[str] = ()
    level: str = ""
    rule: str = ""
    statuses: Sequence[str] = OPEN
    since: int | None = None
    until: int | None = None
    sight: Sight = EVERYTHING

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return it as conditions on the table."""
        columns = alerts.c
        found = self.sight.of_alerts()
        if self.level:
            found.append(columns.level == self.level)
        if self.rule:
            found.append((columns.rule_id == self.rule) | (columns.rule_name == self.rule))
        if self.statuses:
            found.append(columns.status.in_(self.statuses))
        if self.since is not None:
            found.append(columns.time >= self.since)
        if self.until is not None:
            found.append(columns.time <= self.until)
        return found


def change(engine: Engine, fits: Fits, status: str, note: str, who: str, address: str) -> int:
    """Give alerts a status; return how many changed. Whoever acknowledges or judges one owns it.

    Raises:
        HaidangError: a status that nobody may give, a verdict without a note, ids that are not there.
    """
    note = note.strip()[:_MAX_NOTE]
    if status not in CHANGES:
        raise HaidangError("queue.no_status", value=status, expected=", ".join(CHANGES))
    if status in _VERDICTS and not note:
        raise HaidangError("queue.no_note", status=status)
    changed = 0
    for part in _parts(engine, fits):
        with engine.begin() as connection:
            count = _change(connection, part, status, note, who)
            if count:
                told: dict[str, Any] = {"status": status, "note": note, "count": count, "alerts": list(part[:100])}
                audit(connection, who, address, "alerts_changed", **told)
            changed += count
    return changed


def _parts(engine: Engine, fits: Fits) -> Iterator[Sequence[str]]:
    """Yield the ids of the alerts that fit, in parts."""
    if fits.ids:
        wanted = list(dict.fromkeys(fits.ids))
        with engine.connect().execution_options(read_only=True) as connection:
            known = {
                identifier
                for start in range(0, len(wanted), _PART)
                for identifier in connection.scalars(
                    select(alerts.c.id).where(alerts.c.id.in_(wanted[start : start + _PART]), *fits.sight.of_alerts())
                )
            }
        if missing := [identifier for identifier in wanted if identifier not in known]:
            raise HaidangError("queue.no_alert", id=missing[0][:100], count=len(missing))
        yield from (wanted[start : start + _PART] for start in range(0, len(wanted), _PART))
        return
    last = ""
    while True:  # by id: what is changed on the way neither moves nor hides the rest
        query = select(alerts.c.id).where(*fits.conditions(), alerts.c.id > last).order_by(alerts.c.id).limit(_PART)
        with engine.connect().execution_options(read_only=True) as connection:
            part = connection.scalars(query).all()
        if not part:
            return
        yield part
        last = part[-1]


def _change(connection: Connection, ids: Sequence[str], status: str, note: str, who: str) -> int:
    columns = alerts.c
    values: dict[str, Any] = {"status": status, "changed": time.time(), "owner": "" if status == NEW else who}
    if note:
        values["note"] = note
    different = (columns.status != status) | (columns.owner != values["owner"]) | (columns.note != note)
    found = connection.scalars(select(columns.id).where(columns.id.in_(ids), different)).all()
    if found:
        connection.execute(update(alerts).where(columns.id.in_(found)).values(values))
        connection.execute(outbox.insert(), [{"kind": INDEX, "body": identifier} for identifier in found])
    return len(found)


def statuses_of(text: str) -> Sequence[str]:
    """Return the statuses that a word means: one of them, `open`, or `all`.

    Raises:
        HaidangError: it means none.
    """
    if text == "open":
        return OPEN
    if text == "all":
        return ()
    if text not in STATUSES:
        raise HaidangError("queue.no_status", value=text[:50], expected=", ".join(("open", "all", *STATUSES)))
    return (text,)
