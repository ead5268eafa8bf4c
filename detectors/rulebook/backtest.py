"""A rule on what is stored: a rule and a time enter, leaves what it would have said of the events of its log source.

The events are read out of the store in order of time and tried with the engine itself; of those that lack a text which
every match has (`detectors.sigma.prefilter`) it is known without. The store is only asked for the events of the log
source, and for the event codes that the rule names.
"""

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

import orjson

from detectors.correlations import Correlations, Limits
from detectors.rulebook.book import ALERT, RuleException
from detectors.rulebook.loading import Loaded
from detectors.rulebook.stored import any_rule, of_route, of_rule
from detectors.sigma import Correlation, Rule, RuleSet
from detectors.sigma.compiler import Filter
from detectors.sigma.correlation import base_rules
from detectors.sigma.documents import read_documents, rule_files
from detectors.sigma.errors import RuleRefused
from detectors.sigma.prefilter import Prefilter
from detectors.sigma.rule import Refused
from detectors.sigma.ruleset import compiler_of
from detectors.sigma.view import texts
from pipeline import bus
from pipeline.event import Event, decode, parse_time
from pipeline.messages import HaidangError, said
from pipeline.store import EVENTS, Reader
from pipeline.store import query as q
from pipeline.store.query_dsl import parse_query

#: Matches that are shown, chosen evenly from all; and values of each list of the noisiest.
SAMPLE, NOISIEST = 10, 10
#: How often somebody who waits is told how far it is, in seconds.
_TELL_SECONDS = 1.0
_COUNTED = {"hosts": "host.name", "users": "user.name", "addresses": "source.ip"}
_SHOWN = ("host.name", "user.name", "source.ip", "event.dataset", "message")
#: Characters of a message that are shown.
_LONGEST = 300
#: Different values of which each is counted.
_MOST_VALUES = 100_000
#: What the limits of correlations cost (`detectors.correlations.Counts`).
_FORGOTTEN = ("too_late", "groups_evicted", "events_evicted", "without_evidence")
AnyRule = Rule | Correlation


