"""MISP: what is shared as STIX enters as the same flat dicts, events of MISP's core format leave as JSON.

The format is draft-dulaunoy-misp-core-format; uuids are made of what they name, so a repeat is the same event. Alerts
of a day are one event, indicators one, and each case one.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID, uuid5

from pipeline.event import to_micros
from pipeline.messages import HaidangError
from sharing.stix.building import CASE_TIMES, KNOWN_SINCE, TIME, Site
from sharing.stix.ids import canonical
from sharing.stix.marking import LEVELS, is_stricter, normal
from sharing.values import kind_of, moment_of, text, with_evidence

Item = dict[str, Any]
_OURS = UUID("4f0b6c4e-8d0f-4d2c-9a3e-0a7c52d8b1e3")
#: Who may get it on, by TLP: nobody, this community, connected ones, everybody (the core format's `distribution`).
_DISTRIBUTION = {"red": "0", "amber+strict": "0", "amber": "1", "green": "2", "clear": "3"}
_THREATS = {"critical": "1", "high": "1", "medium": "2", "low": "3"}
_NETWORK, _PAYLOAD = "Network activity", "Payload delivery"
#: MISP's type and category of each kind of indicator; certificates by their length.
_TYPES = {
    "address": ("ip-dst", _NETWORK), "network": ("ip-dst", _NETWORK), "domain": ("domain", _NETWORK),
    "host": ("hostname", _NETWORK), "url": ("url", _NETWORK), "email": ("email-src", _PAYLOAD),
    "md5": ("md5", _PAYLOAD), "sha1": ("sha1", _PAYLOAD), "sha256": ("sha256", _PAYLOAD),
    "ja3": ("ja3-fingerprint-md5", _NETWORK),
}  # fmt: skip
_CERTIFICATES = {40: "x509-fingerprint-sha1", 64: "x509-fingerprint-sha256"}
#: Fields of alerts that are context: seen there, and no indicator by themselves.
_CONTEXT = {
    **{f"{of}.hash.{name}": name for of in ("file", "process") for name in ("md5", "sha1", "sha256")},
    "dns.question.name": "domain", "destination.domain": "domain", "url.full": "url", "source.ip": "ip-src",
    "destination.ip": "ip-dst",
}  # fmt: skip
_CONTEXT_CATEGORY = {"domain": _NETWORK, "url": _NETWORK, "ip-src": _NETWORK, "ip-dst": _NETWORK}
#: Kinds of a case's observables.
_OBSERVABLES = {"address": "ip-dst", "domain": "domain", "url": "url", "email": "email-src"}
_HASHES = {32: "md5", 40: "sha1", 64: "sha256"}
_LONGEST_INFO = 300


def events_of(
    site: Site,
    alerts: Iterable[Mapping[str, Any]],
    indicators: Iterable[Mapping[str, Any]],
    cases: Iterable[Mapping[str, Any]],
    allowed: Collection[str],
    tlp: str,
) -> bytes:
    """Return events as MISP imports them, as canonical JSON. What may leave, and to whom, is as in `sharing.stix`.

    Raises:
        HaidangError: `tlp` is none, or a field that is needed may not leave.
    """
    if tlp not in LEVELS:
        raise HaidangError("stix.no_tlp", value=tlp[:50], expected=", ".join(LEVELS))
    making = _Making(site, frozenset(allowed), tlp)
    made = [*making.of_indicators(indicators), *making.of_alerts(alerts), *making.of_cases(cases)]
    return canonical({"response": [{"Event": each} for each in made]})


class _Making:
    def __init__(self, site: Site, allowed: frozenset[str], tlp: str) -> None:
        self._site, self._allowed, self._tlp = site, allowed, tlp

    def of_indicators(self, indicators: Iterable[Mapping[str, Any]]) -> list[Item]:
        attributes: dict[str, Item] = {}
        last = KNOWN_SINCE
        for given in indicators:
            told = self._told(given, "indicator.")
            value = text(told.get("value"))
            if not value or is_stricter(normal(text(given.get("tlp"))), self._tlp):
                continue
            added = moment_of(told.get("added")) or KNOWN_SINCE
            last = max(last, added)
            family = text(told.get("family"))
            comment = ", ".join(filter(None, (text(told.get("threat")), family)))
            kind = text(told.get("kind")) or kind_of(value)
            self._keep(attributes, ("indicators",), _typed(kind, value), value, added, comment, True, family)
        return [self._event("indicators", (), last, "IoC", attributes)] if attributes else []

    def of_alerts(self, alerts: Iterable[Mapping[str, Any]]) -> list[Item]:
        days: dict[str, dict[str, Item]] = defaultdict(dict)
        last: dict[str, str] = {}
        for given in alerts:
            if is_stricter(normal(text(given.get("threat.indicator.marking.tlp"))), self._tlp):
                continue
            self._need(TIME)
            told = self._told(with_evidence(given, _CONTEXT), "")
            when = moment_of(told.get(TIME))
            if not when:
                continue
            day = when[:10]
            last[day] = max(last.get(day, when), when)
            family, name = text(told.get("threat.software.name")), text(told.get("rule.name"))
            if value := text(told.get("threat.indicator.name")):
                typed = _typed(kind_of(value, text(told.get("threat.indicator.type"))), value)
                self._keep(days[day], (day,), typed, value, when, name, True, family)
            for field, kind in _CONTEXT.items():
                if value := text(told.get(field)):
                    category = _CONTEXT_CATEGORY.get(kind, _PAYLOAD)
                    self._keep(days[day], (day,), (kind, category), value, when, name, False, "")
        return [self._event("alerts", (day,), last[day], day, found) for day, found in sorted(days.items()) if found]

    def of_cases(self, cases: Iterable[Mapping[str, Any]]) -> list[Item]:
        made = []
        for given in cases:
            if is_stricter(normal(text(given.get("tlp"))), self._tlp):
                continue
            for name in CASE_TIMES:
                self._need(name)
            told = self._told(given, "case.")
            created = moment_of(told.get("created"))
            if not created:
                continue
            changed = max(moment_of(told.get("changed")) or created, created)
            attributes: dict[str, Item] = {}
            listed = told.get("observables")
            for each in listed if isinstance(listed, list) else []:
                value, kind = text(each.get("value")), text(each.get("kind"))
                if value and not is_stricter(normal(text(each.get("tlp"))), self._tlp):
                    called = _OBSERVABLES.get(kind) or (_HASHES.get(len(value), "") if kind == "hash" else "")
                    typed = (called, _CONTEXT_CATEGORY.get(called, _PAYLOAD)) if called else None
                    self._keep(attributes, (given.get("id"),), typed, value, changed, "", False, "")
            title = text(told.get("title"))
            if not title and not attributes:
                continue  # nothing of it may leave
            event = self._event("case", (given.get("id"),), changed, title or "incident", attributes)
            event["date"] = created[:10]
            event["threat_level_id"] = _THREATS.get(text(told.get("level")), "4")
            event["analysis"] = "2" if text(told.get("status")) == "closed" else "1"
            made.append(event)
        return made

    def _told(self, given: Mapping[str, Any], before: str) -> Item:
        """Return what may leave."""
        return {name: given[name] for name in given if f"{before}{name}" in self._allowed}

    def _need(self, name: str) -> None:
        if name not in self._allowed:
            raise HaidangError("stix.needs_field", field=name)

    def _uuid(self, *key: Any) -> str:
        return str(uuid5(_OURS, canonical([self._site.key, self._tlp, *key]).decode()))

    def _keep(
        self, found: dict[str, Item], of: tuple[Any, ...], typed: tuple[str, str] | None, value: str, when: str,
        comment: str, detects: bool, family: str,
    ) -> None:  # fmt: skip
        """Keep an attribute, unless it is there; what is to be detected by one of them is so by all."""
        if typed is None:
            return
        identifier = self._uuid("attribute", *of, typed[0], value)
        there = found.get(identifier)
        if there is not None:
            there["to_ids"] = there["to_ids"] or detects
            there["first_seen"], there["last_seen"] = min(there["first_seen"], when), max(there["last_seen"], when)
            there["timestamp"] = _seconds(there["last_seen"])
            return
        found[identifier] = {
            "uuid": identifier, "type": typed[0], "category": typed[1], "value": value, "to_ids": detects,
            "comment": comment, "timestamp": _seconds(when), "distribution": "5", "disable_correlation": False,
            "first_seen": when, "last_seen": when,
        }  # fmt: skip
        if family:
            found[identifier]["Tag"] = [{"name": f'misp-galaxy:malpedia="{family}"'}]

    def _event(self, kind: str, key: tuple[Any, ...], when: str, info: str, attributes: Mapping[str, Item]) -> Item:
        organ = {"name": self._site.name, "uuid": self._uuid("org", self._site.name)}
        return {
            "uuid": self._uuid(kind, *key), "info": f"{self._site.name}: {info}"[:_LONGEST_INFO], "date": when[:10],
            "timestamp": _seconds(when), "published": False, "analysis": "2", "threat_level_id": "4",
            "distribution": _DISTRIBUTION[self._tlp], "Orgc": organ, "Org": organ,
            "Tag": [{"name": f"tlp:{self._tlp}"}],
            "Attribute": sorted(attributes.values(), key=lambda each: (each["type"], each["value"])),
        }  # fmt: skip


def _typed(kind: str, value: str) -> tuple[str, str] | None:
    if kind == "certificate":
        return (_CERTIFICATES[len(value)], _NETWORK) if len(value) in _CERTIFICATES else None
    return _TYPES.get(kind)


def _seconds(moment: str) -> str:
    return str(to_micros(moment) // 1_000_000)
