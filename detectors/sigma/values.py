"""Rule values: what a rule's YAML says becomes a typed value; modifiers turn one value into
another.

Specification v2.1.0, "Modifiers". pySigma's own modifier chain is not used where it differs: it
counts characters instead of UTF-8 bytes in `base64offset`, refuses non-ASCII text under `wide`,
lacks `utf16le`, and writes a wrong byte order mark for `utf16`. Its string parser (wildcards and
escapes) is.
"""

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import product
from typing import TypeAlias

from sigma.types import SigmaString, SpecialChars

from detectors.sigma.errors import RuleRefused
from pipeline.messages import Sentence


class Wild(Enum):
    """Parts of a pattern that are not text."""

    MANY = "*"
    ONE = "?"
    DASH = "windash"


DASHES = "-/\u2013\u2014\u2015"  # hyphen, slash, en dash, em dash, horizontal bar
MAX_DASH_VARIANTS = 625  # base64 of a value with windash: 5 variants a dash, so four dashes
MIN_OFFSET_BYTES = 3  # a shorter text leaves an empty piece at some offset, which matches anything

_SPECIAL = re.compile(r"[*?\\]")
_SWITCH = re.compile(rf"\B[{DASHES}]\b")
_PLACEHOLDER = re.compile(r"(?<!\\)%[^%]+%")


@dataclass(frozen=True, slots=True)
class Pattern:
    """Plain text with wildcards. `octets`: the text is bytes in Latin-1, made by a `utf16`
    modifier.
    """

    parts: tuple[str | Wild, ...]
    cased: bool = False
    octets: bool = False


@dataclass(frozen=True, slots=True)
class Regex:
    pattern: str
    flags: re.RegexFlag = re.NOFLAG


@dataclass(frozen=True, slots=True)
class Network:
    network: IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Comparison:
    """`operator` is one of `==`, `<`, `<=`, `>`, `>=`; `part` names the part of a time stamp to
    compare.
    """

    number: int | float
    operator: str = "=="
    part: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """The value of another field. `place` is `equals`, `contains`, `startswith` or `endswith`."""

    field: str
    place: str = "equals"
    cased: bool = False


@dataclass(frozen=True, slots=True)
class Exists:
    wanted: bool


@dataclass(frozen=True, slots=True)
class Null:
    pass


Value: TypeAlias = Pattern | Regex | Network | Comparison | Reference | Exists | Null
Raw: TypeAlias = str | int | float | bool | None


def typed(raw: Raw, modifiers: list[str]) -> list[Value]:
    """The values one raw YAML value stands for after all modifiers; several are alternatives (OR).

    Raises `RuleRefused` for an unknown modifier, or one that does not go with the value.
    """
    first = modifiers[0] if modifiers else ""
    try:
        start = _FIRST.get(first, _plain)(raw)
        values = [start]
        for name in modifiers[1:] if first in _FIRST else modifiers:
            modifier = _MODIFIERS.get(name)
            if modifier is None:
                raise _why_not(name, modifiers)
            values = [result for value in values for result in modifier(value)]
    except (TypeError, UnicodeError) as mismatch:
        why = mismatch.args[0] if isinstance(mismatch, TypeError) and mismatch.args else str(mismatch)
        raise RuleRefused("no_fit", value=repr(raw), modifiers="|".join(modifiers), why=why) from mismatch
    return values


def parse(text: str) -> tuple[str | Wild, ...]:
    """Text with `*` and `?` as wildcards and backslash escapes (specification, "Escaping")."""
    if not _SPECIAL.search(text):
        return (text,) if text else ()
    names = {SpecialChars.WILDCARD_MULTI: Wild.MANY, SpecialChars.WILDCARD_SINGLE: Wild.ONE}
    return tuple(part if isinstance(part, str) else names[part] for part in _parts(text))


def _parts(text: str) -> list[str | SpecialChars]:
    return [part for part in SigmaString(text).s if isinstance(part, (str, SpecialChars))]


def number_text(number: int | float) -> str:
    """A number as the text it equals: 4624, 1.5; a whole float has no fraction."""
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return str(number)


def _plain(raw: Raw) -> Value:
    if raw is None:
        return Null()
    if isinstance(raw, bool):
        return Pattern(("true" if raw else "false",))
    if isinstance(raw, (int, float)):
        return Pattern((number_text(raw),))
    return Pattern(parse(raw))


def _regex(raw: Raw) -> Value:
    if raw is None or isinstance(raw, bool):
        raise RuleRefused("no_expression", value=repr(raw))
    return Regex(str(raw))


def _cidr(raw: Raw) -> Value:
    try:
        return Network(ip_network(str(raw)))
    except ValueError as error:
        raise RuleRefused("no_network", why=str(error)) from error


def _exists(raw: Raw) -> Value:
    if not isinstance(raw, bool):
        raise RuleRefused("no_truth", value=repr(raw))
    return Exists(raw)


def _reference(raw: Raw) -> Value:
    if not isinstance(raw, str) or not raw or any(isinstance(p, Wild) for p in parse(raw)):
        raise RuleRefused("no_field", value=repr(raw))
    return Reference("".join(str(part) for part in parse(raw)))


def _number(raw: Raw) -> int | float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        raise RuleRefused("no_number", value=repr(raw))
    return raw


def _compare(operator: str, raw: Raw) -> Value:
    return Comparison(_number(raw), operator)


def _time_part(part: str, raw: Raw) -> Value:
    return Comparison(_number(raw), part=part)


def _then_compare(operator: str, value: Value) -> list[Value]:
    if not isinstance(value, Comparison) or not value.part:
        raise TypeError(Sentence("sigma.comparison_follows"))
    return [replace(value, operator=operator)]