@dataclass(frozen=True, slots=True)
class Subject:
    """What is tried: a rule with the exceptions in force, and each rule with a detection with and without them."""

    rule: AnyRule
    pairs: tuple[tuple[Rule, Rule], ...]
    mode: str = ALERT
    exceptions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where it ends early: after so many events that were read, or so many seconds; None is never."""

    events: int | None = None
    seconds: float | None = None


@dataclass(slots=True)
class Backtest:
    """What a rule would have said.

    `events` come from the rule's log source in that time. Those that a code alone rules out are not read; `examined`
    were. `bounded` says which bound ended it early (`events`, `seconds`): then only what is not after `until` was
    looked at. `excepted` are matches that exceptions keep quiet, `forgotten` is what the limits of correlations cost.
    """

    rule: AnyRule
    mode: str
    exceptions: tuple[str, ...]
    events: int = 0
    examined: int = 0
    bounded: str = ""
    until: str = ""
    matches: int = 0
    alerts: int = 0
    excepted: int = 0
    seconds: float = 0.0
    days: Counter[str] = field(default_factory=Counter)
    noisiest: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in _COUNTED})
    sample: list[dict[str, Any]] = field(default_factory=list)
    forgotten: dict[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> int:
        """Events examined in a second."""
        return round(self.examined / self.seconds) if self.seconds else 0

    def as_json(self) -> dict[str, Any]:
        """Return it as it is printed."""
        return {
            "rule.id": self.rule.id, "rule.name": self.rule.title, "rule.level": self.rule.level, "mode": self.mode,
            "kind": "correlation" if isinstance(self.rule, Correlation) else "rule",
            "events": self.events, "examined": self.examined, "bounded": self.bounded or None,
            "until": self.until or None, "matches": self.matches, "alerts": self.alerts, "excepted": self.excepted,
            "exceptions": list(self.exceptions), "forgotten": self.forgotten,
            "days": [{"day": day, "alerts": self.days[day]} for day in sorted(self.days)],
            **{
                name: [{"value": value, "alerts": count} for value, count in counter.most_common(NOISIEST)]
                for name, counter in self.noisiest.items()
            },
            "sample": self.sample, "seconds": round(self.seconds, 3), "events_per_second": self.rate,
        }  # fmt: skip


def subject(loaded: Loaded, rule: AnyRule) -> Subject:
    """Return a rule of the rulebook, ready to be tried."""
    filters = _Filters(loaded)
    return Subject(rule, filters.pairs(rule), loaded.modes.get(rule.id, ALERT), filters.of(rule))


def subjects_of_file(loaded: Loaded, path: Path) -> tuple[list[Subject], list[Refused]]:
    """Return the rules of a file that is not in the rulebook yet, or says something else there; and what is refused.

    They are loaded with the rulebook's own, so that a correlation finds what it refers to. What is only a part of a
    correlation is tried with it.
    """
    with tempfile.TemporaryDirectory() as place:
        rules = RuleSet.load(path, *loaded.folders, *_written(loaded.exceptions, Path(place)))
        filters = _Filters(loaded)
    again = f"is already taken by {path}"  # the file lies in a folder of the rulebook
    refused = [each for each in rules.refused if each.path == str(path) and not each.reason.endswith(again)]
    found = [rule for rule in rules.every if rule.path == str(path) and rule not in rules.silent]
    return [Subject(rule, filters.pairs(rule), ALERT, filters.of(rule)) for rule in found], refused


def subject_of_text(loaded: Loaded, text: str) -> Subject:
    """Return the first rule of a file that lies nowhere yet.

    Raises:
        HaidangError: it holds none, or its rule is refused.
    """
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "draft.yml"
        path.write_text(text, "utf-8")
        subjects, refused = subjects_of_file(loaded, path)
    if refused:
        raise HaidangError("rulebook.draft_refused", reason="; ".join(said(each.reason) for each in refused))
    if not subjects:
        raise HaidangError("rulebook.draft_empty")
    return subjects[0]


def run(
    reader: Reader, wanted: Subject, span: Sequence[Mapping[str, Any]], limits: Limits, bounds: Bounds = Bounds(),
    *, zone: tzinfo | None = UTC, sample: int = SAMPLE, tell: Callable[[int, int], None] | None = None,
) -> Backtest:  # fmt: skip
    """Try a rule on the stored events of a time (filters of the query DSL); days are those of the zone, None is here.

    `limits` are those of correlations. `tell` is called now and then with the events that were read, and all of them.

    Raises:
        HaidangError: the store does not answer, or a filter is none.
    """
    return _Run(wanted, limits, zone, sample).over(reader, [parse_query(each) for each in span], bounds, tell)


class _Run:
    """One backtest as it goes."""

    def __init__(self, wanted: Subject, limits: Limits, zone: tzinfo | None, sample: int) -> None:
        self._wanted = wanted
        self._zone = zone
        self._most = sample
        self._made = Backtest(wanted.rule, wanted.mode, wanted.exceptions)
        chain = _chain(wanted.rule) if isinstance(wanted.rule, Correlation) else []
        in_order = Limits(0, limits.groups, limits.events, limits.evidence_bytes)
        self._correlations = Correlations(chain, in_order) if chain else None
        self._choice = random.Random(0)  # noqa: S311 - the same sample for the same events
        self._beyond: Counter[str] = Counter()

    def over(
        self, reader: Reader, span: list[q.Condition], bounds: Bounds, tell: Callable[[int, int], None] | None
    ) -> Backtest:
        made, began = self._made, time.monotonic()
        plain = [plain for _, plain in self._wanted.pairs]
        asked = q.Combined(must=(any_rule(map(of_rule, plain)), *span))
        total = _count(reader, asked)
        made.events = _count(reader, q.Combined(must=(any_rule(of_route(rule.route) for rule in plain), *span)))
        prefilter = Prefilter(plain)
        told = began
        for page in reader.lines(EVENTS, asked):
            lines = page if bounds.events is None else page[: bounds.events - made.examined]
            for _, line in prefilter.candidates(lines):
                self._take(orjson.loads(line), line)
            made.examined += len(lines)
            now = time.monotonic()
            made.bounded = _over(bounds, made.examined, now - began) if made.examined < total else ""
            if made.bounded or len(lines) < len(page):
                made.bounded = made.bounded or EVENTS
                made.until = decode((lines or page)[-1])["@timestamp"]
                break
            if tell is not None and now - told >= _TELL_SECONDS:
                told = now
                tell(made.examined, total)
        return self._end(began)

    def _take(self, event: Event, line: bytes) -> None:
        matched: list[str] = []
        for rule, plain in self._wanted.pairs:
            if plain.matches(event):
                if rule is plain or rule.matches(event):
                    matched.append(rule.id)
                else:
                    self._made.excepted += 1
        if not matched:
            return
        self._made.matches += 1
        if self._correlations is None:
            self._note(event)
            return
        scope = bus.IMPORT if bus.is_imported(event) else ""
        for alert in self._correlations.feed(event, matched, line, scope=scope):
            self._note(alert)

    def _end(self, began: float) -> Backtest:
        made = self._made
        if self._correlations is not None:
            for alert in self._correlations.finish():
                self._note(alert)
            counts = asdict(self._correlations.counts)
            self._beyond.update({name: counts[name] for name in _FORGOTTEN})
        made.forgotten = {name: count for name, count in self._beyond.items() if count}
        made.sample.sort(key=lambda each: str(each["@timestamp"]))
        made.seconds = time.monotonic() - began
        return made

    def _note(self, found: Event) -> None:
        """Count an alert: the event of one of a rule with a detection, the alert itself of a correlation's."""
        made = self._made
        if found.get("rule.id", made.rule.id) != made.rule.id and self._correlations is not None:
            return  # of a part that raises alerts, too
        made.alerts += 1
        made.days[parse_time(found["@timestamp"]).astimezone(self._zone).date().isoformat()] += 1
        for name, key in _COUNTED.items():
            counter = made.noisiest[name]
            for text in set(texts(found.get(key))):
                if text in counter or len(counter) < _MOST_VALUES:
                    counter[text] += 1
                else:
                    self._beyond[name] += 1
        if len(made.sample) < self._most:
            made.sample.append(self._shown(found))
        elif (place := self._choice.randrange(made.alerts)) < self._most:
            made.sample[place] = self._shown(found)

    def _shown(self, found: Event) -> dict[str, Any]:
        rule = self._made.rule
        about = {name: found[name] for name in _SHOWN if name in found}
        if isinstance(about.get("message"), str):
            about["message"] = about["message"][:_LONGEST]
        if isinstance(rule, Correlation):
            evidence = [event["event.id"] for event in found["alert.evidence"]]
            return {"@timestamp": found["@timestamp"], "events": evidence, **about, "reasons": found["alert.matches"]}
        reasons = [asdict(reason) for reason in rule.explain(found)]
        return {"@timestamp": found["@timestamp"], "event.id": found["event.id"], **about, "reasons": reasons}


