"""Test vectors of rules: a rule set and `*.test.yml` files enter, what does not fire as they say leaves.

The vectors of a rule with a detection are events (`hits`, `misses`), and lines as machines write them (`hit_lines`,
`miss_lines`), which go through the decoders. Those of a correlation are streams: a list of entries, each
`{at, repeat, every, event}`: the event `repeat` times (once), the first one `at` seconds after the start (0), the next
ones `every` seconds later (1). `{n}` in its values is the number of the repetition.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeAlias

import yaml

from detectors.correlations import Correlations, Limits
from detectors.sigma import Correlation, Rule, RuleSet
from detectors.sigma.documents import SUFFIXES, TESTS
from pipeline.event import Event, event_id, from_micros, to_micros
from pipeline.messages import HaidangError, Sentence

START = to_micros("2026-11-24T05:00:00.000Z")
_KEYS = frozenset(("at", "repeat", "every", "event", "received"))
#: Repetitions of one entry, events of one stream, and vectors of one file.
_MAX_REPEAT, _MAX_STREAM, _MAX_VECTORS = 100_000, 200_000, 1_000


#: The keys of events, and of lines that become such.
_LINES = {"hits": "hit_lines", "misses": "miss_lines"}
ReadLine: TypeAlias = Callable[[str], Mapping[str, Any]]


class NotAVector(ValueError):
    """A file of vectors is not as it should be; `why` says what."""

    def __init__(self, key: str, /, **values: Any) -> None:
        self.why = Sentence(f"vectors.{key}", **values)
        super().__init__(self.why)


@dataclass(frozen=True, slots=True)
class Failure:
    """A vector that does not do what it should. `number` counts from 1 in `hits` or `misses`."""

    path: str
    rule: str
    kind: str
    number: int
    reason: str

    def says(self) -> str:
        """Return which one it is, and what is wrong."""
        if not self.number:
            return self.reason
        return Sentence("vectors.failed", kind=self.kind, number=self.number, why=self.reason)


def events_of(entries: list[dict[str, Any]]) -> list[Event]:
    """Write the entries of a stream out, in the order given.

    Raises:
        NotAVector: an entry is none.
    """
    events: list[Event] = []
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("event"), dict) or entry.keys() - _KEYS:
            raise NotAVector("entry", number=place + 1, keys=str(sorted(_KEYS)), value=f"{entry!r:.200}")
        if not 1 <= entry.get("repeat", 1) <= _MAX_REPEAT:
            raise NotAVector("repeat", most=_MAX_REPEAT)
        if len(events) + entry.get("repeat", 1) > _MAX_STREAM:
            raise NotAVector("stream_too_long", most=_MAX_STREAM)
        for number in range(entry.get("repeat", 1)):
            time = START + round((entry.get("at", 0) + number * entry.get("every", 1)) * 1_000_000)
            event = {"@timestamp": from_micros(time), "event.id": event_id("vector", place, number)}
            events.append(event | {name: _numbered(value, number) for name, value in entry["event"].items()})
    return events


def failures(
    rules: RuleSet, tests: Mapping[str, str], read_line: ReadLine | None = None, until: float | None = None
) -> tuple[int, list[Failure]]:
    """Return how many vectors were tried, and those that fail. `tests`: paths of rule files and their vectors' text.

    `read_line` decodes lines; without it they are left out. `until` is a time of the monotonic clock.

    Raises:
        HaidangError: not all were tried by then.
    """
    loud: dict[str, list[Rule | Correlation]] = {}
    for rule in rules.every:
        if rule not in rules.silent:
            loud.setdefault(rule.path, []).append(rule)
    tried, found = 0, []
    for path, text in tests.items():
        try:
            vectors = read_vectors(text, read_line)
            for rule in loud.get(path, ()):
                for kind, expected in (("hits", True), ("misses", False)):
                    for number, vector in enumerate(vectors[kind], 1):
                        if until is not None and monotonic() > until:
                            raise HaidangError("rulebook.vectors_slow", tried=tried)
                        tried += 1
                        if _fires(rules, rule, vector) is not expected:
                            reason = Sentence("vectors.silent" if expected else "vectors.fires")
                            found.append(Failure(path, rule.title, kind, number, reason))
        except (NotAVector, TypeError, ValueError, KeyError) as error:
            found.append(Failure(path, "", "", 0, error.why if isinstance(error, NotAVector) else str(error)))
    return tried, found


def vector_path(path: str) -> str:
    """Return where the vectors of a rule file lie."""
    for suffix in SUFFIXES:
        if path.endswith(suffix):
            return path.removesuffix(suffix) + TESTS
    return path + TESTS


def tests_of(files: Mapping[str, str], paths: Iterable[str]) -> dict[str, str]:
    """Return the vectors' text of those of these rule files that have some."""
    return {path: files[vector_path(path)] for path in paths if vector_path(path) in files}


def read_vectors(text: str, read_line: ReadLine | None = None) -> dict[str, list[Any]]:
    """Return `hits` and `misses`, those of lines decoded and with them.

    Raises:
        NotAVector: the text is none.
    """
    try:
        read = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise NotAVector("no_yaml", why=" ".join(str(error).split())) from error
    if not isinstance(read, dict) or read.keys() - {*_LINES, *_LINES.values()}:
        raise NotAVector("keys", keys=", ".join([*_LINES, *_LINES.values()]))
    for key, each in read.items():
        if not isinstance(each, list | None) or len(each or ()) > _MAX_VECTORS:
            raise NotAVector("no_list", key=key, most=_MAX_VECTORS)
    found = {}
    for kind, lines in _LINES.items():
        decoded = [read_line(str(line)) for line in read.get(lines) or ()] if read_line else []
        found[kind] = [*(read.get(kind) or ()), *decoded]
    return found


def _fires(rules: RuleSet, rule: Rule | Correlation, vector: Any) -> bool:
    if isinstance(rule, Rule):
        if not isinstance(vector, dict):
            raise NotAVector("no_map", value=f"{vector!r:.200}")
        return rule.matches(vector)
    if not isinstance(vector, list):
        raise NotAVector("no_stream", value=f"{vector!r:.200}")
    engine = Correlations(rules.correlations, Limits(), early=True)
    alerts: list[Event] = []
    for event in events_of(vector):
        alerts += engine.feed(event, [each.id for each in rules.evaluate(event)])
    return any(alert["rule.id"] == rule.id for alert in [*alerts, *engine.finish()])


def _numbered(value: Any, number: int) -> Any:
    if isinstance(value, list):
        return [_numbered(each, number) for each in value]
    return value.replace("{n}", str(number)) if isinstance(value, str) else value
