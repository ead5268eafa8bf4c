"""Indicators that people of this site have added enter, a message that names those a receiver was not told of leaves.

What is for fewer people than the profile's TLP, and what has ended, is not told of. A message waits for approval, as
the profile says: it names who attacks, and not only how often.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from pipeline.delivery.routing import zone_of
from pipeline.event import from_micros
from pipeline.settings import Settings
from pipeline.state.tables import indicators_live, share_messages
from sharing import INDICATORS, WITHDRAWN
from sharing.book import Draft, sha256_of
from sharing.facts import INDICATOR, Fact
from sharing.formats import FORMATS
from sharing.privacy import Filter
from sharing.profile import Named
from sharing.stix.marking import is_stricter, normal


def draft(connection: Connection, settings: Settings, named: Named, row: Any, now: float) -> Draft | None:
    """Return the message about indicators that are new to a receiver (`row`: the profile's), None where none is."""
    profile, made = named.profile, FORMATS[named.profile.format]
    if INDICATORS not in made.kinds or INDICATOR not in profile.content.kinds:
        return None
    told = _told(connection, named.name)
    facts = [
        _fact(each)
        for each in connection.execute(
            select(indicators_live).order_by(indicators_live.c.kind, indicators_live.c.value)
        )
        if (each.kind, each.value) not in told
        and not 0 < each.expires <= now
        and not is_stricter(normal(each.tlp), profile.content.tlp)
    ][: profile.schedule.most_facts]
    left = Filter(profile.content, bytes(row.pseudonym_key))(facts)
    if not left:
        return None
    content = made.build(profile, left, datetime.fromtimestamp(int(now), zone_of(settings)))
    names = " ".join(f"{fact.values['indicator.kind']} {fact.values['indicator.value']}" for fact in facts)
    return Draft(INDICATORS, sha256_of(names.encode())[:32] + f" {now:.0f}", row.built_until, now, left, content)


def _told(connection: Connection, profile: str) -> set[tuple[str, str]]:
    """Return the indicators that a receiver was told of, or that wait for people; what was withdrawn may come again."""
    columns = share_messages.c
    fits = (columns.profile == profile, columns.kind == INDICATORS, columns.status != WITHDRAWN)
    said = (fact["values"] for facts in connection.scalars(select(columns.facts).where(*fits)) for fact in facts)
    return {(str(each.get("indicator.kind")), str(each.get("indicator.value"))) for each in said}


def _fact(row: Any) -> Fact:
    added = from_micros(round(row.added * 1e6))
    values: dict[str, str | int] = {
        "indicator.kind": row.kind, "indicator.value": row.value, "indicator.threat": row.threat,
        "indicator.confidence": row.confidence, "indicator.family": row.family, "indicator.tlp": row.tlp,
        "indicator.added": added,
    }  # fmt: skip
    return Fact(INDICATOR, {name: value for name, value in values.items() if value != ""})
