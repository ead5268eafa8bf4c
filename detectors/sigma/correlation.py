"""Correlation rules: `correlation` documents and compiled rules enter, `Correlation`s that refer to these rules leave.

Specification of Sigma correlation rules v2.1.0. What it leaves open is decided as pySigma does: `rules` and `group-by`
may be one text, a month is 2,629,746 and a year 31,556,952 seconds. `generate` is taken inside of `correlation` and
beside it.
"""

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeAlias
from uuid import UUID

from detectors.sigma.comparisons import number_of
from detectors.sigma.compiler import NO_IDENTIFIER, Compiler, about, metadata
from detectors.sigma.errors import RuleRefused
from detectors.sigma.rule import About, Rule
from detectors.sigma.view import Event, Field, View, fold
from pipeline.messages import Sentence

EVENT_COUNT, VALUE_COUNT = "event_count", "value_count"
TEMPORAL, TEMPORAL_ORDERED = "temporal", "temporal_ordered"
VALUE_SUM, VALUE_AVG, VALUE_PERCENTILE, VALUE_MEDIAN = "value_sum", "value_avg", "value_percentile", "value_median"
OF_RULES = frozenset((TEMPORAL, TEMPORAL_ORDERED))
OF_VALUES = frozenset((VALUE_COUNT, VALUE_SUM, VALUE_AVG, VALUE_PERCENTILE, VALUE_MEDIAN))
TYPES = (EVENT_COUNT, VALUE_COUNT, TEMPORAL, TEMPORAL_ORDERED, VALUE_SUM, VALUE_AVG, VALUE_PERCENTILE, VALUE_MEDIAN)
#: What only grows or stays while more events come, so that it can be said before the last of them has come.
GROWING = frozenset((EVENT_COUNT, VALUE_COUNT, TEMPORAL, TEMPORAL_ORDERED))

