"""A row of the queue enters, the alert as everybody sees it leaves: what was raised, and what has become of it."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, select

from pipeline.event import Event, from_micros
from pipeline.queue import NO_GROUP
from pipeline.state.tables import alert_groups, alerts

#: What names a rule, also in Vietnamese.
_NAMES = ("rule.name", "rule.name_vi")


def shown(row: Any) -> Event:
    """Return an alert with its `alert.status`; owner, note, when it was changed, suppression where there are."""
    document: Event = {**row.document, "alert.status": row.status}
    more = {
        "alert.owner": row.owner, "alert.note": row.note, "alert.suppression": row.suppression,
        "alert.group": row.group_id.strip(NO_GROUP),
        "alert.changed": from_micros(round(row.changed * 1_000_000)) if row.changed else "",
    }  # fmt: skip
    return document | {name: value for name, value in more.items() if value}


def names_of(connection: Connection, groups: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return what the rule of each group is called: `rule.name`, and `rule.name_vi` where its last alert has one."""
    told = [alerts.c.document[name].as_string().label(name) for name in _NAMES]
    query = select(alert_groups.c.id, *told).join(alerts, alerts.c.id == alert_groups.c.latest)
    found = connection.execute(query.where(alert_groups.c.id.in_(set(groups)))).mappings()
    return {row["id"]: {name: row[name] for name in _NAMES if row[name]} for row in found}
