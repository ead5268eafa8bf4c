"""The detectors' stage: the topic `events` enters, the topic `alerts` leaves."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from detectors.alerts import alert, failed_alert, refused_alert
from detectors.correlate import Correlating, OfImport, OfSite
from detectors.sigma import Refused, Rule, RuleSet
from detectors.sigma.prefilter import Prefilter
from pipeline import bus, canaries
from pipeline.bus import Record
from pipeline.canaries import CANARY
from pipeline.event import Event, encode
from pipeline.frame import pack
from pipeline.ledger import OUT, Tally
from pipeline.logs import log
from pipeline.records import complete, parsed, readable
from pipeline.settings import Settings
from pipeline.stage import IDLE_SECONDS, Consumer, Stage

#: How often position and counts are saved, in seconds; a kill reads that much again, and repeats alerts by their ids.
_COMMIT_SECONDS = 0.5
#: Refused rules that become an alert each; the count of all is in the health page.
_MAX_REFUSED_ALERTS = 100
#: The rule of the canaries; it works the same as any other.
CANARY_RULE = Path(__file__).with_name("canary.yml")


def shipped_rules() -> Path:
    """Return the folder of the rules that we ship: beside the packages in a checkout, as data in a wheel."""
    checkout = Path(__file__).parent.parent / "rules"
    return checkout if checkout.is_dir() else Path(__file__).parent.parent / "haidang_data" / "rules"


def rule_folders(settings: Settings) -> list[Path]:
    """Return the folders of the site's rules."""
    return settings.detectors.rules or [shipped_rules()]


def detect(
    stage: Stage, folders: Sequence[Path], only_source: str | None = None, start: bus.Positions | None = None
) -> None:
    """Read events and raise alerts until the stage is stopped.

    `only_source` and `start` serve an import with rules of its own (`bus.OWN_RULES`): the site's detectors pass its
    frames over, its own read nothing else and start at these offsets.
    """
    rules = RuleSet.load(*folders, CANARY_RULE)
    log("detectors").info(
        "rules",
        loaded=len(rules.rules),
        correlations=len(rules.correlations),
        refused=len(rules.refused),
        folders=[str(folder) for folder in folders],
    )
    consumer = Consumer(stage, bus.EVENTS)
    if start is not None:
        consumer.start_at(start)
        consumer.commit(lambda _connection: None)  # from now on nothing that it must read is deleted
    correlating = OfImport(rules, stage.settings.detectors) if only_source else OfSite(stage, rules, consumer)
    examiner = _Examiner(rules, consumer, correlating, stage.settings.observer)
    if only_source is None:
        _report_refused(stage, rules.refused)
    stage.beat(now=True, detail=examiner.detail())
    committed = time.monotonic()
    examined: set[str] = set()
    while not stage.stopping.is_set():
        read = consumer.read()
        records = [
            record
            for record in read
            if (record.source == only_source if only_source else record.source != bus.OWN_RULES)
        ]
        frames = [frame for record in records for frame in pack(record.source, examiner.alerts_of(record))]
        correlated = correlating.alerts()
        if correlated is None:
            return  # told to stop while the bus was full: the next run reads these events again
        frames += pack("haidang", map(encode, correlated))
        if frames and not stage.publish(bus.ALERTS, frames):
            return
        correlating.save()
        examined |= {
            identifier
            for record in records
            if record.source == CANARY
            for identifier in canaries.identifiers(event for event, _ in readable(record, Tally()))
        }
        if time.monotonic() - committed >= _COMMIT_SECONDS:
            _commit(consumer, examined)
            committed = time.monotonic()
        if not read:
            stage.stopping.wait(IDLE_SECONDS)
        stage.beat(consumer.backlog, examiner.detail())
    if last := list(pack("haidang", map(encode, correlating.end()))):
        stage.bus.publish(bus.ALERTS, last)
    _commit(consumer, examined)


def _commit(consumer: Consumer, examined: set[str]) -> None:
    """Save position and counts, and which canaries were examined."""
    consumer.commit((lambda connection: canaries.note(connection, "examined", examined)) if examined else None)
    examined.clear()


def alerts_of(event: Event, rules: Iterable[Rule]) -> list[Event]:
    """Return the alerts of the rules that match an event."""
    return [alert(rule, [event], rule.explain(event)) for rule in rules]


class _Examiner:
    """Finds what the rules say of the events of a record."""

    def __init__(self, rules: RuleSet, consumer: Consumer, correlating: Correlating, observer: str) -> None:
        self._rules = rules
        self._prefilter = Prefilter(rules.rules)
        self._consumer = consumer
        self._correlating = correlating
        self._observer = observer
        self._loaded = {
            "ready": True, "rules": len(rules.rules) + len(rules.correlations),
            "refused": [_refusal(item) for item in rules.refused[:1000]],
        }  # fmt: skip

    def detail(self) -> dict[str, Any]:
        """Return what the stage says of itself."""
        return {**self._loaded, **self._correlating.detail()}

    def alerts_of(self, record: Record) -> list[bytes]:
        """Return the alerts of a record's events as lines; what correlations need goes to these."""
        raised: list[Event] = []
        tally = self._consumer.tally if record.source != CANARY else Tally()  # a canary counts nowhere
        for number, _, event in parsed(record, tally, self._prefilter.candidates):
            try:
                matching = self._prefilter.matching(number, event)
                if matching:
                    raised += self._alerts(complete(event, record, number), matching, record)
            except Exception:  # a fault of ours on one event must cost neither the others nor the other rules
                log("detectors").exception("rule_failed", topic=record.topic, offset=record.offset, line=number)
                whole = complete(event, record, number)
                matching, failed = one_by_one(whole, self._rules, self._observer)
                raised += [*failed, *self._alerts(whole, matching, record)]
        tally.add(record.source, OUT, len(raised))
        return [encode(item) for item in raised]

    def _alerts(self, event: Event, matching: list[Rule], record: Record) -> list[Event]:
        raised = alerts_of(event, [rule for rule in matching if rule not in self._rules.silent])
        if record.source != CANARY:
            self._correlating.take(record, event, matching)
        return raised


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
    return {"path": item.place, "rule": item.rule, "reason": item.reason}