Number: TypeAlias = int | Fraction
_OPERATORS: dict[str, Callable[[Number, Number], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
    "neq": operator.ne,
}
_LOWER = frozenset(("gt", "gte"))
_KEYS = frozenset(("type", "rules", "group-by", "timespan", "aliases", "condition", "generate"))
_TIMESPAN = re.compile(r"([0-9]{1,6})([smhdwMy])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 2_629_746, "y": 31_556_952}
_MICROSECOND = 1_000_000
_MAX_RULES = 1_000
_MAX_GROUP_FIELDS = 20
#: Groups that one event takes part in, where fields of `group-by` hold lists; more are left out.
MAX_KEYS = 100

Key: TypeAlias = tuple[str, ...]
#: The fields that may hold what one name of a correlation means, in the order they are tried.
Fields: TypeAlias = tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """What is measured must satisfy all `bounds`.

    A `value_percentile` without `percentile` is about the share of a value, in percent, as the specification's example.
    """

    bounds: tuple[tuple[str, Number], ...]
    percentile: Fraction | None = None

    def holds(self, measured: Number) -> bool:
        """Whether the measured number satisfies the condition."""
        return all(_OPERATORS[name](measured, wanted) for name, wanted in self.bounds)

    @property
    def only_grows(self) -> bool:
        """Whether more of what is measured never ends what holds."""
        return all(name in _LOWER for name, _ in self.bounds)

    def __str__(self) -> str:
        return " ".join(f"{name} {shown(number)}" for name, number in self.bounds)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One rule that a correlation refers to, and where its events hold what the correlation groups and measures by."""

    rule: "Rule | Correlation"
    group_by: tuple[Fields, ...]
    values: tuple[Fields, ...]
    #: The groups that an event belongs to: none where a field is missing, several where one holds a list.
    keys: Callable[[Event], list[Key]] = field(init=False)
    #: What is measured of an event: each value of the field, or each combination of the fields' values.
    values_of: Callable[[Event], list[Key]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", _combining(self.group_by))
        object.__setattr__(self, "values_of", _combining(self.values))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Correlation(About):
    """A correlation rule that can be used. `span` is in microseconds."""

    type: str
    parts: tuple[Part, ...]
    group_by: tuple[str, ...]
    fields: tuple[str, ...]
    span: int
    timespan: str
    condition: Condition
    generate: bool
    warnings: tuple[str, ...] = ()
    depth: int = 0
    signature: str = field(default="", repr=False)

    @property
    def slides(self) -> bool:
        """Whether the window that ends at each event is looked at; else each window from its first event to its end."""
        if self.type == VALUE_SUM:
            return self.condition.only_grows
        return self.type in GROWING and self.condition.only_grows

    @property
    def least(self) -> int:
        """How many events it needs at the least, of one value each."""
        if self.type not in GROWING:
            return 1
        lower = [int(number) + (name == "gt") for name, number in self.condition.bounds if name in (*_LOWER, "eq")]
        return max([1, *lower])


@dataclass(frozen=True, slots=True)
class Draft:
    """A correlation document whose references are not looked up yet."""

    about: Mapping[str, Any]
    type: str
    rules: tuple[str, ...]
    group_by: tuple[str, ...]
    aliases: Mapping[str, Mapping[str, str]]
    fields: tuple[str, ...]
    timespan: str
    condition: Condition
    generate: bool
    line: int

    @property
    def path(self) -> str:
        return str(self.about["path"])


def draft(document: Mapping[str, Any], path: str, line: int) -> tuple[Draft, list[str]]:
    """Read a document with a `correlation`. Raises `RuleRefused`."""
    if "detection" in document:
        raise RuleRefused("correlation.with_detection")
    parsed = metadata({**document, "logsource": {"product": "any"}})
    content = document["correlation"]
    if not isinstance(content, Mapping):
        raise RuleRefused("correlation.no_map", value=f"{content!r:.100}")
    if unknown := sorted(map(str, content.keys() - _KEYS)):
        raise RuleRefused("correlation.unknown_key", key=repr(unknown[0]), known=", ".join(sorted(_KEYS)))
    kind = content.get("type")
    if kind not in TYPES:
        raise RuleRefused("correlation.unknown_type", type=repr(kind), known=", ".join(TYPES))
    rules = _names(content, "rules")
    if not rules:
        raise RuleRefused("correlation.no_rules")
    if len(set(rules)) < len(rules):
        raise RuleRefused("correlation.rule_twice")
    condition, fields = _condition(kind, content.get("condition"), len(rules))
    made = Draft(
        about=about(parsed, document, path),
        type=kind,
        rules=rules,
        group_by=_names(content, "group-by"),
        aliases=_aliases(content.get("aliases", {}), rules),
        fields=fields,
        timespan=_timespan(content),
        condition=condition,
        generate=_generate(document, content),
        line=line,
    )
    return made, [] if parsed.id else [NO_IDENTIFIER]


def _generate(document: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
    given = [place["generate"] for place in (document, content) if "generate" in place]
    if any(not isinstance(value, bool) for value in given) or len(set(given)) > 1:
        raise RuleRefused("correlation.generate", value=repr(given[0]))
    return bool(given and given[0])


def _names(content: Mapping[str, Any], key: str) -> tuple[str, ...]:
    given = content.get(key, [])
    names = [given] if isinstance(given, str) else given
    limit = _MAX_RULES if key == "rules" else _MAX_GROUP_FIELDS
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise RuleRefused("correlation.no_names", key=repr(key), value=f"{given!r:.100}")
    if len(names) > limit:
        raise RuleRefused("correlation.too_many_names", key=repr(key), count=len(names), most=limit)
    return tuple(_canonical(name) if key == "rules" else name for name in names)


def _canonical(name: str) -> str:
    try:
        return str(UUID(name))
    except ValueError:
        return name


def _timespan(content: Mapping[str, Any]) -> str:
    given = content.get("timespan")
    if given is None:
        raise RuleRefused("correlation.no_timespan")
    if not isinstance(given, str) or not (found := _TIMESPAN.fullmatch(given)) or not int(found[1]):
        raise RuleRefused("correlation.timespan", value=f"{given!r:.50}")
    return given


def span_of(timespan: str) -> int:
    """The microseconds of a timespan."""
    return int(timespan[:-1]) * _SECONDS[timespan[-1]] * _MICROSECOND


def _aliases(given: Any, rules: Sequence[str]) -> dict[str, dict[str, str]]:
    if not isinstance(given, Mapping):
        raise RuleRefused("correlation.aliases", value=f"{given!r:.100}")
    aliases: dict[str, dict[str, str]] = {}
    for alias, mapping in given.items():
        if not isinstance(mapping, Mapping) or not all(isinstance(name, str) and name for name in mapping.values()):
            raise RuleRefused("correlation.alias", alias=repr(alias), value=f"{mapping!r:.100}")
        aliases[str(alias)] = {_canonical(str(rule)): name for rule, name in mapping.items()}
        for rule in aliases[str(alias)]:
            if rule not in rules:
                raise RuleRefused("correlation.alias_of_other", alias=repr(alias), rule=repr(rule))
    return aliases


def _condition(kind: str, given: Any, rules: int) -> tuple[Condition, tuple[str, ...]]:
    if given is None:
        if kind in OF_RULES:
            return Condition((("gte", rules),)), ()
        raise RuleRefused("correlation.needs_condition", type=kind)
    if not isinstance(given, Mapping):
        raise RuleRefused("correlation.condition_no_map", value=f"{given!r:.100}")
    if unknown := sorted(map(str, given.keys() - {*_OPERATORS, "field", "percentile"})):
        raise RuleRefused("correlation.condition_unknown_key", key=repr(unknown[0]), known=", ".join(_OPERATORS))
    bounds = tuple((name, _number(kind, name, given[name])) for name in _OPERATORS if name in given)
    if not bounds:
        raise RuleRefused("correlation.condition_compares_nothing", known=", ".join(_OPERATORS))
    fields = _fields(kind, given)
    condition = Condition(bounds, _percentile(kind, given))
    _refuse_impossible(kind, condition, rules)
    if kind in OF_RULES:
        condition = _without_vain_bounds(condition, rules)
    return condition, fields


def _number(kind: str, name: str, given: Any) -> Number:
    found = None if isinstance(given, bool) or not isinstance(given, (int, float, str)) else number(str(given))
    if found is None:
        raise RuleRefused("correlation.no_number", name=repr(name), value=f"{given!r:.50}")
    if kind in GROWING and (not isinstance(found, int) or found < 0):
        raise RuleRefused("correlation.counts", type=kind, name=repr(name), value=repr(given))
    return found


def number(text: str) -> Number | None:
    """The exact decimal number that a text holds; None for any other text."""
    if number_of(text) is None:
        return None
    exact = Fraction(text)
    return int(exact) if exact.denominator == 1 else exact


def _fields(kind: str, given: Mapping[str, Any]) -> tuple[str, ...]:
    if kind not in OF_VALUES:
        if "field" in given:
            raise RuleRefused("correlation.measures_no_field", type=kind)
        return ()
    named = given.get("field")
    fields = named if isinstance(named, list) else [named]
    if not fields or not all(isinstance(name, str) and name for name in fields):
        raise RuleRefused("correlation.needs_field", type=kind, value=f"{named!r:.50}")
    if len(fields) > 1 and kind != VALUE_COUNT:
        raise RuleRefused("correlation.one_field", type=kind, count=len(fields))
    return tuple(fields)


def _percentile(kind: str, given: Mapping[str, Any]) -> Fraction | None:
    if "percentile" not in given:
        return None
    found = number(str(given["percentile"]))
    if kind != VALUE_PERCENTILE or found is None or not 0 < found <= 100:
        raise RuleRefused("correlation.percentile", value=repr(given["percentile"]))
    return Fraction(found)


def _without_vain_bounds(condition: Condition, rules: int) -> Condition:
    """Of the rules there are never more than all: an upper bound that allows all of them says nothing."""
    bounds = tuple(
        ("gte", bound) if name == "eq" and bound == rules else (name, bound)
        for name, bound in condition.bounds
        if not ((name == "lte" and bound >= rules) or (name == "lt" and bound > rules))
    )
    return Condition(bounds or (("gte", 1),))


def _refuse_impossible(kind: str, condition: Condition, rules: int) -> None:
    """Refuse what no measure satisfies; if one does, then also a bound, one beside it or one between two."""
    step = 1 if kind in GROWING else Fraction(1, 1000)
    bounds = [bound for _, bound in condition.bounds]
    tried = [place for bound in bounds for place in (bound - step, bound, bound + step)]
    if kind in GROWING:
        tried = [min(place, rules) if kind in OF_RULES else place for place in tried if place >= 1]
    else:
        tried += [Fraction(one + other, 2) for one in bounds for other in bounds]
    if not any(map(condition.holds, tried)):
        if kind in OF_RULES:
            raise RuleRefused("correlation.impossible_of_rules", condition=str(condition), count=rules)
        raise RuleRefused("correlation.impossible", condition=str(condition))


class Linker:
    """Looks up what the drafts refer to."""

    def __init__(self, drafts: Iterable[Draft], rules: Iterable[Rule], compiler: Compiler) -> None:
        self._drafts = {made.about["id"]: made for made in drafts}
        self._rules = {rule.id: rule for rule in rules}
        self._compiler = compiler
        self._done: dict[str, Correlation | RuleRefused] = {}
        self._names: dict[str, list[tuple[str, str]]] = {}  # name -> (path, identifier)
        for each in self._rules.values():
            self._names.setdefault(each.name, []).append((each.path, each.id))
        for made in self._drafts.values():
            self._names.setdefault(made.about["name"], []).append((made.path, made.about["id"]))

    def link(self, identifier: str, above: tuple[str, ...] = ()) -> Correlation:
        """The correlation of this identifier. Raises `RuleRefused`."""
        if identifier in above:
            titles = [self._drafts[each].about["title"] for each in (*above[above.index(identifier) :], identifier)]
            raise RuleRefused("correlation.itself", titles=" > ".join(titles))
        if identifier not in self._done:
            try:
                self._done[identifier] = self._linked(self._drafts[identifier], (*above, identifier))
            except RuleRefused as refusal:
                self._done[identifier] = refusal
        found = self._done[identifier]
        if isinstance(found, RuleRefused):
            raise found
        return found

    def identifier(self, made: Draft, reference: str) -> str | None:
        """Which rule a draft means: by identifier, by a name in its own file, or by a name that one rule has."""
        if reference in self._rules or reference in self._drafts:
            return reference
        named = self._names.get(reference, [])
        found = [identifier for path, identifier in named if path == made.path] or [each for _, each in named]
        if len(found) > 1:
            raise RuleRefused("correlation.several", count=len(found), name=repr(reference))
        return found[0] if found else None

    def _linked(self, made: Draft, above: tuple[str, ...]) -> Correlation:
        parts = [self._part(made, reference, above) for reference in made.rules]
        below = [part.rule for part in parts if isinstance(part.rule, Correlation)]
        return Correlation(
            **made.about,
            type=made.type,
            parts=tuple(parts),
            group_by=made.group_by,
            fields=made.fields,
            span=span_of(made.timespan),
            timespan=made.timespan,
            condition=made.condition,
            generate=made.generate,
            warnings=tuple(self._warnings(made)),
            depth=1 + max((rule.depth for rule in below), default=-1),
            signature=repr((
                made.type, made.rules, made.group_by, made.fields, made.timespan, made.condition,
                sorted((alias, sorted(mapping.items())) for alias, mapping in made.aliases.items()),
            )),
        )  # fmt: skip

    def _part(self, made: Draft, reference: str, above: tuple[str, ...]) -> Part:
        identifier = self.identifier(made, reference)
        if identifier is None:
            raise RuleRefused("correlation.no_rule", name=repr(reference))
        rule: Rule | Correlation
        if identifier in self._rules:
            rule = self._rules[identifier]
        else:
            try:
                rule = self.link(identifier, above)
            except RuleRefused as refusal:
                if identifier in above:
                    raise
                raise RuleRefused("correlation.refused_itself", name=repr(reference), why=refusal.why) from refusal

        def fields(name: str) -> Fields:
            meant = made.aliases.get(name, {}).get(reference, name)
            return tuple(
                dict.fromkeys(self._compiler.field_of(base.logsource)(meant, True) for base in base_rules([rule]))
            )

        return Part(rule, tuple(map(fields, made.group_by)), tuple(map(fields, made.fields)))

    @staticmethod
    def _warnings(made: Draft) -> Iterator[str]:
        for alias, mapping in made.aliases.items():
            if alias not in (*made.group_by, *made.fields):
                yield Sentence("sigma.correlation.alias_unused", alias=repr(alias))
            for rule in made.rules:
                if rule not in mapping:
                    yield Sentence("sigma.correlation.alias_silent", alias=repr(alias), rule=repr(rule))


def base_rules(rules: Iterable[Rule | Correlation]) -> list[Rule]:
    """The rules with a detection that these rules are or refer to, each once."""
    found: dict[Rule, None] = {}
    for rule in rules:
        if isinstance(rule, Correlation):
            found.update(dict.fromkeys(base_rules(part.rule for part in rule.parts)))
        else:
            found[rule] = None
    return list(found)


def silenced(correlations: Iterable[Correlation]) -> frozenset[Rule | Correlation]:
    """The rules that raise no alerts of their own: some correlation refers to them, and none says `generate: true`."""
    referred: dict[Rule | Correlation, bool] = {}
    for correlation in correlations:
        for part in correlation.parts:
            referred[part.rule] = referred.get(part.rule, False) or correlation.generate
    return frozenset(rule for rule, generate in referred.items() if not generate)


def _combining(names: tuple[Fields, ...]) -> Callable[[Event], list[Key]]:
    """Return what does the same as `combined` with these names, quicker for the usual event."""
    if any(fields[0].union for fields in names):
        return lambda event: combined(event, names)
    usual = [fields[0].keys[0] for fields in names]

    def keys(event: Event) -> list[Key]:
        key: list[str] = []
        for name in usual:  # mostly each holds one text, and this is some times faster
            if type(value := event.get(name)) is not str:
                return combined(event, names)
            key.append(value.lower() if value.isascii() else fold(value))
        return [tuple(key)]

    return keys


def combined(event: Event, names: tuple[Fields, ...]) -> list[Key]:
    """Every combination of the texts of the fields, folded; none where one is missing. Without fields there is one."""
    view = View(event)
    keys: list[Key] = [()]
    for fields in names:
        texts = next((found for one in fields if (found := view[one])), ())
        keys = [(*key, text) for key in keys for text in dict.fromkeys(map(fold, texts))][:MAX_KEYS]
    return keys


def shown(value: Number) -> str:
    """A number as a person reads it."""
    return str(value) if isinstance(value, int) else f"{float(value):g}"