def _place(name: str, value: Value) -> list[Value]:
    if isinstance(value, Reference):
        return [replace(value, place=name)]
    if isinstance(value, Regex):  # a search contains already
        if name == "startswith":
            return [replace(value, pattern=rf"\A(?:{value.pattern})")]
        return [value if name == "contains" else replace(value, pattern=rf"(?:{value.pattern})\Z")]
    parts = _pattern(value, name).parts
    if name != "startswith" and parts[:1] != (Wild.MANY,):
        parts = (Wild.MANY, *parts)
    if name != "endswith" and parts[-1:] != (Wild.MANY,):
        parts = (*parts, Wild.MANY)
    return [replace(_pattern(value, name), parts=parts)]


def _cased(value: Value) -> list[Value]:
    if isinstance(value, Reference):
        return [replace(value, cased=True)]
    return [replace(_pattern(value, "cased"), cased=True)]


def _flag(flag: re.RegexFlag, value: Value) -> list[Value]:
    if not isinstance(value, Regex):
        raise TypeError(Sentence("sigma.flag_follows"))
    return [replace(value, flags=value.flags | flag)]


def _windash(value: Value) -> list[Value]:
    pattern = _pattern(value, "windash")
    parts: list[str | Wild] = []
    for part in pattern.parts:
        if isinstance(part, Wild):
            parts.append(part)
            continue
        for index, piece in enumerate(_SWITCH.split(part)):
            if index:
                parts.append(Wild.DASH)
            if piece:
                parts.append(piece)
    return [replace(pattern, parts=tuple(parts))]


def _utf16(codec: str, mark: str, value: Value) -> list[Value]:
    pattern = _pattern(value, codec)
    parts = [part if isinstance(part, Wild) else part.encode(codec).decode("latin-1") for part in pattern.parts]
    return [replace(pattern, parts=(mark, *parts) if mark else tuple(parts), octets=True)]


def _base64(value: Value) -> list[Value]:
    return [Pattern((b64encode(data).decode(),)) for data in _octets(value, "base64")]


def _base64_offset(value: Value) -> list[Value]:
    results: list[Value] = []
    for data in _octets(value, "base64offset"):
        if len(data) < MIN_OFFSET_BYTES:
            raise RuleRefused("too_few_bytes", least=MIN_OFFSET_BYTES, value=repr(data))
        for offset in range(3):
            encoded = b64encode(b" " * offset + data).decode()
            start = (0, 2, 3)[offset]
            end = (None, -3, -2)[(len(data) + offset) % 3]
            results.append(Pattern((encoded[start:end],)))
    return results


def _octets(value: Value, modifier: str) -> list[bytes]:
    """The bytes of a pattern without wildcards, one for each way to write its dashes."""
    pattern = _pattern(value, modifier)
    if Wild.MANY in pattern.parts or Wild.ONE in pattern.parts:
        raise RuleRefused("no_wildcards", modifier=repr(modifier))
    choices = [tuple(DASHES) if part is Wild.DASH else (str(part),) for part in pattern.parts]
    if len(DASHES) ** pattern.parts.count(Wild.DASH) > MAX_DASH_VARIANTS:
        raise RuleRefused("too_many_dashes", modifier=repr(modifier), most=MAX_DASH_VARIANTS)
    codec = "latin-1" if pattern.octets else "utf-8"
    return ["".join(variant).encode(codec) for variant in product(*choices)]


def _expand(value: Value) -> list[Value]:
    text = (
        value.pattern
        if isinstance(value, Regex)
        else "".join(part for part in _pattern(value, "expand").parts if isinstance(part, str))
    )
    found = _PLACEHOLDER.search(text)
    if found:
        raise RuleRefused("no_placeholder", name=found[0])
    return [value]


def _pattern(value: Value, modifier: str) -> Pattern:
    if not isinstance(value, Pattern):
        raise TypeError(Sentence("sigma.expects_text", modifier=repr(modifier)))
    return value


def _why_not(name: str, modifiers: list[str]) -> RuleRefused:
    if name in _FIRST:
        return RuleRefused("not_first", name=repr(name), modifiers="|".join(modifiers))
    known = ", ".join(sorted({*_FIRST, *_MODIFIERS, *OF_LISTS} - {""}))
    return RuleRefused("unknown_modifier", name=repr(name), known=known)


#: Modifiers of all values of a field together (`detection.py`).
OF_LISTS = ("all", "neq")
_OPERATORS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_FIRST: dict[str, Callable[[Raw], Value]] = {
    "re": _regex,
    "cidr": _cidr,
    "exists": _exists,
    "fieldref": _reference,
    **{name: partial(_compare, sign) for name, sign in _OPERATORS.items()},
    **{part: partial(_time_part, part) for part in ("minute", "hour", "day", "week", "month", "year")},
}
_MODIFIERS: dict[str, Callable[[Value], list[Value]]] = {
    **{place: partial(_place, place) for place in ("contains", "startswith", "endswith")},
    **{name: partial(_then_compare, sign) for name, sign in _OPERATORS.items()},
    "cased": _cased,
    "windash": _windash,
    "base64": _base64,
    "base64offset": _base64_offset,
    "utf16le": partial(_utf16, "utf-16le", ""),
    "wide": partial(_utf16, "utf-16le", ""),
    "utf16be": partial(_utf16, "utf-16be", ""),
    "utf16": partial(_utf16, "utf-16le", "\xff\xfe"),
    "expand": _expand,
    **{name: partial(_flag, re.IGNORECASE) for name in ("i", "ignorecase")},
    **{name: partial(_flag, re.MULTILINE) for name in ("m", "multiline")},
    **{name: partial(_flag, re.DOTALL) for name in ("s", "dotall")},
}
