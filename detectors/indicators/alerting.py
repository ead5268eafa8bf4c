"""Alerts on indicators: an event and what of it was found enter, one alert leaves.

Who talks to whom decides: a device of ours that goes to an attacker's address is another thing than an attacker's
scanner that knocks. The id is made of rule, indicator, our device and the hour, so that copies of the stage, a restart
and a later search of what is stored all give the same alert.
"""

from collections import OrderedDict
from functools import cache
from typing import NamedTuple

from detectors.alerts import ENTITY_FIELDS, document
from detectors.behaviour import HOUR, text, texts, whole, written
from detectors.indicators.indicator import THREATS, Indicator
from detectors.indicators.matcher import ANSWER, DESTINATION, FILE, LOOKUP, MAIL, SOURCE, Hit
from detectors.sigma.rule import LEVELS, About
from pipeline.event import Event, event_id, to_micros
from pipeline.messages import LANGUAGES, say, speaking
from pipeline.networks import LOCAL, OUTSIDE, Site

#: How bad it is that a device of ours goes there, by what the indicator stands for.
_LEVELS = {
    "c2": "high", "malware": "high", "phishing": "medium", "mining": "medium", "tor": "low", "scanner": "low",
    "suspicious": "low",
}  # fmt: skip
_TAGS = {
    "c2": ("attack.command-and-control", "attack.t1071"), "malware": ("attack.execution", "attack.t1204"),
    "phishing": ("attack.initial-access", "attack.t1566"), "mining": ("attack.impact", "attack.t1496"),
    "tor": ("attack.command-and-control", "attack.t1090.003"), "scanner": ("attack.reconnaissance", "attack.t1595"),
    "suspicious": (),
}  # fmt: skip
#: Below this confidence an alert is one level lower.
_UNSURE = 50
#: From which confidence on ECS says what (the scale None, Low, Medium, High of STIX 2.1, appendix A).
_CONFIDENCES = ((70, "High"), (30, "Medium"), (1, "Low"), (0, "None"))
_ECS_TYPES = {
    "domain": "domain-name", "host": "domain-name", "url": "url", "email": "email-addr", "md5": "file",
    "sha1": "file", "sha256": "file", "certificate": "x509-certificate", "ja3": "software", "ja4": "software",
}  # fmt: skip
#: Ports below this are services: what comes from one to a higher port is the answer to a device of ours.
_SERVICES = 1024
_REFUSED_STATES = frozenset(("S0", "REJ", "RSTOS0", "SH", "RSTRH", "SHR"))
_REFUSED_ACTIONS = frozenset((
    "blocked", "block", "denied", "deny", "drop", "dropped", "reject", "rejected", "refused", "reset", "sinkhole",
))  # fmt: skip
#: Alerts that were raised, of which it is remembered that they need not be raised again.
_MOST_TOLD = 100_000
#: Further indicators and fields that one alert names.
_MOST_NAMED = 10

CONTACT, LOOKED_UP, INBOUND, ON_HOST = "contact", "lookup", "inbound", "host"


class Seen(NamedTuple):
    """How an indicator was seen: which way, on which device or account of ours, and whether it was kept out."""

    way: str
    who: str
    refused: bool


def rule_id(threat: str) -> str:
    """Return the id of the rule on what an indicator stands for."""
    return f"indicator.{threat}"


@cache
def _about(threat: str, level: str) -> About:
    """Return a rule; what it says in Vietnamese is in `extra`, as of a rule of Sigma."""
    with speaking("en"):
        title, response = say(f"indicators.{threat}"), say(f"indicators.{threat}_response")
    with speaking("vi"):
        extra: dict[str, object] = {
            "title_vi": say(f"indicators.{threat}"), "response": response,
            "response_vi": say(f"indicators.{threat}_response"),
        }  # fmt: skip
    return About(
        id=rule_id(threat), title=title, level=level, status="", description="", tags=_TAGS[threat], references=(),
        falsepositives=(), author="Hải Đăng", path="", extra=extra,
    )  # fmt: skip


def alerts_of(event: Event, hits: list[Hit], site: Site, afterwards: bool = False) -> list[Event]:
    """Return the alerts of an event: one for each rule and indicator, however many of its fields show it.

    The event must have an id and a readable time. `afterwards`: it was found in the store.
    """
    if text(event, "event.dataset").endswith(".arp"):  # who asks for an address on the link has not spoken with it yet
        return []
    time = to_micros(event["@timestamp"])
    found: dict[tuple[str, str], Event] = {}
    for hit in hits:
        valid = [each for each in hit.indicators if not each.expires or each.expires * 1_000_000 >= time]
        if not valid or (valid[0].kind, valid[0].value) in found:
            continue
        valid.sort(key=_gravity)
        found[valid[0].kind, valid[0].value] = _alert(event, time, hit, valid, hits, site, afterwards)
    return list(found.values())


def _gravity(indicator: Indicator) -> int:
    """Return what an indicator is sorted by: of those that are sure, a C2 server tells more than anything else; the
    others stay in the order of their confidence."""
    return 0 if indicator.threat == "c2" and indicator.confidence >= _UNSURE else 1


