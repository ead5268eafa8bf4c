"""What a site can tell partners, out of its state: alerts, indicators and cases leave as flat dicts.

Which of their fields may leave is decided by whoever makes something of them (`sharing.stix`, `sharing.misp`).
"""

import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from pipeline.bus import is_imported
from pipeline.cases import OBSERVABLE
from pipeline.event import Event
from pipeline.queue import FALSE_POSITIVE, SUPPRESSED
from pipeline.settings import Settings
from pipeline.state.tables import alerts, case_entries, cases, indicators_live
from sharing.stix.building import Site

Item = dict[str, Any]
_DAY_MICROS = 86_400 * 1_000_000
_PAGE = 1_000
#: Alerts of these rules are about the pipeline itself.
_OWN = "haidang."


def site_of(settings: Settings) -> Site:
    """Return who says it."""
    taxii = settings.sharing.taxii
    return Site(settings.organization, taxii.title or settings.organization, taxii.contact)


def alerts_since(connection: Connection, days: float) -> Iterator[list[Event]]:
    """Yield the alerts of the last days, those before others that happened before, some at a time.

    What turned out to be false, what is suppressed, what is about the pipeline and what was imported is left out.
    """
    columns = alerts.c
    after = (time.time_ns() // 1000 - round(days * _DAY_MICROS), "")
    while True:
        later = (columns.time > after[0]) | ((columns.time == after[0]) & (columns.id > after[1]))
        query = select(columns.time, columns.id, columns.rule_id, columns.status, columns.document).where(later)
        rows = connection.execute(query.order_by(columns.time, columns.id).limit(_PAGE)).all()
        if not rows:
            return
        after = (rows[-1].time, rows[-1].id)
        yield [
            row.document
            for row in rows
            if row.status not in (FALSE_POSITIVE, SUPPRESSED)
            and not str(row.rule_id).startswith(_OWN)
            and not is_imported(row.document)
        ]


def indicators(connection: Connection) -> list[Item]:
    """Return the indicators that people of this site have added."""
    rows = connection.execute(select(indicators_live).order_by(indicators_live.c.kind, indicators_live.c.value))
    return [{**row, "feed": ""} for row in map(dict, rows.mappings())]


def cases_since(connection: Connection, days: float) -> list[Item]:
    """Return the cases that were changed in the last days, with their observables."""
    since = time.time() - days * 86_400
    found = []
    for row in connection.execute(select(cases).where(cases.c.changed >= since).order_by(cases.c.id)).mappings():
        query = select(case_entries.c.body).where(
            case_entries.c.case_id == row["id"], case_entries.c.kind == OBSERVABLE, case_entries.c.removed.is_(False)
        )
        observables = list(connection.scalars(query.order_by(case_entries.c.id)))
        found.append({**row, "observables": observables})
    return found