class _Filters:
    """The filters of a rulebook, those of packs and those that are exceptions in force."""

    def __init__(self, loaded: Loaded) -> None:
        self._exceptions: list[tuple[str, Filter]] = []
        self._others: list[Filter] = []
        if not loaded.exceptions:
            return
        self._compiler = compiler_of(loaded.folders)
        with tempfile.TemporaryDirectory() as place:
            for path in _written(loaded.exceptions, Path(place)):
                self._exceptions += [(path.stem, made) for made in self._read(path)]
        for path in (path for folder in loaded.folders for path in rule_files(folder)):
            if b"filter" in path.read_bytes():
                self._others += self._read(path)

    def of(self, rule: AnyRule) -> tuple[str, ...]:
        """Return the exceptions that say something of a rule, or of what it refers to."""
        bases = base_rules([rule])
        return tuple(name for name, each in self._exceptions if any(each.fits(base) for base in bases))

    def pairs(self, rule: AnyRule) -> tuple[tuple[Rule, Rule], ...]:
        """Return each rule with a detection, as it is in force and without exceptions."""
        return tuple((base, self._without(base)) for base in base_rules([rule]))

    def _without(self, rule: Rule) -> Rule:
        if not any(each.fits(rule) for _, each in self._exceptions):
            return rule
        for document in read_documents(Path(rule.path)):
            content = document.content
            if not isinstance(content, dict) or "detection" not in content:
                continue
            with suppress(RuleRefused):
                made, _ = self._compiler.rule(content, rule.path)
                if made.id == rule.id:
                    return self._compiler.filtered(made, [each for each in self._others if each.fits(made)])
        return rule

    def _read(self, path: Path) -> Iterator[Filter]:
        for document in read_documents(path):
            if isinstance(document.content, dict) and "filter" in document.content:
                with suppress(RuleRefused):
                    yield self._compiler.filter(document.content, document.path)[0]


def _written(exceptions: Sequence[RuleException], place: Path) -> list[Path]:
    paths = [place / f"{each.id}.yml" for each in exceptions]
    for path, each in zip(paths, exceptions, strict=True):
        path.write_text(each.text, "utf-8")
    return paths


def _chain(rule: Correlation) -> list[Correlation]:
    """Return a correlation and those that it refers to, each once."""
    found = [rule]
    for part in rule.parts:
        if isinstance(part.rule, Correlation):
            found += _chain(part.rule)
    return list(dict.fromkeys(found))


def _over(bounds: Bounds, events: int, seconds: float) -> str:
    if bounds.events is not None and events >= bounds.events:
        return "events"
    return "seconds" if bounds.seconds is not None and seconds > bounds.seconds else ""


def _count(reader: Reader, condition: q.Condition) -> int:
    return int(reader.search(EVENTS, {"query": condition, "size": 0})["hits"]["total"]["value"])
