"""The detectors' stage: the topic `events` enters, the topic `alerts` leaves."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from detectors.alerts import alert, failed_alert, refused_alert
from detectors.behave import Behaving
from detectors.correlate import Correlating, OfImport, OfSite
from detectors.indicators import matcher
from detectors.indicators.following import Watching
from detectors.rulebook import hits
from detectors.rulebook.book import Book
from detectors.rulebook.following import Follower, Ready
from detectors.rulebook.loading import CANARY_RULE, Loaded
from detectors.rulebook.revisions import Revision
from detectors.rulebook.updating import Updates
from detectors.sensor_alerts import SensorAlerts
from detectors.sigma import Refused, Rule, RuleSet
from detectors.sigma.prefilter import Prefilter
from pipeline import bus, canaries
from pipeline.bus import Record
from pipeline.canaries import CANARY
from pipeline.event import Event, decode, encode
from pipeline.frame import pack
from pipeline.ledger import OUT, Tally
from pipeline.logs import log
from pipeline.messages import said, speaking
from pipeline.records import complete, parsed, readable
from pipeline.stage import IDLE_SECONDS, Consumer, Stage

#: How often position and counts are saved, in seconds; a kill reads that much again, and repeats alerts by their ids.
_COMMIT_SECONDS = 0.5
#: Refused rules that become an alert each, and are named in the health page; the count there is of all.
_MAX_REFUSED_ALERTS = 100


def detect(
    stage: Stage, folders: Sequence[Path] = (), only_source: str | None = None, start: bus.Positions | None = None
) -> None:
    """Read events and raise alerts until the stage is stopped.

    The rules are the site's, as its rulebook has them at any time. `folders`, `only_source` and `start` serve an import
    with rules of its own (`bus.OWN_RULES`): the site's detectors pass its frames over, its own read nothing else and
    start at these offsets.
    """
    follower = None if folders else Follower(stage)
    rules = follower.current if follower else _of_folders(folders)
    consumer = Consumer(stage, bus.EVENTS)
    if start is not None:
        consumer.start_at(start)
        consumer.commit(lambda _connection: None)  # from now on nothing that it must read is deleted
    beside = _Beside(stage, follower, consumer.shared, follower is not None and only_source is None)
    examiner = _examiner(stage, rules, consumer, only_source, beside.watching)
    stage.beat(now=True, detail=examiner.detail())
    committed = time.monotonic()
    effects = _Effects()
    while not stage.stopping.is_set():
        if follower and follower.changed():
            examiner.correlating.close()
            examiner = _examiner(stage, follower.current, consumer, only_source, beside.watching)
            stage.beat(now=True, detail=examiner.detail())
        read = consumer.read()
        records = [
            record
            for record in read
            if (record.source == only_source if only_source else record.source != bus.OWN_RULES)
        ]
        frames = [frame for record in records for frame in pack(record.source, examiner.alerts_of(record))]
        correlated = examiner.correlated()
        if correlated is None:
            break  # told to stop while the bus was full: the next run reads these events again
        frames += pack("haidang", map(encode, [*correlated, *beside.alerts(consumer.leads)]))
        if frames and not stage.publish(bus.ALERTS, frames):
            break
        examiner.correlating.save()
        beside.save()
        effects.add(records, examiner.hits)
        if time.monotonic() - committed >= _COMMIT_SECONDS:
            effects.commit(consumer)
            committed = time.monotonic()
        if not read:
            stage.stopping.wait(IDLE_SECONDS)
        beside.look(consumer.leads)
        stage.beat(consumer.backlog, {**examiner.detail(), **beside.detail()})
    else:
        if last := list(pack("haidang", map(encode, examiner.last()))):
            stage.bus.publish(bus.ALERTS, last)
        effects.commit(consumer)
        beside.end()
    beside.close()


class _Beside:
    """What goes on beside the rules: updates of the rulebook, behaviours, indicators; of an import nothing."""

    def __init__(self, stage: Stage, follower: Follower | None, shared: bool, whole: bool) -> None:
        self._follower = follower
        self._updates = Updates(stage)
        self._behaving = Behaving(stage, shared) if whole else None
        self.watching = Watching(stage) if whole else None

    def alerts(self, leads: bool) -> list[Event]:
        """Return the alerts that came of it since the last time."""
        found = [*self._follower.alerts(), *self._updates.alerts()] if self._follower else []
        if self._behaving:
            found += self._behaving.alerts(leads)
        if self.watching:
            found += self.watching.alerts()
        return found

    def save(self) -> None:
        """The alerts were published."""
        if self._behaving:
            self._behaving.save()

    def look(self, leads: bool) -> None:
        """See what is new, and start what is due."""
        self._updates.look(self._follower is not None and leads)
        if self.watching:
            self.watching.look(leads)

    def detail(self) -> dict[str, Any]:
        """Return what the stage says of it."""
        return {
            name: value for each in (self._behaving, self.watching) if each for name, value in each.detail().items()
        }

    def end(self) -> None:
        """The stage stops: save what is held."""
        if self._behaving:
            self._behaving.end()

    def close(self) -> None:
        """End what runs."""
        self._updates.close()
        if self.watching:
            self.watching.close()
        if self._follower:
            self._follower.close()


def _of_folders(folders: Sequence[Path]) -> Ready:
    rules = RuleSet.load(*folders, CANARY_RULE)
    log("detectors").info("rules", loaded=len(rules.every), refused=len(rules.refused), folders=list(map(str, folders)))
    return Ready(Loaded(Revision(0, Book()), rules, {}, {}), Prefilter(rules.rules))


def _examiner(
    stage: Stage, rules: Ready, consumer: Consumer, only_source: str | None, watching: Watching | None
) -> "_Examiner":
    """Return what examines with these rules; those that are refused become alerts, once each."""
    used = rules.loaded.rules
    correlating = OfImport(used, stage.settings.detectors) if only_source else OfSite(stage, used, consumer)
    if only_source is None:
        _report_refused(stage, used.refused)
    sensors = SensorAlerts(stage.settings.detectors.sensor_alerts)
    return _Examiner(rules, consumer, correlating, sensors, stage.settings.observer, watching)


class _Effects:
    """What is saved with the position: which canaries were examined, and how often rules have matched."""

    def __init__(self) -> None:
        self._examined: set[str] = set()
        self._hits: Counter[tuple[str, bool]] = Counter()

    def add(self, records: Sequence[Record], hits: Counter[tuple[str, bool]]) -> None:
        """Add what came of these records; `hits` (rules, and whether they raised an alert) are taken over."""
        for record in records:
            if record.source == CANARY:
                self._examined |= canaries.identifiers(event for event, _ in readable(record, Tally()))
        self._hits += hits
        hits.clear()

    def commit(self, consumer: Consumer) -> None:
        """Save them, with position and counts."""
        consumer.commit(self._save if self._examined or self._hits else None)
        self._examined.clear()
        self._hits.clear()

    def _save(self, connection: Connection) -> None:
        canaries.note(connection, "examined", self._examined)
        hits.add(connection, self._hits)


def alerts_of(event: Event, rules: Iterable[Rule]) -> list[Event]:
    """Return the alerts of the rules that match an event."""
    return [alert(rule, [event], rule.explain(event)) for rule in rules]


class _Examiner:
    """Finds what the rules say of the events of a record."""

    def __init__(
        self,
        rules: Ready,
        consumer: Consumer,
        correlating: Correlating,
        sensors: SensorAlerts,
        observer: str,
        watching: Watching | None,
    ) -> None:
        self.correlating = correlating
        self._watching = watching
        self._ruled: frozenset[int] = frozenset()
        self._looked_up: frozenset[int] = frozenset()
        #: How often each rule matched since somebody cleared this, and whether it raised an alert.
        self.hits: Counter[tuple[str, bool]] = Counter()
        self._loaded = rules.loaded
        self._rules = rules.loaded.rules
        self._prefilter = rules.prefilter
        self._consumer = consumer
        self._observer = observer
        self._sensors = sensors
        self._quiet = frozenset(rule for rule in self._rules.rules if rule.id in self._loaded.observed)
        self._detail = {
            "ready": True, "rules": len(self._loaded.every), "rulebook": self._loaded.revision.number,
            "rulebook_proved": rules.proved,
            "modes": self._loaded.counts(), "refused_count": len(self._rules.refused),
            "refused": [_refusal(item) for item in self._rules.refused[:_MAX_REFUSED_ALERTS]],
        }  # fmt: skip

    def detail(self) -> dict[str, Any]:
        """Return what the stage says of itself."""
        return {**self._detail, **self.correlating.detail()}

    def alerts_of(self, record: Record) -> list[bytes]:
        """Return the alerts of a record's events as lines; what correlations need goes to these."""
        raised: list[Event] = []
        tally = self._consumer.tally if record.source != CANARY else Tally()  # a canary counts nowhere
        of_sensors: list[tuple[int, bytes]] = []

        def candidates(lines: list[bytes]) -> list[tuple[int, bytes]]:
            of_sensors.extend(self._sensors.candidates(lines))
            return self._chosen(lines) if record.source != CANARY else self._by_rules(lines)

        for number, _, event in parsed(record, tally, candidates):
            if self._watching is not None and number in self._looked_up:
                raised += self._watching.examine(complete(event, record, number))
            if number not in self._ruled:
                continue
            try:
                matching = self._prefilter.matching(number, event)
                if matching:
                    raised += self._alerts(complete(event, record, number), matching, record)
            except Exception:  # a fault of ours on one event must cost neither the others nor the other rules
                log("detectors").exception("rule_failed", topic=record.topic, offset=record.offset, line=number)
                whole = complete(event, record, number)
                matching, failed = one_by_one(whole, self._rules, self._observer)
                raised += [*failed, *self._alerts(whole, matching, record)]
        if of_sensors and record.source != CANARY:
            raised += self._of_sensors(record, of_sensors)
        tally.add(record.source, OUT, len(raised))
        return [encode(item) for item in raised]

    def _of_sensors(self, record: Record, lines: list[tuple[int, bytes]]) -> list[Event]:
        """Return the alerts of events that are themselves alerts of a sensor."""
        raised = []
        for number, line in lines:
            try:
                if made := self._sensors.alert(complete(decode(line), record, number)):
                    raised.append(made)
            except Exception:  # a foreign event that is no alert of a sensor in its fields; the others are
                log("detectors").exception("sensor_alert_failed", topic=record.topic, offset=record.offset, line=number)
        return raised

    def _by_rules(self, lines: list[bytes]) -> list[tuple[int, bytes]]:
        """Choose the lines that a rule may match."""
        found = self._prefilter.candidates(lines)
        self._ruled = frozenset(number for number, _ in found)
        self._looked_up = frozenset()
        return found

    def _chosen(self, lines: list[bytes]) -> list[tuple[int, bytes]]:
        """Choose these, and those that can show an indicator: each is read once."""
        found = self._by_rules(lines)
        if self._watching is None or not self._watching.active:
            return found
        self._looked_up = frozenset(number for number, _ in matcher.wanted(lines))
        return [(number, lines[number]) for number in sorted(self._ruled | self._looked_up)]

    def correlated(self) -> list[Event] | None:
        """Return the alerts of correlations that came of it; None when the stage was told to stop meanwhile."""
        found = self.correlating.alerts()
        return None if found is None else self._unless_observed(found)

    def last(self) -> list[Event]:
        """Return the last alerts; the stage stops."""
        return self._unless_observed(self.correlating.end())

    def _alerts(self, event: Event, matching: list[Rule], record: Record) -> list[Event]:
        loud = [rule for rule in matching if rule not in self._rules.silent]
        if record.source == CANARY:
            return alerts_of(event, loud)
        for rule in loud:
            self.hits[rule.id, rule not in self._quiet] += 1
        self.correlating.take(record, event, matching)
        return alerts_of(event, [rule for rule in loud if rule not in self._quiet])

    def _unless_observed(self, alerts: list[Event]) -> list[Event]:
        for each in alerts:
            self.hits[each["rule.id"], each["rule.id"] not in self._loaded.observed] += 1
        return [each for each in alerts if each["rule.id"] not in self._loaded.observed]


def one_by_one(event: Event, rules: RuleSet, observer: str) -> tuple[list[Rule], list[Event]]:
    """Return the rules that match when each is asked on its own, and an alert for each that fails."""
    matching, failed = [], []
    for rule in rules.candidates(event):
        try:
            if rule.matches(event) and rule.explain(event):
                matching.append(rule)
        except Exception as fault:
            failed.append(failed_alert(rule, event, fault, observer))
    return matching, failed


def _report_refused(stage: Stage, refused: Sequence[Refused]) -> None:
    lines = [encode(refused_alert(item, stage.settings.observer)) for item in refused[:_MAX_REFUSED_ALERTS]]
    for item in refused:
        log("detectors").error("rule_refused", path=item.path, rule=item.rule, reason=item.reason)
    if lines:
        stage.publish(bus.ALERTS, list(pack("haidang", lines)))


def _refusal(item: Refused) -> dict[str, str]:
    with speaking("vi"):
        vietnamese = str(said(item.reason))
    return {"path": item.place, "rule": item.rule, "reason": str(item.reason), "reason_vi": vietnamese}
