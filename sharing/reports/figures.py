"""A period enters, what a report says of it leaves as numbers: each is one that a search for it gives."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from pipeline.cases import OPEN
from pipeline.devices import counting
from pipeline.event import format_time, from_micros
from pipeline.networks import OUTSIDE, Site
from pipeline.queue.risk import tactics_of
from pipeline.settings import Settings
from pipeline.state.tables import cases
from pipeline.store import ALERTS, EVENTS, Reader
from pipeline.systems import shares
from sharing.reports import HALF_YEARLY
from sharing.reports.period import Period

#: Alerts about the pipeline itself are none of an attack.
QUERY = "NOT labels.source:haidang"
LEVELS = ("critical", "high", "medium", "low", "informational")
_GRAVE = LEVELS[:2]
#: So many are shown; what more there is is counted.
_TOP, _TOP_OTHERS = {"rules": 50, "techniques": 50}, 15
#: So many of each are counted one by one.
_LOOKED_AT = 10_000
_TECHNIQUE = "attack.t"
#: Where what is shown is chosen from other counts.
_BUCKETS_OF = {"attackers": "sources", "techniques": "tags"}


def figures(engine: Engine, reader: Reader, settings: Settings, period: Period) -> dict[str, Any]:
    """Return what a report says, as numbers."""
    found, before = _alerts(reader, settings, period), _before(reader, period.before())
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
    """Return what the alerts of a period say: first all counts, then more of what is shown."""
    body = _body(period, {
        "levels": _terms("rule.level", 10), "statuses": _terms("alert.status", 10), "days": _days(period),
        "rules": {"multi_terms": {"terms": [{"field": "rule.id"}, {"field": "rule.level"}], "size": _LOOKED_AT}},
        "hosts": _terms("host.name"), "targets": _terms("destination.ip"), "sources": _terms("source.ip"),
        "tags": _terms("tags"), "units": _terms("organization.id"),
    })  # fmt: skip
    answer = reader.search(ALERTS, body)
    found = {name: each["buckets"] for name, each in answer["aggregations"].items()}
    cut = {name for name, each in answer["aggregations"].items() if each.get("sum_other_doc_count")}
    site = Site(settings.detectors.behaviours.local_networks)
    all_of_it = {
        "rules": _rules(found["rules"]), "hosts": found["hosts"], "targets": found["targets"],
        "attackers": [each for each in found["sources"] if site.where(str(each["key"])) == OUTSIDE],
        "techniques": [each for each in found["tags"] if str(each["key"]).startswith(_TECHNIQUE)],
        "units": found["units"],
    }  # fmt: skip
    shown = {name: each[: _shown(name, each)] for name, each in all_of_it.items()}
    more = _more(reader, period, {name: [str(e["key"]) for e in each] for name, each in shown.items()})
    return {
        "total": _total(answer), "levels": _counts(found["levels"]), "statuses": _counts(found["statuses"]),
        "days": [[each["key_as_string"], each["doc_count"]] for each in found["days"]],
        "rules": [_rule(each, more["rules"]) for each in shown["rules"]],
        **{name: [_spanned(each, more[name]) for each in shown[name]] for name in ("hosts", "targets", "attackers")},
        "techniques": [[_code(each["key"]), each["doc_count"]] for each in shown["techniques"]],
        "tactics": {_code(key): tactics for key, tactics in more["techniques"].items()},
        "units": [[str(each["key"]), each["doc_count"]] for each in shown["units"]],
        "more": {
            name: _left(each[len(shown[name]) :], _BUCKETS_OF.get(name, name) in cut)
            for name, each in all_of_it.items()
        },
    }  # fmt: skip


def _left(found: Sequence[Mapping[str, Any]], at_least: bool) -> dict[str, Any]:
    """Return how many are not shown, and of how many alerts; `at_least`: there are more than were counted."""
    return {"count": len(found), "alerts": sum(each["doc_count"] for each in found), "at_least": at_least}


def _before(reader: Reader, period: Period) -> dict[str, Any]:
    answer = reader.search(ALERTS, _body(period, {"levels": _terms("rule.level", 10)}))
    return {"total": _total(answer), "levels": _counts(answer["aggregations"]["levels"]["buckets"])}


def _body(period: Period, aggregations: Mapping[str, Any]) -> dict[str, Any]:
    query = {"bool": {"filter": [period.range, {"query_string": {"query": QUERY}}]}}
    return {"size": 0, "track_total_hits": True, "query": query, "aggs": aggregations}


def _terms(field: str, size: int = _LOOKED_AT, **below: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"terms": {"field": field, "size": size}}
    return {**made, "aggs": below} if below else made


def _days(period: Period) -> dict[str, Any]:
    interval = "1M" if period.kind == HALF_YEARLY else "1d" if period.until - period.since > timedelta(days=1) else "1h"
    zone = format(period.since, "%z")
    days = {"field": "@timestamp", "calendar_interval": interval, "time_zone": f"{zone[:3]}:{zone[3:]}"}
    return {"date_histogram": days}


def _rules(buckets: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return each rule with its highest level and the count of its alerts, the gravest and then the loudest first."""
    found: dict[str, dict[str, Any]] = {}
    for bucket in buckets:
        key, level = map(str, bucket["key"])
        known = found.setdefault(key, {"key": key, "level": level, "doc_count": 0})
        known["doc_count"] += bucket["doc_count"]
        known["level"] = min(known["level"], level, key=_grade)
    return sorted(found.values(), key=lambda each: (_grade(each["level"]), -each["doc_count"], each["key"]))


