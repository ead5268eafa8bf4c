"""Files and rules enter, findings leave: the detectors' way of looking at events, with nothing around it.

Nothing is written. All files are one stream for the correlations, which see what an import sees: no order of arrival,
and the end of the last file ends them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from collectors.envelope import Origin
from collectors.network.rules.ruleset import RuleSet as PacketRules
from collectors.reading import Unreadable, read_file
from collectors.unpacking import NO_JSON
from detectors.behaviours import All, is_wanted
from detectors.correlate import limits_of
from detectors.correlations import Correlations
from detectors.indicators.alerting import Told, alerts_of
from detectors.indicators.matcher import Matcher
from detectors.indicators.matcher import is_wanted as may_show_indicator
from detectors.sensor_alerts import SensorAlerts
from detectors.sigma import Match, Rule, RuleSet
from detectors.sigma.prefilter import Prefilter
from detectors.sigma.rule import About
from pipeline.event import Event, decode, encode
from pipeline.messages import say
from pipeline.networks import Site
from pipeline.settings import Behaviours, Detectors, Limits

#: Unreadable records of one file that are told each; of the others it is told how many.
MAX_TOLD = 20
#: Events of files that wait until all were read: behaviours see them in order.
_MAX_WAITING = 2_000_000
#: The selection of the first match of what has no rule file: its words.
DESCRIPTION = "behaviour"
_BEHAVIOURS_LEFT_OUT = ("did_not_wait", "late", "keys_evicted", "failed")
_LEFT_OUT = ("groups_evicted", "events_evicted", "without_evidence", "too_far_ahead")


@dataclass(frozen=True, slots=True)
class File:
    """A file with the name under which findings show it."""

    shown: str
    path: Path


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that matched; `file` and `sequence` (record or line) say on which event, the last one of several."""

    rule: About
    time: str
    file: str
    sequence: int
    matches: Sequence[Match]


