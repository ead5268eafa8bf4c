"""Alerts (or facts), indicators and cases enter as flat dicts with the fields that may leave, STIX 2.1 objects leave.

Two rules make a repeat the same bytes and never a contradiction. What happened (a sighting, what was observed) has the
times of its alert. What is known (an indicator, a kind of malware, a site) has an id made of what it is and one time
for all, `KNOWN_SINCE`; an indicator that says when it was added is a later version of the same object.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import uuid5

from pipeline.event import encode
from pipeline.messages import HaidangError
from sharing.stix import observables
from sharing.stix.ids import OURS, canonical, own_id
from sharing.stix.marking import LEVELS, is_stricter, marking, marking_id, normal
from sharing.stix.patterns import pattern_of
from sharing.values import LONGEST, kind_of, moment_of, text, with_evidence

#: When everything is known since that says nothing of it: the day on which STIX 2.1 became a standard.
KNOWN_SINCE = "2021-06-10T00:00:00.000Z"
_A_MOMENT_LATER = "2021-06-10T00:00:00.001Z"
#: What must be allowed to leave, or nothing of this kind can be said at all.
TIME, CASE_TIMES = "@timestamp", ("case.created", "case.changed")
_ALERT = frozenset((
    TIME, "event.end", "alert.count", "rule.id", "rule.name", "rule.level", "tags", "host.name",
    "threat.indicator.name", "threat.indicator.type", "threat.indicator.confidence", "threat.software.name",
))  # fmt: skip
_INDICATOR = ("kind", "value", "feed", "threat", "confidence", "expires", "family", "reference", "added")
_CASE = ("created", "changed", "title", "summary", "level", "status", "verdict", "observables")
#: Every field that is looked at; indicators' and cases' with `indicator.` and `case.` before their own names.
FIELDS = frozenset((
    *_ALERT, *observables.FIELDS, *(f"indicator.{name}" for name in _INDICATOR), *(f"case.{name}" for name in _CASE),
))  # fmt: skip
#: STIX 2.1 section 10.5 (indicator-type-ov), and appendix A.1 for words of confidence.
_TYPES = {
    "c2": "malicious-activity", "malware": "malicious-activity", "phishing": "malicious-activity",
    "mining": "malicious-activity", "tor": "anonymization", "scanner": "anomalous-activity",
}  # fmt: skip
_CONFIDENCES = {"none": 0, "low": 15, "medium": 50, "high": 85}
#: STIX 2.1 sections 4.14 and 5.2: no count is larger.
_MOST = 999_999_999
Item = dict[str, Any]


class Site(NamedTuple):
    """Who says it: a key that never changes (it makes the ids), and what partners read."""

    key: str
    name: str
    contact: str = ""


class Made(NamedTuple):
    """Objects, those first that others refer to; how many things were left out as only fewer may know them, and how
    many cases since nothing of what is in them may leave."""

    objects: list[Item]
    left_out: int
    empty: int


def bundle_of(
    site: Site,
    alerts: Iterable[Mapping[str, Any]],
    indicators: Iterable[Mapping[str, Any]],
    cases: Iterable[Mapping[str, Any]],
    allowed: Collection[str],
    tlp: str,
) -> bytes:
    """Return a bundle of what `objects_of` makes, as canonical JSON: the same facts are the same bytes.

    Raises:
        HaidangError: `tlp` is none, or a field that is needed may not leave.
    """
    objects = objects_of(site, alerts, indicators, cases, allowed, tlp).objects
    digest = blake2b(canonical(objects), digest_size=32).hexdigest()
    return canonical({"type": "bundle", "id": f"bundle--{uuid5(OURS, digest)}", "objects": objects})


def objects_of(
    site: Site,
    alerts: Iterable[Mapping[str, Any]],
    indicators: Iterable[Mapping[str, Any]],
    cases: Iterable[Mapping[str, Any]],
    allowed: Collection[str],
    tlp: str,
) -> Made:
    """Return what may be said of alerts, indicators and cases to those whom `tlp` reaches.

    Alerts are flat ECS events (docs/alerts.md), or counted facts with the same names; indicators and cases have the
    names that they have here (`FIELDS` says which are read). A field that is not `allowed` is not in any object. What
    is itself for fewer people than `tlp` is left out whole.

    Raises:
        HaidangError: `tlp` is none, or a field that is needed may not leave.
    """
    if tlp not in LEVELS:
        raise HaidangError("stix.no_tlp", value=tlp[:50], expected=", ".join(LEVELS))
    making = _Making(site, frozenset(allowed), tlp)
    for indicator in indicators:
        making.add_indicator(indicator)
    for alert in alerts:
        making.add_alert(alert)
    for case in cases:
        making.add_case(case)
    return Made(list(making.objects.values()), making.left_out, making.empty)


@dataclass
class _Making:
    site: Site
    allowed: frozenset[str]
    tlp: str
    objects: dict[str, Item] = field(default_factory=dict)
    left_out: int = 0
    empty: int = 0

    def __post_init__(self) -> None:
        said = {"name": self.site.name[:LONGEST], "identity_class": "organization", "sectors": ["government"]}
        if self.site.contact:
            said["contact_information"] = self.site.contact[:LONGEST]
        identifier = own_id("identity", *self.site)
        times = {"created": KNOWN_SINCE, "modified": KNOWN_SINCE}
        self.author = identifier
        self.objects[identifier] = {"type": "identity", "spec_version": "2.1", "id": identifier, **times, **said}
        mark = marking(self.tlp)
        self.objects[mark["id"]] = mark

    def add_indicator(self, given: Mapping[str, Any]) -> None:
        if is_stricter(normal(text(given.get("tlp"))), self.tlp):
            self.left_out += 1
            return
        told = {name: given[name] for name in _INDICATOR if f"indicator.{name}" in self.allowed and name in given}
        value = text(told.get("value"))
        pattern = pattern_of(text(told.get("kind")) or kind_of(value), value) if value else ""
        if not pattern:
            return
        added = moment_of(told.get("added"))
        more: Item = {"indicator_types": [_TYPES.get(text(told.get("threat")), "unknown")]}
        if type(told.get("confidence")) is int and 0 <= told["confidence"] <= 100:
            more["confidence"] = told["confidence"]
        if (until := moment_of(told.get("expires"))) and until > (added or KNOWN_SINCE):
            more["valid_until"] = until
        if reference := text(told.get("reference")):
            said = {"url": reference} if reference.startswith(("http://", "https://")) else {"description": reference}
            more["external_references"] = [{"source_name": text(told.get("feed")) or "reference", **said}]
        elif feed := text(told.get("feed")):
            more["external_references"] = [{"source_name": feed, "description": feed}]
        indicator = self._indicator(value, pattern, added or _A_MOMENT_LATER, more)
        if family := text(told.get("family")):
            self._relate(indicator, "indicates", self._malware(family))

    def add_alert(self, given: Mapping[str, Any]) -> None:
        if is_stricter(normal(text(given.get("threat.indicator.marking.tlp"))), self.tlp):
            self.left_out += 1
            return
        self._need(TIME)
        shown = with_evidence(given, observables.FIELDS)
        told = {name: shown[name] for name in FIELDS & self.allowed if name in shown}
        first = moment_of(told.get(TIME))
        if not first:
            return
        last = max(moment_of(told.get("event.end")) or first, first)
        key = text(given.get("event.id")) or blake2b(encode(dict(sorted(told.items()))), digest_size=16).hexdigest()
        said = {"created": first, "modified": last, **_labels(told)}
        count = told.get("alert.count")
        count = min(max(count, 1), _MOST) if type(count) is int else 1
        seen = [self._keep_observable(each) for each in observables.observables(told)]
        evidence = []
        if seen:
            observed = {"first_observed": first, "last_observed": last, "number_observed": count, "object_refs": seen}
            evidence = [self._keep("observed-data", (key,), {**said, **observed})]
        where = [self.author]
        if host := text(told.get("host.name")):
            where = [self._host(host)]
        sure = _CONFIDENCES.get(text(told.get("threat.indicator.confidence")).lower())
        more = {"first_seen": first, "last_seen": last, "count": count, "where_sighted_refs": where}
        more |= {"observed_data_refs": evidence} if evidence else {}
        more |= {"description": text(told.get("rule.name"))} if text(told.get("rule.name")) else {}
        more |= {"confidence": sure} if sure is not None else {}
        for sighted in self._sighted(told):
            self._keep("sighting", (key, sighted), {**said, **more, "sighting_of_ref": sighted})

    def _sighted(self, told: Item) -> list[str]:
        """Return what an alert is a sighting of: its indicator, else the malware, else the techniques of its rule."""
        value, family = text(told.get("threat.indicator.name")), text(told.get("threat.software.name"))
        pattern = pattern_of(kind_of(value, text(told.get("threat.indicator.type"))), value) if value else ""
        malware = [self._malware(family)] if family else []
        if pattern:
            indicator = self._indicator(value, pattern, KNOWN_SINCE, {})
            for each in malware:
                self._relate(indicator, "indicates", each)
            return [indicator]
        tags = told.get("tags")
        return malware or [self._technique(each) for each in _techniques(tags if isinstance(tags, list) else [])]

    def add_case(self, given: Mapping[str, Any]) -> None:
        if is_stricter(normal(text(given.get("tlp"))), self.tlp):
            self.left_out += 1
            return
        for name in CASE_TIMES:
            self._need(name)
        told = {name: given[name] for name in _CASE if f"case.{name}" in self.allowed and name in given}
        created = moment_of(told.get("created"))
        if not created:
            return
        changed = max(moment_of(told.get("changed")) or created, created)
        listed = told.get("observables")
        refs = []
        for each in listed if isinstance(listed, list) else []:
            if is_stricter(normal(text(each.get("tlp"))), self.tlp):
                self.left_out += 1
            elif made := observables.of_value(text(each.get("kind")), text(each.get("value"))):
                refs.append(self._keep_observable(made))
        name, summary = text(told.get("title")), text(told.get("summary"))
        if not (refs or name or summary):
            self.empty += 1
            return
        refs = list(dict.fromkeys(refs)) or [self.author]
        said: Item = {"created": created, "modified": changed, "object_refs": refs}
        said |= {"description": summary} if summary else {}
        labels = [f"{name}:{text(told.get(name))}" for name in ("level", "verdict") if text(told.get(name))]
        said |= {"labels": labels} if labels else {}
        if text(told.get("status")) == "closed":
            self._keep("report", (given.get("id"),), {**said, "name": name or "-", "published": changed})
        else:
            said |= {"name": name} if name else {}
            self._keep("grouping", (given.get("id"),), {**said, "context": "suspicious-activity"})

    def _need(self, name: str) -> None:
        if name not in self.allowed:
            raise HaidangError("stix.needs_field", field=name)

    def _indicator(self, value: str, pattern: str, since: str, more: Item) -> str:
        said = {"name": value, "pattern": pattern, "pattern_type": "stix", "valid_from": since, **more}
        return self._keep("indicator", (pattern,), {"created": KNOWN_SINCE, "modified": since, **said})

    def _malware(self, family: str) -> str:
        return self._known("malware", (family,), {"name": family, "is_family": True})

    def _host(self, name: str) -> str:
        return self._known("identity", (name,), {"name": name, "identity_class": "system"})

    def _technique(self, number: str) -> str:
        reference = {"source_name": "mitre-attack", "external_id": number}
        return self._known("attack-pattern", (number,), {"name": number, "external_references": [reference]})

    def _relate(self, source: str, how: str, target: str) -> None:
        said = {"relationship_type": how, "source_ref": source, "target_ref": target}
        self._known("relationship", (source, how, target), said)

    def _known(self, kind: str, key: tuple[Any, ...], said: Item) -> str:
        return self._keep(kind, key, {"created": KNOWN_SINCE, "modified": KNOWN_SINCE, **said})

    def _keep(self, kind: str, key: tuple[Any, ...], said: Item) -> str:
        """Keep an object, unless it is there already, and return its id. Author and marking are in the id: the same
        thing told to more people is another object, and no two of one id differ."""
        identifier = own_id(kind, self.author, self.tlp, *key)
        if identifier not in self.objects:
            self.objects[identifier] = {
                "type": kind, "spec_version": "2.1", "id": identifier, "created_by_ref": self.author, **said,
                "object_marking_refs": [marking_id(self.tlp)],
            }  # fmt: skip
        return identifier

    def _keep_observable(self, observable: Item) -> str:
        identifier = str(observable["id"])
        self.objects.setdefault(identifier, {**observable, "object_marking_refs": [marking_id(self.tlp)]})
        return identifier


def _labels(told: Item) -> Item:
    names = {"rule.id": "rule", "rule.level": "level"}
    labels = [f"{called}:{text(told[name])}" for name, called in names.items() if text(told.get(name))]
    return {"labels": labels} if labels else {}


def _techniques(tags: list[Any]) -> list[str]:
    """Return the numbers of ATT&CK's techniques among a rule's tags (`attack.t1059.001`)."""
    said = [tag[len("attack.") :].upper() for tag in tags if isinstance(tag, str) and tag.lower().startswith("attack.")]
    numbers = [each for each in said if each[0:1] == "T" and each[1:].replace(".", "", 1).isdigit()]
    return list(dict.fromkeys(numbers))
