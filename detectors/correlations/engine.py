"""All correlations of a rule set: events and the rules that they match enter, alerts leave."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict

import orjson

from detectors.alerts import MAX_EVIDENCE, Burst, correlation_alert
from detectors.correlations.bounds import AFTER_ALL, AHEAD, BEFORE_ALL, SECOND, Counts, Evidence, Limits
from detectors.correlations.group import Group, Said
from detectors.correlations.groups import Groups
from detectors.correlations.hits import Hit, Lines, copied, size_of
from detectors.correlations.saving import hit_of, said_of, signature_of
from detectors.correlations.scope import Scope
from detectors.sigma import Correlation, Rule
from detectors.sigma.correlation import OF_VALUES, Key, Part, silenced
from pipeline.event import Event, decode, encode, to_micros

#: The watermark moves in so many steps through the lateness bound: one look at what waits for many events that came.
_STEPS = 20
#: Bytes of JSON lines that `dump` gives together.
_CHUNK = 4_000_000
_LIMITS = Limits()


class Correlations:
    """All correlations of a rule set.

    `feed` what rules have matched, with the time of receipt and a lane: what one reader has read in turn (a partition);
    the slowest lane holds the watermark. Alerts come back as soon as they can be said.
    """

    def __init__(self, rules: Sequence[Correlation], limits: Limits = _LIMITS, early: bool = False) -> None:
        self.counts = Counts()
        self._evidence = Evidence()
        self._rules = tuple(rules)
        self._limits = limits
        self._early = early
        self._silent = silenced(self._rules)
        self._of_rule: dict[str, list[tuple[int, int, Part]]] = {}
        for place, rule in enumerate(self._rules):
            for part_number, part in enumerate(rule.parts):
                self._of_rule.setdefault(part.rule.id, []).append((place, part_number, part))
        self._scopes: dict[str, Scope] = {"": self._scope(limits.lateness)}

    @property
    def groups(self) -> int:
        """How many groups are held."""
        return sum(len(each.groups) for scope in self._scopes.values() for each in scope.groups)

    @property
    def watermark(self) -> int:
        """Before this everything was evaluated, in microseconds since 1970."""
        return self._scopes[""].watermark

    def takes(self, rule: Rule | Correlation) -> bool:
        """Whether some correlation refers to the rule."""
        return rule.id in self._of_rule

    def feed(
        self,
        event: Event,
        rules: Sequence[str],
        line: bytes | None = None,
        received: int | None = None,
        lane: str = "",
        scope: str = "",
    ) -> list[Event]:
        """Take an event that the rules of these identifiers have matched; it must have an id and a readable time.

        `line` is the event as JSON, where the caller has it. Events of a `scope` with a name (an import) are correlated
        among themselves, and wait until the scope is closed.
        """
        time = to_micros(event["@timestamp"])
        within = self._scopes.get(scope)
        if within is None:
            within = self._scopes[scope] = self._scope(None)
        if not self._comes_in_time(within, time, received):
            return []
        found: list[Event] = []
        line = copied(encode(event)) if line is None else line
        lines = self._affordable(line, len(line))
        counted: set[tuple[int, Key]] | None = set() if len(rules) > 1 else None
        for rule in rules:
            for place, part_number, part in self._of_rule.get(rule, ()):
                groups = within.groups[place]
                values = groups.values(part, event)
                if values is None:
                    continue
                hit = Hit(time, event["event.id"], part_number if groups.counts_rules else 0, values, lines)
                for key in part.keys(event):
                    takes = counted is None or groups.counts_rules or _is_new(counted, place, key)
                    if takes and (burst := groups.insert(key, hit)) is not None:
                        self._say_early(within, groups, burst, found)
        clock = time if received is None else min(time, received)
        if received is not None:
            within.heard = max(within.heard, received)
        if clock >= within.moves_at:
            if (watermark := within.moved(lane, clock)) is not None:
                self._settle(within, watermark, found)
        elif clock > within.lanes.get(lane, BEFORE_ALL):
            within.lanes[lane] = clock
        return found

    def advance(self, time: int) -> list[Event]:
        """All lanes have brought everything up to this time, in microseconds since 1970, as far as it is to come."""
        found: list[Event] = []
        scope = self._scopes[""]
        for lane in scope.lanes or ("",):
            if (watermark := scope.moved(lane, time)) is not None:
                self._settle(scope, watermark, found)
        return found

    def tick(self, now: int, lanes: Mapping[str, int]) -> list[Event]:
        """Nothing came, and time passes: how far each lane is, in microseconds since 1970, and what time it is.

        A scope of its own is closed when nothing was heard of it for the lateness bound. Where the clock was set back
        behind the watermark, everything is forgotten: else all that comes would be too late until it is there again.
        """
        found: list[Event] = []
        live = self._scopes[""]
        if live.watermark > now:
            self.counts.events_evicted += sum(each.forget() for each in live.groups)
            live = self._scopes[""] = self._scope(self._limits.lateness)
        for lane, time in lanes.items():
            if (watermark := live.moved(lane, min(time, now))) is not None:
                self._settle(live, watermark, found)
        for name in [name for name in self._scopes if name]:
            if now - self._scopes[name].heard > (self._limits.lateness or 0):
                self._settle(self._scopes.pop(name), AFTER_ALL, found)
        return found

    def waits(self) -> bool:
        """Whether anything is held that a later time could settle."""
        return any(each.groups for scope in self._scopes.values() for each in scope.groups)

    def finish(self) -> list[Event]:
        """No more will come: evaluate everything and forget it."""
        found: list[Event] = []
        for scope in self._scopes.values():
            self._settle(scope, AFTER_ALL, found)
        self._scopes = {"": self._scope(self._limits.lateness)}
        return found

    def dump(self) -> Iterator[bytes]:
        """Give everything that is held as JSON lines, some megabytes together."""
        held = [orjson.dumps({"counts": asdict(self.counts), "rules": [signature_of(rule) for rule in self._rules]})]
        size = 0
        for name, scope in self._scopes.items():
            held.append(orjson.dumps([name, scope.watermark, scope.lanes, scope.heard]))
            for each in scope.by_depth:
                for group in each.dump():
                    held.append(orjson.dumps(group))
                    size += len(held[-1])
                    if size >= _CHUNK:
                        yield b"\n".join(held)
                        held, size = [], 0
        yield b"\n".join(held)

    def load(self, chunks: Iterable[bytes]) -> None:
        """Go on from what `dump` gave. Groups of a correlation that has changed since are left out.

        Raises:
            ValueError: it is no dump.
        """
        numbers: dict[int, int] = {}
        scope = self._scopes[""]
        for chunk in chunks:
            for line in chunk.split(b"\n"):
                given = orjson.loads(line)
                if isinstance(given, dict):
                    for name, value in given["counts"].items():
                        setattr(self.counts, name, value)
                    now = {signature_of(rule): place for place, rule in enumerate(self._rules)}
                    numbers = {was: now[rule] for was, rule in enumerate(given["rules"]) if rule in now}
                elif isinstance(given[0], str):
                    name, watermark, lanes, heard = given
                    scope = self._scopes.setdefault(name, self._scope(None))
                    scope.watermark, scope.lanes, scope.heard = watermark, lanes, heard
                    for each in scope.groups:
                        each.watermark = watermark
                elif given[0] in numbers:
                    was, key, fired, settled, said, hits = given
                    scope.groups[numbers[was]].load(
                        fired, settled, tuple(key), said_of(said, numbers), [hit_of(hit) for hit in hits]
                    )

    def _scope(self, lateness: int | None) -> Scope:
        step = max((lateness or 0) // _STEPS, SECOND // 10)
        groups = [
            Groups(place, rule, self._limits, self._early, self.counts, self._evidence, step)
            for place, rule in enumerate(self._rules)
        ]
        return Scope(groups, lateness, step)

    def _comes_in_time(self, within: Scope, time: int, received: int | None) -> bool:
        if received is not None and time > received + AHEAD:
            self.counts.too_far_ahead += 1
        elif time < within.watermark:
            self.counts.too_late += 1
        else:
            self.counts.events += 1
            return True
        return False

    def _affordable(self, lines: Lines, size: int) -> Lines:
        """The lines of an event, or nothing where too much is kept already."""
        if self._evidence.bytes + size <= self._limits.evidence_bytes:
            return lines
        self.counts.without_evidence += 1
        return b""

    def _say_early(self, scope: Scope, groups: Groups, burst: Burst, found: list[Event]) -> None:
        group = groups.groups[burst.key]
        assert isinstance(group, Group)  # one that has raised an alert
        placed: list[tuple[int, int, Key]] = []
        group.said = group.said or []
        group.said.append(Said(burst.time, burst.id, ()))
        self._raise(burst, found)
        self._pass_on(scope, burst, found, placed)
        group.said[-1] = group.said[-1]._replace(placed=tuple(placed))

    def _settle(self, scope: Scope, watermark: int, found: list[Event]) -> None:
        scope.watermark = watermark
        for groups in scope.by_depth:
            for group, burst in groups.settle(watermark):
                said = group.taken(burst)
                if said is not None:  # as it is known now it takes the place of what was said
                    for place, part, key in said.placed:
                        scope.groups[place].remove(key, said.time, said.id, part)
                else:
                    self._raise(burst, found)
                self._pass_on(scope, burst, found, [])

    def _raise(self, burst: Burst, found: list[Event]) -> None:
        if burst.rule not in self._silent:
            found.append(correlation_alert(burst))

    def _pass_on(self, scope: Scope, burst: Burst, found: list[Event], placed: list[tuple[int, int, Key]]) -> None:
        """An alert takes part in the correlations that refer to its rule, in the groups of all of its events."""
        for place, part_number, part in self._of_rule.get(burst.rule.id, ()):
            groups = scope.groups[place]
            events = [decode(line) for line in burst.evidence]
            keys = dict.fromkeys(key for event in events for key in part.keys(event))
            values = dict.fromkeys(value for event in events for value in groups.values(part, event) or ())
            if not values and groups.rule.type in OF_VALUES:
                continue
            number_of_part = part_number if groups.counts_rules else 0
            lines = self._affordable(burst.evidence, size_of(burst.evidence))
            hit = Hit(burst.time, burst.id, number_of_part, tuple(values), lines)
            for key in list(keys)[:MAX_EVIDENCE]:
                placed.append((place, number_of_part, key))
                if (early := groups.insert(key, hit)) is not None:
                    self._say_early(scope, groups, early, found)


def _is_new(counted: set[tuple[int, Key]], place: int, key: Key) -> bool:
    """An event that two of a correlation's rules match is one event; say whether it was not counted yet."""
    if (place, key) in counted:
        return False
    counted.add((place, key))
    return True
