"""A period enters, what a report says of it leaves as numbers: each is one that a search for it gives."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from pipeline.cases import OPEN
from pipeline.devices import counting
from pipeline.event import format_time, from_micros
from pipeline.networks import OUTSIDE, Site
from pipeline.settings import Settings
from pipeline.state.tables import cases
from pipeline.store import ALERTS, EVENTS, Reader
from pipeline.systems import shares
from sharing.reports import HALF_YEARLY
from sharing.reports.period import Period

#: Alerts about the pipeline itself are none of an attack.
QUERY = "NOT labels.source:haidang"
_TOP = 15
#: Of attackers, addresses of ours are left out: so many are asked for.
_LOOKED_AT = 200


def figures(engine: Engine, reader: Reader, settings: Settings, period: Period) -> dict[str, Any]:
    """Return what a report says, as numbers."""
    found, before = _alerts(reader, settings, period), _alerts(reader, settings, period.before())
    since, until = (round(moment.timestamp() * 1e6) for moment in (period.since, period.until))
    contacts = counting.contacts(engine, settings, since, until)
    kinds = counting.grouped(contacts, "kind")
    with engine.connect().execution_options(read_only=True) as connection:
        of_cases = _cases(connection, period)
        systems = shares.standing(connection)
    body = {"size": 0, "track_total_hits": True, "query": period.range}
    return {
        "since": format_time(period.since), "until": format_time(period.until), "alerts": found, "before": before,
        "c2": {"devices": len({each.device.id for each in contacts}), "contacts": sum(c.count for c in contacts),
               "kinds": {each.name: len(each.devices) for each in kinds}},
        "cases": of_cases, "events": _total(reader.search(EVENTS, body)),
        "systems": {"all": systems["all"], "units": systems["units"]},
    }  # fmt: skip


def _alerts(reader: Reader, settings: Settings, period: Period) -> dict[str, Any]:
    def terms(field: str, size: int = _TOP, **more: Any) -> dict[str, Any]:
        made: dict[str, Any] = {"terms": {"field": field, "size": size}}
        return {**made, "aggs": more} if more else made

    hits = {"top_hits": {"size": 1, "_source": ["rule.name", "rule.name_vi", "rule.level"]}}
    spans: dict[str, Any] = {"first": {"min": {"field": "@timestamp"}}, "last": {"max": {"field": "@timestamp"}}}
    interval = "1M" if period.kind == HALF_YEARLY else "1d" if period.until - period.since > timedelta(days=1) else "1h"
    zone = format(period.since, "%z")
    days = {"field": "@timestamp", "calendar_interval": interval, "time_zone": f"{zone[:3]}:{zone[3:]}"}
    aggregations = {
        "levels": terms("rule.level", 10), "statuses": terms("alert.status", 10), "days": {"date_histogram": days},
        "rules": terms("rule.id", hits=hits), "hosts": terms("host.name", **spans),
        "targets": terms("destination.ip", ports=terms("destination.port", 5), **spans),
        "sources": terms("source.ip", _LOOKED_AT, **spans), "tags": terms("tags", _LOOKED_AT),
        "units": terms("organization.id"),
    }  # fmt: skip
    query = {"bool": {"filter": [period.range, {"query_string": {"query": QUERY}}]}}
    body = {"size": 0, "track_total_hits": True, "query": query, "aggs": aggregations}
    answer = reader.search(ALERTS, body)
    found = {name: each["buckets"] for name, each in answer["aggregations"].items()}
    site = Site(settings.detectors.behaviours.local_networks)
    techniques = [
        [str(each["key"]).removeprefix("attack.").upper(), each["doc_count"]]
        for each in found["tags"]
        if str(each["key"]).startswith("attack.t")
    ]
    return {
        "total": _total(answer), "levels": _counts(found["levels"]), "statuses": _counts(found["statuses"]),
        "days": [[each["key_as_string"], each["doc_count"]] for each in found["days"]],
        "rules": [_rule(each) for each in found["rules"]],
        "hosts": [_spanned(each) for each in found["hosts"]],
        "targets": [
            {**_spanned(each), "services": [str(port["key"]) for port in each["ports"]["buckets"]]}
            for each in found["targets"]
        ],
        "attackers": [_spanned(each) for each in found["sources"] if site.where(str(each["key"])) == OUTSIDE][:_TOP],
        "techniques": techniques[:_TOP],
        "units": [[str(each["key"]), each["doc_count"]] for each in found["units"]],
    }  # fmt: skip


def _total(answer: Mapping[str, Any]) -> int:
    return int(answer["hits"]["total"]["value"])


def _counts(buckets: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {str(each["key"]): int(each["doc_count"]) for each in buckets}


def _rule(bucket: Mapping[str, Any]) -> dict[str, Any]:
    hit = bucket["hits"]["hits"]["hits"][0]["_source"]
    name = hit.get("rule.name_vi") or hit.get("rule.name") or bucket["key"]
    return {"id": bucket["key"], "name": name, "level": hit.get("rule.level", ""), "count": bucket["doc_count"]}


def _spanned(bucket: Mapping[str, Any]) -> dict[str, Any]:
    first, latest = (from_micros(round(bucket[name]["value"] * 1000)) for name in ("first", "last"))
    return {"key": str(bucket["key"]), "count": bucket["doc_count"], "first": first, "last": latest}


def _cases(connection: Connection, period: Period) -> dict[str, int]:
    since, until = period.since.timestamp(), period.until.timestamp()

    def count(*fits: Any) -> int:
        return connection.scalar(select(func.count()).select_from(cases).where(*fits)) or 0

    columns = cases.c
    return {
        "opened": count(columns.created >= since, columns.created < until),
        "closed": count(columns.closed >= since, columns.closed < until),
        "notified": count(columns.notified >= since, columns.notified < until),
        "open": count(columns.status == OPEN),
    }