def _grade(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def _shown(name: str, found: Sequence[Mapping[str, Any]]) -> int:
    """Return how many are shown; of rules, all that are grave."""
    if name != "rules":
        return _TOP.get(name, _TOP_OTHERS)
    return max(_TOP[name], sum(each["level"] in _GRAVE for each in found))


def _more(reader: Reader, period: Period, keys: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Return what else is said of what is shown: names of rules, first and last times, services, tactics."""
    hits = {"top_hits": {"size": 1, "_source": ["rule.name", "rule.name_vi"]}}
    spans: dict[str, Any] = {"first": {"min": {"field": "@timestamp"}}, "last": {"max": {"field": "@timestamp"}}}
    ports = {"ports": _terms("destination.port", 5)}
    wanted = {
        "rules": ("rule.id", {"hits": hits}), "hosts": ("host.name", spans),
        "targets": ("destination.ip", {**spans, **ports}), "attackers": ("source.ip", spans),
        "techniques": ("tags", {"tags": _terms("tags", 500)}),
    }  # fmt: skip
    aggregations = {
        name: {"filters": {"filters": {key: {"term": {field: key}} for key in keys[name]}}, "aggs": below}
        for name, (field, below) in wanted.items()
        if keys[name]
    }
    answer = reader.search(ALERTS, _body(period, aggregations))["aggregations"] if aggregations else {}
    told = {name: answer.get(name, {}).get("buckets", {}) for name in wanted}
    tactics = {key: _tactics(bucket["tags"]["buckets"]) for key, bucket in told["techniques"].items()}
    return {**told, "techniques": tactics}


def _tactics(tags: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the tactics that alerts name, the most frequent first."""
    return list(dict.fromkeys(name for each in tags for name in tactics_of({"tags": [str(each["key"])]})))


def _code(tag: Any) -> str:
    return str(tag)[len("attack.") :].upper()


def _total(answer: Mapping[str, Any]) -> int:
    return int(answer["hits"]["total"]["value"])


def _counts(buckets: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {str(each["key"]): int(each["doc_count"]) for each in buckets}


def _rule(counted: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    hit: Mapping[str, Any] = next((each["_source"] for each in more[counted["key"]]["hits"]["hits"]["hits"]), {})
    name = hit.get("rule.name_vi") or hit.get("rule.name") or counted["key"]
    return {"id": counted["key"], "name": name, "level": counted["level"], "count": counted["doc_count"]}


def _spanned(counted: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    key = str(counted["key"])
    first, latest = (from_micros(round(more[key][name]["value"] * 1000)) for name in ("first", "last"))
    told = {"key": key, "count": counted["doc_count"], "first": first, "last": latest}
    if "ports" in more[key]:
        told["services"] = [str(port["key"]) for port in more[key]["ports"]["buckets"]]
    return told


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
