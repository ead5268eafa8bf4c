"""The detectors' stage: the topic `events` enters, the topic `alerts` leaves."""

import time
from collections.abc import Sequence
from pathlib import Path

from detectors.alerts import alert, failed_alert, refused_alert
from detectors.sigma import Refused, Rule, RuleSet
from detectors.sigma.prefilter import Prefilter
from pipeline import bus, canaries
from pipeline.bus import Record, SlowDown
from pipeline.canaries import CANARY
from pipeline.event import Event, encode
from pipeline.frame import Frame, pack
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
#: How long a full bus is waited for before trying again, in seconds.
_SLOW_DOWN_SECONDS = 0.2


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
    prefilter = Prefilter(rules.rules)
    log("detectors").info(
        "rules", loaded=len(rules.rules), refused=len(rules.refused), folders=[str(f) for f in folders]
    )
    consumer = Consumer(stage, bus.EVENTS)
    if start is not None:
        consumer.start_at(start)
        consumer.commit(lambda _connection: None)  # from now on nothing that it must read is deleted
    detail = {"ready": True, "rules": len(rules.rules), "refused": [_refusal(item) for item in rules.refused[:1000]]}
    if only_source is None:
        _report_refused(stage, rules.refused)
    stage.beat(now=True, detail=detail)
    committed = time.monotonic()
    examined: set[str] = set()
    while not stage.stopping.is_set():
        read = consumer.read()
        records = [
            record
            for record in read
            if (record.source == only_source if only_source else record.source != bus.OWN_RULES)
        ]
        alerts = [
            frame
            for record in records
            for frame in pack(record.source, _alerts_of(record, rules, prefilter, consumer, stage.settings.observer))
        ]
        if alerts and not _publish(stage, alerts):
            return  # told to stop while the bus was full: the next run reads these events again
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
        stage.beat(consumer.backlog, detail)
    _commit(consumer, examined)


def _commit(consumer: Consumer, examined: set[str]) -> None:
    """Save position and counts, and which canaries were examined."""
    consumer.commit((lambda connection: canaries.note(connection, "examined", examined)) if examined else None)
    examined.clear()


def alerts_of(event: Event, rules: Sequence[Rule]) -> list[Event]:
    """Return the alerts of the rules that match an event."""
    return [alert(rule, [event], rule.explain(event)) for rule in rules]


def _alerts_of(record: Record, rules: RuleSet, prefilter: Prefilter, consumer: Consumer, observer: str) -> list[bytes]:
    raised = []
    tally = consumer.tally if record.source != CANARY else Tally()  # a canary counts nowhere
    for number, _, event in parsed(record, tally, prefilter.candidates):
        try:
            matching = rules.evaluate(event)
            if matching:
                raised += [encode(item) for item in alerts_of(complete(event, record, number), matching)]
        except Exception:  # a fault of ours on one event must cost neither the others nor the other rules
            log("detectors").exception("rule_failed", topic=record.topic, offset=record.offset, line=number)
            found = one_by_one(complete(event, record, number), rules, observer)
            raised += [encode(item) for item in found]
    tally.add(record.source, OUT, len(raised))
    return raised


def one_by_one(event: Event, rules: RuleSet, observer: str) -> list[Event]:
    """Return the alerts of each rule on its own; one that fails gives an alert that says so."""
    found = []
    for rule in rules.candidates(event):
        try:
            if rule.matches(event):
                found += alerts_of(event, [rule])
        except Exception as fault:
            found.append(failed_alert(rule, event, fault, observer))
    return found


def _publish(stage: Stage, frames: list[Frame]) -> bool:
    """Publish as soon as the bus takes it; False when the stage was told to stop before."""
    while not stage.stopping.is_set():
        try:
            stage.bus.publish(bus.ALERTS, frames)
            return True
        except SlowDown as error:
            log("detectors").warning("alerts_held", reason=str(error))
            stage.beat(detail={"ready": True, "waits": str(error)})
            stage.stopping.wait(_SLOW_DOWN_SECONDS)
    return False


def _report_refused(stage: Stage, refused: Sequence[Refused]) -> None:
    lines = [encode(refused_alert(item, stage.settings.observer)) for item in refused[:_MAX_REFUSED_ALERTS]]
    for item in refused:
        log("detectors").error("rule_refused", path=item.path, rule=item.rule, reason=item.reason)
    if lines:
        _publish(stage, list(pack("haidang", lines)))


def _refusal(item: Refused) -> dict[str, str]:
    return {"path": item.path, "rule": item.rule, "reason": item.reason}
