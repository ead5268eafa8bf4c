"""A second, slow evaluator for comparison: pySigma's own condition tree, walked as it stands.

It shares only the map of fields with the engine. Values become one case-insensitive regular
expression each.
"""

import operator
import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.rule import SigmaRule
from sigma.types import (
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SpecialChars,
)

from detectors.sigma.fields import FieldMap

OURS = ("@timestamp", "event.id", "event.ingested", "event.dataset", "event.kind")
COMPARISONS = {"LT": operator.lt, "LTE": operator.le, "GT": operator.gt, "GTE": operator.ge}
WILDCARDS = {SpecialChars.WILDCARD_MULTI: ".*", SpecialChars.WILDCARD_SINGLE: "."}


class Naive:
    def __init__(self, rule: SigmaRule, logsource: Mapping[str, str], fields: FieldMap) -> None:
        self.trees = [condition.parsed for condition in rule.detection.parsed_condition]
        self.logsource = logsource
        self.fields = fields

    def matches(self, event: Mapping[str, Any]) -> bool:
        return any(self.holds(tree, event) for tree in self.trees)

    def holds(self, tree: Any, event: Mapping[str, Any]) -> bool:
        if isinstance(tree, ConditionAND):
            return all(self.holds(part, event) for part in tree.args)
        if isinstance(tree, ConditionOR):
            return any(self.holds(part, event) for part in tree.args)
        if isinstance(tree, ConditionNOT):
            return not self.holds(tree.args[0], event)
        if isinstance(tree, ConditionFieldEqualsValueExpression):
            if isinstance(tree.value, SigmaExists):
                keys = self.fields.field(self.logsource, tree.field, exact=True).keys
                return any(key in event for key in keys) is bool(tree.value)
            return self.has(tree.value, self.values(tree.field, event), event)
        if isinstance(tree, ConditionValueExpression):
            return any(keyword(tree.value, str(value)) for key, value in event.items() if key not in OURS)
        raise TypeError(tree)

    def values(self, name: str, event: Mapping[str, Any]) -> list[Any]:
        field = self.fields.field(self.logsource, name, exact=True)
        found = [event[key] for key in field.keys if event.get(key) is not None]
        if not field.union:
            found = found[:1]
        return [e for value in found for e in (value if isinstance(value, list) else [value])]

    def has(self, wanted: Any, values: list[Any], event: Mapping[str, Any]) -> bool:
        if isinstance(wanted, SigmaNull):
            return not values
        if isinstance(wanted, SigmaExpansion):
            return any(self.has(each, values, event) for each in wanted.values)
        if isinstance(wanted, SigmaFieldReference):
            others = [str(other).lower() for other in self.values(wanted.field, event)]
            return any(related(wanted, str(value).lower(), o) for value in values for o in others)
        return any(equals(wanted, text_of(value)) for value in values)


def text_of(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def compares(wanted: SigmaCompareExpression, text: str) -> bool:
    try:
        number, bound = float(text), float(wanted.number.number)
    except ValueError:
        return False
    return bool(COMPARISONS[wanted.op.name](number, bound))


def equals(wanted: Any, text: str) -> bool:
    if isinstance(wanted, SigmaRegularExpression):
        flags = re.NOFLAG
        for flag in wanted.flags:
            flags |= wanted.sigma_to_python_flags[flag]
        return re.search(str(wanted.regexp), text, flags) is not None
    if isinstance(wanted, SigmaCompareExpression):
        return compares(wanted, text)
    if isinstance(wanted, SigmaCIDRExpression):
        try:
            address = ip_address(text.removeprefix("::ffff:"))
        except ValueError:
            return False
        return address.version == wanted.network.version and address in wanted.network
    if isinstance(wanted, (SigmaNumber, SigmaBool)):
        return str(wanted).lower() == text.lower()
    assert isinstance(wanted, SigmaString)
    flags = re.DOTALL if isinstance(wanted, SigmaCasedString) else re.DOTALL | re.IGNORECASE
    return re.fullmatch(source(wanted), text, flags) is not None


def keyword(wanted: Any, text: str) -> bool:
    if isinstance(wanted, SigmaRegularExpression):
        return equals(wanted, text)
    pattern = source(wanted) if isinstance(wanted, SigmaString) else re.escape(str(wanted))
    return re.search(pattern, text, re.DOTALL | re.IGNORECASE) is not None


def related(wanted: SigmaFieldReference, text: str, other: str) -> bool:
    if wanted.starts_with and wanted.ends_with:
        return other in text
    if wanted.starts_with:
        return text.startswith(other)
    return text.endswith(other) if wanted.ends_with else text == other


def source(wanted: SigmaString) -> str:
    return "".join(re.escape(p) if isinstance(p, str) else WILDCARDS[p] for p in wanted.s)