class Detection:
    """One run of rules over files. What is wrong with these goes to `complain`, a sentence that names the place."""

    def __init__(
        self,
        rules: RuleSet,
        origin: Origin,
        complain: Callable[[str], None],
        behaviours: bool = False,
        packet_rules: PacketRules | None = None,
        indicators: Matcher | None = None,
    ) -> None:
        self.events = 0
        self.unreadable = 0
        self.faults = 0
        self._rules = rules
        self._origin = origin
        self._complain = complain
        self._prefilter = Prefilter(rules.rules)
        limits = limits_of(Detectors(), lateness=False)
        self._correlations = Correlations(rules.correlations, limits, early=True)
        self._correlation_of = {rule.id: rule for rule in rules.correlations}
        chosen = Behaviours(waiting=_MAX_WAITING)
        self._behaviours = All(chosen, float("inf")) if behaviours else None
        self._packet_rules = packet_rules
        self._sensors = SensorAlerts(Detectors().sensor_alerts)
        self._indicators = indicators
        self._told = Told()
        self._site = Site(chosen.local_networks)
        self._files: list[str] = []

    def findings(self, files: Iterable[File]) -> Iterator[Finding]:
        """Yield what the rules find in the files, then what the correlations find at their end."""
        for file in files:
            yield from self._of_file(file)
        yield from self._correlated(self._correlations.finish())
        counts = asdict(self._correlations.counts)
        for name in _LEFT_OUT:
            if counts[name]:
                self._fault(say("detect.left_out", name=name, count=counts[name]))
        if self._behaviours is not None:
            yield from self._behaved(self._behaviours.finish())
            for name in _BEHAVIOURS_LEFT_OUT:
                if number := self._behaviours.detail()[name]:
                    self._fault(say("detect.left_out", name=name, count=number))

    def _fault(self, text: str) -> None:
        self.faults += 1
        self._complain(text)

    def _of_file(self, file: File) -> Iterator[Finding]:
        self._files.append(file.shown)
        before, first = self.unreadable, self.events
        try:
            for lines, _ in read_file(file.path, self._origin, Limits().decode_bytes, self._packet_rules):
                self.events += len(lines)
                for line in lines:
                    if b'"error.message":' in line:
                        self._look_for_fault(file, decode(line), before)
                if self._behaviours is not None:
                    yield from self._behave(self._behaviours, lines)
                for _, line in self._sensors.candidates(lines):
                    yield from self._of_sensor(file, line)
                if self._indicators is not None:
                    yield from self._look_up(self._indicators, lines)
                for number, line in self._prefilter.candidates(lines):
                    yield from self._of_event(file, number, decode(line))
            if self.events == first:
                self._complain(say("detect.empty", file=file.shown))
        except Unreadable as error:
            self._fault(f"{file.shown}: {error}")
        if (more := self.unreadable - before - MAX_TOLD) > 0:
            self._complain(say("detect.more_unreadable", file=file.shown, count=more))

    def _look_for_fault(self, file: File, event: Event, before: int) -> None:
        fault = str(event.get("error.message", ""))
        if event.get("event.kind") == "pipeline_error" or fault.startswith(NO_JSON):
            self.unreadable += 1
            if self.unreadable - before <= MAX_TOLD:
                self._fault(f"{file.shown}:{event['event.sequence']}: {fault}")

    def _behave(self, behaviours: All, lines: Iterable[bytes]) -> Iterator[Finding]:
        for line in filter(is_wanted, lines):
            event = decode(line)
            event["event.id"] = self._mark(event["event.sequence"])
            yield from self._behaved(behaviours.feed(event, bytes(memoryview(encode(event)))))

    def _look_up(self, indicators: Matcher, lines: Iterable[bytes]) -> Iterator[Finding]:
        for line in filter(may_show_indicator, lines):
            event = decode(line)
            if hits := indicators.hits(event):
                event["event.id"] = self._mark(event["event.sequence"])
                yield from self._behaved(self._told.new(alerts_of(event, hits, self._site)))

    def _behaved(self, alerts: Iterable[Event]) -> Iterator[Finding]:
        for alert in alerts:
            file, sequence = self._place(alert["alert.evidence"][-1]["event.id"])
            told = Match(DESCRIPTION, "", alert["rule.description"])
            matches = [told, *(Match(**match) for match in alert["alert.matches"])]
            yield Finding(_about(alert), alert["@timestamp"], file, sequence, matches)

    def _of_sensor(self, file: File, line: bytes) -> Iterator[Finding]:
        """Yield what an event is that is itself the alert of a sensor."""
        event = decode(line)
        if alert := self._sensors.alert({**event, "event.id": self._mark(event["event.sequence"])}):
            matches = [Match(**match) for match in alert["alert.matches"]]
            yield Finding(_about(alert), alert["@timestamp"], file.shown, event["event.sequence"], matches)

    def _of_event(self, file: File, number: int, event: Event) -> Iterator[Finding]:
        try:
            found = [(rule, rule.explain(event)) for rule in self._prefilter.matching(number, event)]
        except Exception:  # a fault of ours on one event must cost neither the others nor the other rules
            found = self._one_by_one(file, event)
        for rule, matches in found:
            if rule not in self._rules.silent:
                yield Finding(rule, event["@timestamp"], file.shown, event["event.sequence"], matches)
        if referred := [rule.id for rule, _ in found if self._correlations.takes(rule)]:
            marked = {**event, "event.id": self._mark(event["event.sequence"])}
            yield from self._correlated(self._correlations.feed(marked, referred))

    def _one_by_one(self, file: File, event: Event) -> list[tuple[Rule, list[Match]]]:
        found = []
        for rule in self._rules.candidates(event):
            try:
                if matches := rule.explain(event):
                    found.append((rule, matches))
            except Exception as fault:
                place = f"{file.shown}:{event['event.sequence']}"
                self._fault(f"{place}: {rule.path} ({rule.title}): {type(fault).__name__}: {fault}")
        return found

    def _mark(self, sequence: int) -> str:
        """Return an id of an event that says where it stands; sorted, events of one time stay in their order."""
        return f"{len(self._files) - 1:06}:{sequence:012}:{self.events:012}"

    def _correlated(self, alerts: Iterable[Event]) -> Iterator[Finding]:
        for alert in alerts:
            file, sequence = self._place(alert["alert.evidence"][-1]["event.id"])
            matches = [Match(**match) for match in alert["alert.matches"]]
            yield Finding(self._correlation_of[alert["rule.id"]], alert["@timestamp"], file, sequence, matches)

    def _place(self, mark: str) -> tuple[str, int]:
        number, _, rest = mark.partition(":")
        if not rest:  # of an alert that takes part in a correlation no event could be kept
            return "", 0
        return self._files[int(number)], int(rest.partition(":")[0])


def _about(alert: Event) -> About:
    """Return what the alert of a behaviour or a sensor says of its rule."""
    return About(
        id=alert["rule.id"], title=alert["rule.name"], level=alert["rule.level"], status="",
        description=alert["rule.description"], tags=tuple(alert["tags"]), references=tuple(alert["rule.reference"]),
        falsepositives=(), author=alert["rule.author"], path="", extra={"title_vi": alert.get("rule.name_vi")},
    )  # fmt: skip


def as_json(finding: Finding) -> dict[str, Any]:
    """Return a finding as the flat object that `haidang detect` prints."""
    return {
        "rule.id": finding.rule.id, "rule.name": finding.rule.title, "rule.level": finding.rule.level,
        "@timestamp": finding.time, "log.file.path": finding.file, "event.sequence": finding.sequence,
        "matches": [{"selection": m.selection, "field": m.field, "value": m.value} for m in finding.matches],
    }  # fmt: skip
