"""Warnings that came in (`share_received`) enter, a list of indicators of each leaves: looked up, and searched for."""

import time
from typing import Any

from sqlalchemy import Engine, select, update

from detectors.indicators import kept
from detectors.indicators.fetching import Document
from detectors.indicators.listed import Defaults
from detectors.indicators.refreshing import NoneUsable, take
from pipeline.logs import log
from pipeline.messages import HaidangError
from pipeline.settings import Settings
from pipeline.state.tables import share_received

#: What a competent body warns of is taken to be so.
_CONFIDENCE = 90
#: Its indicators end after so many days, where the warning itself names no end.
_DAYS = 365.0
_AT_ONCE = 20


def waiting(engine: Engine) -> list[Any]:
    """Return warnings whose indicators were not taken over yet, the first ones first."""
    query = select(share_received).where(share_received.c.imported == 0.0)
    with engine.connect().execution_options(read_only=True) as connection:
        return list(connection.execute(query.order_by(share_received.c.received).limit(_AT_ONCE)).all())


def take_over(engine: Engine, settings: Settings) -> None:
    """Make lists of all that wait. What has nothing that could be used is an empty list that says so, and is not tried
    again."""
    for row in waiting(engine):
        name = f"warning-{row.id[:12]}"
        defaults = Defaults(name, "", _CONFIDENCE, now=time.time())
        documents = iter((Document(row.title, bytes(row.data), "stix"),))
        about = {"kind": kept.IMPORTED, "place": row.profile}
        values: dict[str, Any] = {"imported": time.time()}
        try:
            made = take(engine, settings, documents, defaults, about, _DAYS, {})
            values |= {"indicators": made.count, "refused": sum((made.refused or {}).values())}
        except NoneUsable as error:
            values |= {"refused": error.refused.counts.total(), "fault": str(error)[:1000]}
            when = {"changed": values["imported"], "refreshed": values["imported"]}
            kept.note_attempt(engine, name, **about, **when, detail=error.refused.detail())
        except HaidangError as error:
            values["fault"] = str(error)[:1000]
        log("indicators").info("warning_taken", feed=name, profile=row.profile, **values)
        with engine.begin() as connection:
            connection.execute(update(share_received).where(share_received.c.id == row.id).values(values))
