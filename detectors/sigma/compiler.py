"""One YAML document becomes a rule or a filter.

pySigma reads the metadata and the log source (specification v2.1.0, "Rule structure"); the
detection is compiled by `detection.py`, filters follow the specification of Sigma filters v2.1.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from sigma.exceptions import SigmaError
from sigma.rule import SigmaRule

from detectors.sigma.detection import compile_detection
from detectors.sigma.errors import RuleRefused
from detectors.sigma.fields import FieldMap
from detectors.sigma.logsource import ATTRIBUTES, LogSources
from detectors.sigma.matchers import FieldOf
from detectors.sigma.nodes import Node, all_of
from detectors.sigma.rule import Rule
from pipeline.messages import Sentence

DEFAULT_LEVEL = "medium"  # Sigma lets a rule leave its level out
NO_IDENTIFIER = Sentence("sigma.no_identifier")
# fmt: off
_STANDARD = frozenset((
    "title", "id", "name", "taxonomy", "related", "level", "status", "description", "references",
    "tags", "author", "date", "modified", "fields", "falsepositives", "scope", "license",
    "logsource", "detection", "filter", "correlation", "generate",
))
# fmt: on
_ANYTHING = {"selection": {"field": "value"}, "condition": "selection"}


@dataclass(frozen=True, slots=True)
class Filter:
    """A global filter: what it asks of the events of rules it names. Field names follow each
    rule's log source.
    """

    title: str
    path: str
    logsource: Mapping[str, str]
    rules: tuple[str, ...] | None  # identifiers or names, None for any rule
    detection: Mapping[str, Any]

    def fits(self, rule: Rule) -> bool:
        if not self.logsource.items() <= rule.logsource.items():
            return False
        return self.rules is None or rule.id in self.rules or bool({rule.name} & {*self.rules} - {""})


class Compiler:
    """Compiles documents with one map of fields and one table of log sources."""

    def __init__(self, fields: FieldMap, sources: LogSources, tables: tuple[bytes, ...] = ()) -> None:
        """`tables` are the files that extend the built-in tables: compilers with the same ones are equal."""
        self._fields = fields
        self._sources = sources
        self._tables = tables

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Compiler) and bool(self._tables) and self._tables == other._tables

    def __hash__(self) -> int:
        return hash(self._tables)

    def rule(self, document: Mapping[str, Any], path: str) -> tuple[Rule, list[str]]:
        """A rule and warnings about it. Raises `RuleRefused`."""
        for key, why in _NOT_HERE.items():
            if key in document:
                raise RuleRefused(why)
        parsed = metadata(document)
        if "detection" not in document:
            raise RuleRefused("no_detection")
        logsource = _logsource(parsed)
        route = self._sources.route(logsource)
        node, warnings = compile_detection(document["detection"], self.field_of(logsource))
        if not route.known:
            warnings.append(Sentence("sigma.unknown_logsource", logsource=str(logsource)))
        if parsed.id is None:
            warnings.append(NO_IDENTIFIER)
        rule = Rule(
            **about(parsed, document, path),
            logsource=logsource,
            node=node,
            route=route,
        )
        return rule, warnings

    def filter(self, document: Mapping[str, Any], path: str) -> tuple[Filter, list[str]]:
        """A global filter and warnings about it. Raises `RuleRefused`."""
        parsed = metadata({**document, "level": None})
        content = document["filter"]
        if not isinstance(content, Mapping):
            raise RuleRefused("filter_no_map", value=repr(content))
        logsource = _logsource(parsed)
        detection = {key: value for key, value in content.items() if key != "rules"}
        _, warnings = compile_detection(detection, self.field_of(logsource))
        condition = str(detection["condition"])
        if "not" not in condition.lower().split():
            warnings.append(Sentence("sigma.filter_without_not", condition=repr(condition)))
        return Filter(parsed.title, path, logsource, _filtered(content), detection), warnings

    def filtered(self, rule: Rule, filters: list[Filter]) -> Rule:
        """The rule with the conditions of the filters that fit it ANDed to its own."""
        nodes: list[Node] = [rule.node]
        field_of = self.field_of(rule.logsource)
        nodes += [compile_detection(each.detection, field_of)[0] for each in filters]
        return replace(rule, node=all_of(nodes)) if filters else rule

    def field_of(self, logsource: Mapping[str, str]) -> FieldOf:
        """How the rules of a log source name the keys of its events."""
        return lambda name, exact: self._fields.field(logsource, name, exact=exact)


_NOT_HERE = {
    "action": "action",
}


def about(parsed: SigmaRule, document: Mapping[str, Any], path: str) -> dict[str, Any]:
    """What a rule says of itself, as the arguments of `About`."""
    return {
        "id": str(parsed.id or uuid5(NAMESPACE_URL, f"sigma:{parsed.title}")),
        "title": parsed.title,
        "level": parsed.level.name.lower() if parsed.level else DEFAULT_LEVEL,
        "status": parsed.status.name.lower() if parsed.status else "",
        "description": parsed.description or "",
        "tags": tuple(str(tag) for tag in parsed.tags),
        "references": tuple(map(str, parsed.references)),
        "falsepositives": tuple(map(str, parsed.falsepositives)),
        "author": parsed.author or "",
        "path": path,
        "name": parsed.name or "",
        "extra": {key: value for key, value in document.items() if key not in _STANDARD},
    }


def metadata(document: Mapping[str, Any]) -> SigmaRule:
    """pySigma's reading of everything but the detection."""
    try:
        parsed = SigmaRule.from_dict({**document, "detection": _ANYTHING}, collect_errors=True)
    except (SigmaError, TypeError, ValueError, AttributeError) as error:
        raise RuleRefused("attributes_unreadable", why=str(error)) from error
    if parsed.errors:
        raise RuleRefused("attributes", why="; ".join(str(error) for error in parsed.errors))
    return parsed


def _logsource(parsed: SigmaRule) -> dict[str, str]:
    pairs = ((name, getattr(parsed.logsource, name)) for name in ATTRIBUTES)
    return {name: value.lower() for name, value in pairs if value}


def _filtered(content: Mapping[str, Any]) -> tuple[str, ...] | None:
    rules = content.get("rules")
    if rules in ("any", []):
        return None
    names = [rules] if isinstance(rules, str) else rules
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RuleRefused("filter_needs_rules", value=repr(rules))
    return tuple(_canonical(name) for name in names)


def _canonical(name: str) -> str:
    try:
        return str(UUID(name))
    except ValueError:
        return name
