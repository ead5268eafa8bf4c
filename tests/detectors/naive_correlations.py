"""A slow evaluator of correlations for comparison: all events are known, sorted by time; every window is counted anew.

It shares with the engine only the compiled rules and which groups and values an event has.
"""

import statistics
from fractions import Fraction
from typing import Any

from detectors.sigma import Correlation
from detectors.sigma.correlation import number
from pipeline.event import to_micros

#: (rule's title, group, time in microseconds)
Fired = tuple[str, tuple[str, ...], int]


class Naive:
    """Evaluates correlations over a whole stream: `events` with the identifiers of the rules that they match."""

    def __init__(self, rules: tuple[Correlation, ...]) -> None:
        self.rules = sorted(rules, key=lambda rule: rule.depth)

    def alerts(self, events: list[tuple[dict[str, Any], list[str]]]) -> set[Fired]:
        """All alerts, those of silent correlations, too."""
        known = {event["event.id"]: (to_micros(event["@timestamp"]), event, ids) for event, ids in events}
        stream = [(time, [event], ids) for time, event, ids in known.values()]
        found: set[Fired] = set()
        for rule in self.rules:
            groups: dict[tuple[str, ...], list[tuple[int, int, Any, Any]]] = {}
            for time, behind, ids in stream:
                for place, part in enumerate(rule.parts):
                    if part.rule.id in ids:
                        values = [value for event in behind for value in part.values_of(event)] if rule.fields else [()]
                        if (
                            rule.fields and rule.type != "value_count" and rule.condition.percentile is not None
                        ) or rule.type in ("value_sum", "value_avg", "value_median"):
                            values = [n for value in values if (n := number(value[0])) is not None]
                        for key in {key for event in behind for key in part.keys(event)} if values else ():
                            hits = groups.setdefault(key, [])
                            if "temporal" in rule.type or not any(hit[3] is behind for hit in hits):
                                hits.append((time, place, values, behind))
            for key, hits in groups.items():
                for time, window in self.fired(rule, sorted(hits, key=lambda hit: hit[0])):
                    found.add((rule.title, key, time))
                    behind = [event for hit in window for event in hit[3]]
                    stream.append((time, behind, [rule.id]))
        return found

    def fired(self, rule: Correlation, hits: list[Any]) -> list[tuple[int, list[Any]]]:
        """When a group fires, and on what."""
        result = []
        if rule.slides:
            last = None
            for time in sorted({hit[0] for hit in hits}):
                window = [hit for hit in hits if time - rule.span <= hit[0] <= time]
                if (last is None or time > last + rule.span) and self.holds(rule, window):
                    result.append((time, window))
                    last = time
            return result
        while hits:
            close = hits[0][0] + rule.span
            window = [hit for hit in hits if hit[0] <= close]
            hits = hits[len(window) :]
            if self.holds(rule, window):
                result.append((close, window))
        return result

    def holds(self, rule: Correlation, window: list[Any]) -> bool:
        """Whether the hits of a window satisfy the condition."""
        values = [value for hit in window for value in hit[2]]
        numbers = {
            "event_count": lambda: len(window),
            "value_count": lambda: len(set(values)),
            "temporal": lambda: len({hit[1] for hit in window}),
            "temporal_ordered": lambda: self.chain(window),
            "value_sum": lambda: sum(values),
            "value_avg": lambda: sum(map(Fraction, values)) / len(values),
            "value_median": lambda: statistics.median(map(Fraction, values)),
            "value_percentile": lambda: self.percentile(values, rule.condition.percentile),
        }
        if rule.type == "value_percentile" and rule.condition.percentile is None:
            return any(rule.condition.holds(Fraction(100 * values.count(v), len(values))) for v in values)
        return rule.condition.holds(numbers[rule.type]())

    @staticmethod
    def percentile(values: list[Any], percent: Any) -> Any:
        """The smallest value that at least so many percent do not exceed."""
        return min(v for v in values if 100 * sum(w <= v for w in values) >= percent * len(values))

    @staticmethod
    def chain(window: list[Any]) -> int:
        """The longest chain of parts in order, by trying all."""
        best = 0
        for mask in range(1 << (1 + max(hit[1] for hit in window))):
            wanted = [part for part in range(mask.bit_length()) if mask >> part & 1]
            at = None
            for part in wanted:
                times = [hit[0] for hit in window if hit[1] == part and (at is None or hit[0] >= at)]
                if not times:
                    break
                at = min(times)
            else:
                best = max(best, len(wanted))
        return best