def seen_of(event: Event, hit: Hit, site: Site) -> Seen:
    """Return how an indicator was seen."""
    source = text(event, "source.ip") or text(event, "client.ip")
    destination = text(event, "destination.ip") or text(event, "server.ip")
    ours = text(event, "host.name") or text(event, "host.ip")
    refused = _refused(event)
    if hit.role in (FILE, MAIL):
        return Seen(ON_HOST, ours or text(event, "user.email") or source, refused)
    if hit.role in (LOOKUP, ANSWER):
        return Seen(LOOKED_UP, source or ours, refused)
    if hit.role == SOURCE:
        answers = 0 <= whole(event, "source.port") < _SERVICES <= whole(event, "destination.port")
        if answers and site.where(destination) == LOCAL:
            return Seen(CONTACT, destination, refused)
        return Seen(INBOUND, destination or ours, refused)
    if hit.role != DESTINATION and site.where(destination) == LOCAL and site.where(source) == OUTSIDE:
        return Seen(INBOUND, destination, refused)
    return Seen(CONTACT, source or ours, refused)


def _refused(event: Event) -> bool:
    """Say whether something has kept it out: a firewall that says so, a connection that nobody took."""
    if event.get("flow.state"):
        return event["flow.state"] in _REFUSED_STATES
    if "denied" in texts(event, "event.type") or text(event, "event.action").lower() in _REFUSED_ACTIONS:
        return True
    is_flow = event.get("event.action") == "network_flow"
    return is_flow and (event.get("event.outcome") == "failure" or event.get("destination.packets") == 0)


def level_of(indicator: Indicator, seen: Seen) -> str:
    """Return how bad it is: a level less each for an unsure indicator, one that knocks only, and one kept out."""
    less = (indicator.confidence < _UNSURE) + (seen.way == INBOUND) + seen.refused
    return LEVELS[max(LEVELS.index(_LEVELS[indicator.threat]) - less, 0)]


def _alert(
    event: Event, time: int, hit: Hit, valid: list[Indicator], hits: list[Hit], site: Site, afterwards: bool
) -> Event:
    first, seen = valid[0], seen_of(event, hit, site)
    threat = first.threat if first.threat in THREATS else "suspicious"
    rule = _about(threat, level_of(first._replace(threat=threat), seen))
    identifier = event_id("alert", rule.id, first.kind, first.value, *seen, time // HOUR)
    made = document(rule, event["@timestamp"], identifier, 1)
    values = {
        "value": first.value, "field": hit.field, "who": seen.who or "?", "feed": first.feed or "?",
        "confidence": first.confidence, "family": first.family or "-",
    }  # fmt: skip
    for language in LANGUAGES:
        ending = "" if language == "en" else f"_{language}"
        with speaking(language):
            said = [
                say(f"indicators.seen_{seen.way}", **{key: written(each, language) for key, each in values.items()})
            ]
            said += [say("indicators.kept_out")] if seen.refused else []
            said += [say("indicators.found_afterwards")] if afterwards else []
        made[f"rule.description{ending}"] = " ".join(said)
    same = {(each.kind, each.value) for each in valid}
    showing = [each for each in hits if any((one.kind, one.value) in same for one in each.indicators)]
    named = [(each.feed, f"{each.kind} {each.value} ({each.threat}, {each.confidence})") for each in valid]
    made["alert.matches"] = [
        *({"selection": "indicator", "field": each.field, "value": each.value} for each in showing[:_MOST_NAMED]),
        *({"selection": "feed", "field": feed, "value": value} for feed, value in named[:_MOST_NAMED]),
    ]
    made["alert.evidence"] = [event]
    made["alert.direction"] = seen.way
    made["alert.refused"] = seen.refused
    if afterwards:
        made["alert.found_afterwards"] = True
    made.update({name: event[name] for name in (*ENTITY_FIELDS, hit.field) if name in event})
    made.update(_ecs(first))
    made["rule.reference"] = [first.reference] if first.reference else []
    return made


def _ecs(indicator: Indicator) -> Event:
    """Return the indicator as ECS names it."""
    version = "ipv6-addr" if ":" in indicator.value else "ipv4-addr"
    found: Event = {
        "threat.indicator.type": _ECS_TYPES.get(indicator.kind, version),
        "threat.indicator.name": indicator.value,
        "threat.indicator.confidence": next(word for least, word in _CONFIDENCES if indicator.confidence >= least),
        "threat.indicator.provider": indicator.feed,
        "threat.indicator.reference": indicator.reference,
        "threat.indicator.marking.tlp": indicator.tlp.upper(),
        "threat.software.name": indicator.family,
    }
    if indicator.kind == "address":
        found["threat.indicator.ip"] = indicator.value
    return {name: value for name, value in found.items() if value}


class Told:
    """Which alerts were raised: those of the same hour are only counted."""

    def __init__(self) -> None:
        self._told: OrderedDict[str, None] = OrderedDict()
        self.repeated = 0

    def new(self, alerts: list[Event]) -> list[Event]:
        """Return those that were not raised yet, and note them."""
        found = []
        for each in alerts:
            identifier = each["event.id"]
            if identifier in self._told:
                self._told.move_to_end(identifier)
                self.repeated += 1
                continue
            self._told[identifier] = None
            found.append(each)
            if len(self._told) > _MOST_TOLD:
                self._told.popitem(last=False)
        return found
