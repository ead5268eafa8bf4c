"""The inventory and stored events enter, facts about the state of machines leave, once a day: no alert says these.

Only what a source has said: scanners' vulnerabilities (`vulnerability.id` of ECS), Windows' own records of updates
installed, of its firewall and of its antivirus. Of a machine of which none says anything there is no fact.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from sqlalchemy import Connection

from pipeline.event import format_time, from_micros
from pipeline.settings import Settings
from pipeline.store import EVENTS, Reader, open_reader
from sharing.facts import PROTECTION, SYSTEM, UPDATE, VULNERABILITY, Fact, Machine, Machines

#: A machine on which nothing was installed for so many days has missed updates (the letter's own term).
MISSED_DAYS = 15
#: So far back is looked for what machines have last said of themselves, in days.
_LOOK_DAYS = 60
#: Windows Update's record of an update installed (Microsoft-Windows-WindowsUpdateClient, event 19).
_INSTALLED = "event.code:19 AND winlog.provider_name:Microsoft-Windows-WindowsUpdateClient"
#: Windows Defender's records of real-time protection that is on, or off (Microsoft, "Review event logs").
_PROVIDER = "winlog.provider_name:Microsoft-Windows-Windows\\ Defender"
_PROTECTED, _UNPROTECTED = f"event.code:5000 AND {_PROVIDER}", f"event.code:(5001 OR 5010 OR 5012) AND {_PROVIDER}"
#: Windows Firewall's records of a profile whose setting has changed (event 2003), with the new value.
_FIREWALL = "event.code:2003 AND winlog.channel:Microsoft-Windows-Windows\\ Firewall*"
_MOST = 10_000


def due(built_until: float, now: float, zone: tzinfo | None) -> bool:
    """Whether a day has begun since messages were last built."""
    before, after = (datetime.fromtimestamp(moment, UTC).astimezone(zone).date() for moment in (built_until, now))
    return before != after


def gather(connection: Connection, settings: Settings, now: float) -> list[Fact]:
    """Return what machines are like, as far as a source says."""
    whose = Machines(connection, settings)
    since = format_time(datetime.fromtimestamp(now, UTC) - timedelta(days=_LOOK_DAYS))
    reader = open_reader(settings.data_dir, settings.store)
    try:
        looked = _Looked(reader, whose, since)
        facts = [*_vulnerabilities(looked), *_systems(looked, now), *_protections(looked)]
    finally:
        reader.close()
    return sorted(facts, key=lambda fact: fact.key)


class _Looked:
    """What stored events say by machine."""

    def __init__(self, reader: Reader, whose: Machines, since: str) -> None:
        self._reader, self._whose, self._since = reader, whose, since

    def latest(self, text: str, field: str = "host.name") -> dict[str, str]:
        """Return when each host (or other value of a field) last said something."""
        aggregations = {"by": {
            "terms": {"field": field, "size": _MOST}, "aggs": {"last": {"max": {"field": "@timestamp"}}},
        }}  # fmt: skip
        body = {"size": 0, "query": self._query(text), "aggs": aggregations}
        buckets = self._reader.search(EVENTS, body)["aggregations"]["by"]["buckets"]
        return {str(each["key"]): from_micros(round(each["last"]["value"] * 1000)) for each in buckets}

    def pairs(self, text: str, fields: tuple[str, str]) -> Iterator[tuple[str, str]]:
        """Yield the pairs of two fields' values that occur together."""
        terms = [{"field": field} for field in fields]
        aggregations = {"by": {"multi_terms": {"terms": terms, "size": _MOST}}}
        body = {"size": 0, "query": self._query(text), "aggs": aggregations}
        for each in self._reader.search(EVENTS, body)["aggregations"]["by"]["buckets"]:
            yield str(each["key"][0]), str(each["key"][1])

    def machine(self, host: str) -> tuple[Machine, str]:
        """Return a host as the inventory knows it, and its operating system."""
        return self._whose.named(host)

    def _query(self, text: str) -> dict[str, Any]:
        within = {"range": {"@timestamp": {"gte": self._since}}}
        return {"bool": {"filter": [within, {"query_string": {"query": text}}]}}


def _vulnerabilities(looked: _Looked) -> Iterator[Fact]:
    for host, name in looked.pairs("vulnerability.id:*", ("host.name", "vulnerability.id")):
        machine, system = looked.machine(host)
        yield Fact(VULNERABILITY, {**machine.values, "vulnerability.name": name, "machine.os": system})


def _systems(looked: _Looked, now: float) -> Iterator[Fact]:
    installed = looked.latest(_INSTALLED)
    for host, last in installed.items():
        machine, system = looked.machine(host)
        yield Fact(SYSTEM, {**machine.values, "machine.os": system, "machine.last_update": last[:10]})
    if installed:
        missed = format_time(datetime.fromtimestamp(now, UTC) - timedelta(days=MISSED_DAYS))
        yield Fact(UPDATE, {"update.missing": sum(last < missed for last in installed.values())})


def _protections(looked: _Looked) -> Iterator[Fact]:
    on, off = looked.latest(_PROTECTED), looked.latest(_UNPROTECTED)
    firewall: dict[str, tuple[str, str]] = {}
    for value in ("1", "0"):
        text = f"{_FIREWALL} AND winlog.event_data.SettingValueString:{'Yes' if value == '1' else 'No'}"
        for host, last in looked.latest(text).items():
            firewall[host] = max(firewall.get(host, ("", "")), (last, value))
    for host in sorted({*on, *off, *firewall}):
        machine, _ = looked.machine(host)
        protects = "" if host not in {*on, *off} else str(int(on.get(host, "") > off.get(host, "")))
        values = {"protection.auto_protect": protects, "protection.firewall": firewall.get(host, ("", ""))[1]}
        yield Fact(PROTECTION, {**machine.values, **values})
