"""Periods enter, their reports are made and kept; those of periods that are over are made by themselves."""

import time
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, select

from pipeline.access import note as audit
from pipeline.delivery.routing import zone_of
from pipeline.event import from_micros
from pipeline.messages import HaidangError, say, speaking
from pipeline.settings import Settings
from pipeline.state import insert_new
from pipeline.state.tables import reports
from pipeline.store import open_reader
from sharing.documents.docx import write
from sharing.documents.frame import framed
from sharing.documents.pdf import pdf
from sharing.reports.figures import figures
from sharing.reports.paper import blocks_of
from sharing.reports.period import Period, last

_MOMENTS = ("since", "until", "made")


def make(engine: Engine, settings: Settings, period: Period, who: str, address: str) -> str:
    """Make a report and keep it; return its id. One of the same period is made anew only by a person."""
    reader = open_reader(settings.data_dir, settings.store)
    try:
        told = figures(engine, reader, settings, period)
    finally:
        reader.close()
    now = time.time()
    with speaking("vi"):
        title = say(f"reports.title_{period.kind}")
        subtitle = say("reports.subtitle", since=f"{period.since:%d/%m/%Y}", until=f"{period.last_day:%d/%m/%Y}")
        document = framed(settings, title, subtitle, blocks_of(told, period), now, "")
        row = {
            "id": period.id, "kind": period.kind, "since": period.since.timestamp(),
            "until": period.until.timestamp(), "made": now, "who": who, "figures": told, "pdf": pdf(document),
            "docx": write(document),
        }  # fmt: skip
    with engine.begin() as connection:
        if address:
            connection.execute(reports.delete().where(reports.c.id == period.id))
        insert_new(connection, reports, [row], key=["id"])
        audit(connection, who, address, "report_made", report=period.id, kind=period.kind)
    return period.id


def make_due(engine: Engine, settings: Settings, now: datetime) -> list[str]:
    """Make the reports that the settings want, of periods that are over; return the ids of those that are new."""
    made = []
    for kind in settings.sharing.reports:
        period = last(kind, now)
        if f"{now:%H:%M}" < settings.sharing.reports_at and period.until.date() == now.date():
            continue
        with engine.connect().execution_options(read_only=True) as connection:
            there = connection.scalar(select(reports.c.id).where(reports.c.id == period.id))
        if there is None:
            made.append(make(engine, settings, period, "haidang", ""))
    return made


def listed(engine: Engine, kind: str = "", limit: int = 100) -> list[dict[str, Any]]:
    """Return the reports that were made, the newest period first."""
    columns = reports.c
    query = select(columns.id, columns.kind, columns.since, columns.until, columns.made, columns.who)
    if kind:
        query = query.where(columns.kind == kind)
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(query.order_by(columns.until.desc(), columns.kind).limit(limit)).mappings().all()
    return [
        {str(name): from_micros(round(value * 1e6)) if name in _MOMENTS else value for name, value in row.items()}
        for row in rows
    ]


def one(engine: Engine, identifier: str) -> Any:
    """Return a report's row.

    Raises:
        HaidangError: there is none.
    """
    with engine.connect().execution_options(read_only=True) as connection:
        row = connection.execute(select(reports).where(reports.c.id == identifier)).first()
    if row is None:
        raise HaidangError("reports.none_such", id=identifier[:50])
    return row


def now_in(settings: Settings) -> datetime:
    """Return this moment in the zone of the site."""
    return datetime.now().astimezone(zone_of(settings))
