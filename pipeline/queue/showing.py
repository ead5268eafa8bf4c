"""A row of the queue enters, the alert as everybody sees it leaves: what was raised, and what has become of it."""

from typing import Any

from pipeline.event import Event, from_micros
from pipeline.queue import NO_GROUP


def shown(row: Any) -> Event:
    """Return an alert with its `alert.status`; owner, note, when it was changed, suppression where there are."""
    document: Event = {**row.document, "alert.status": row.status}
    more = {
        "alert.owner": row.owner, "alert.note": row.note, "alert.suppression": row.suppression,
        "alert.group": row.group_id.strip(NO_GROUP),
        "alert.changed": from_micros(round(row.changed * 1_000_000)) if row.changed else "",
    }  # fmt: skip
    return document | {name: value for name, value in more.items() if value}
