"""Files of packet rules enter, rules that can be asked together leave, with those that are refused.

Of each rule one content is filed; one Hyperscan database finds those of all rules in a text at once, without case. It
only ever weakens: a rule whose content was found is then asked exactly.
"""

import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import hyperscan

from collectors.network.rules.buffers import PAYLOAD
from collectors.network.rules.compiling import compile_rule
from collectors.network.rules.expressions import compiler
from collectors.network.rules.grammar import Refused, lines, sid_of
from collectors.network.rules.header import Networks, Variables
from collectors.network.rules.rule import PacketRule
from pipeline.messages import say
from pipeline.shipped import SHIPPED, shipped_rules

#: Bytes of a file of rules, and rules at once.
MAX_FILE, MAX_RULES = 64_000_000, 200_000
_GLOB = re.compile(r"[*?\[]")


class NotLoaded(NamedTuple):
    """A rule that is refused, or a file that cannot be read (`line` 0)."""

    file: str
    line: int
    sid: str
    keyword: str
    kind: str
    reason: str

    @property
    def text(self) -> str:
        """Return where it is and why."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {f'sid {self.sid}: ' if self.sid else ''}{self.reason}"


@dataclass(slots=True)
class Loading:
    """What became of the files."""

    rules: list[PacketRule] = field(default_factory=list)
    refused: list[NotLoaded] = field(default_factory=list)

    def reasons(self) -> Counter[str]:
        """Return how many were refused for which keyword or cause."""
        return Counter(f"{item.kind} {item.keyword}".strip() for item in self.refused)


def files_of(patterns: Iterable[Path]) -> list[Path]:
    """Return the files that paths, folders (all `*.rules` below) and patterns name; what is not there stays named.

    `haidang` are the rules that we ship.
    """
    found: dict[Path, None] = {}
    for given in patterns:
        pattern = shipped_rules() / "packets" if given == SHIPPED else given
        if pattern.is_dir():
            named = sorted(pattern.rglob("*.rules"))
        elif _GLOB.search(str(pattern)) and not pattern.exists():
            parts = pattern.parts
            base = next(number for number, part in enumerate(parts) if _GLOB.search(part))
            named = sorted(Path(*parts[:base]).glob(str(Path(*parts[base:]))))
        else:
            named = [pattern]
        found.update(dict.fromkeys(named))
    return list(found)


def load(patterns: Iterable[Path], variables: Mapping[str, str] | None = None) -> Loading:
    """Read the files. One bad rule costs no other; of two with the same sid the newer, else the first, counts."""
    loading, known = Loading(), dict[tuple[int, int], PacketRule]()
    values, expressions = Variables(variables), compiler()
    for path in files_of(patterns):
        try:
            if path.stat().st_size > MAX_FILE:
                raise OSError(say("packet_rules.too_long", size=path.stat().st_size, most=MAX_FILE))
            content = path.read_bytes()
        except OSError as error:
            loading.refused.append(NotLoaded(str(path), 0, "", "", "file", error.strerror or str(error)))
            continue
        for line, text in lines(content):
            place = f"{path}:{line}"
            try:
                if len(known) >= MAX_RULES:
                    raise Refused("too_many_rules", most=MAX_RULES)
                rule = compile_rule(text, values, expressions, place)
                other = known.get((rule.gid, rule.sid))
                if other is not None and other.revision >= rule.revision:
                    raise Refused("repeated", "sid", value=rule.sid, place=other.place)
                known[rule.gid, rule.sid] = rule
            except Refused as fault:
                refused = NotLoaded(str(path), line, sid_of(text), fault.keyword, fault.key, str(fault))
                loading.refused.append(refused)
    loading.rules = list(known.values())
    return loading


class RuleSet:
    """Rules that are asked together. A set, and what it is asked with, is of one thread."""

    def __init__(self, loading: Loading) -> None:
        started = time.monotonic()
        self.loading = loading
        self.rules = _in_order(loading.rules)
        numbers: dict[bytes, int] = {}
        filed: dict[str, dict[int, list[PacketRule]]] = {}
        always: dict[str, list[PacketRule]] = {}
        heads = []
        for rule in self.rules:
            if rule.fast is not None:
                number = numbers.setdefault(rule.fast.lower(), len(numbers))
                for kind in rule.kinds:
                    filed.setdefault(kind, {}).setdefault(number, []).append(rule)
            elif rule.groups or rule.per_packet:
                for kind in rule.kinds:
                    always.setdefault(kind, []).append(rule)
            else:
                heads.append(rule)
        self.filed = {kind: {n: tuple(found) for n, found in by.items()} for kind, by in filed.items()}
        self.always = {kind: tuple(found) for kind, found in always.items()}
        self.headers = Headers(heads)
        self.payloads = Headers(self.always.get(PAYLOAD, ()))
        self.patterns = len(numbers)
        #: Bytes before new ones in which a content may begin that ends in them.
        self.carry = max(map(len, numbers), default=1) - 1
        self._scan = _database(numbers).scan if numbers else None
        self._found: list[int] = []
        self.seconds = time.monotonic() - started

    def candidates(self, kind: str, text: bytes) -> list[PacketRule]:
        """Return the rules of which a content stands in the text, in their order."""
        filed = self.filed.get(kind)
        if filed is None or self._scan is None:
            return []
        found = self._found
        found.clear()
        self._scan(text, self._note)
        if not found:
            return []
        rules = [rule for number in found if number in filed for rule in filed[number]]
        if len(rules) > 1:
            rules.sort(key=_order)
        return rules

    def _note(self, number: int, *_: object) -> None:
        self._found.append(number)


class Headers:
    """Rules without contents, by the networks that they are about: lists of addresses have thousands."""

    def __init__(self, rules: Sequence[PacketRule]) -> None:
        self._anywhere: list[PacketRule] = []
        self._by_network: dict[tuple[bool, int, int], dict[int, list[PacketRule]]] = {}
        for rule in rules:
            sides = [(True, rule.header.source.only), (False, rule.header.destination.only)]
            named = [(is_source, only) for is_source, only in sides if only is not None]
            if not named or rule.header.both_ways:
                self._anywhere.append(rule)
                continue
            is_source, only = max(named, key=lambda each: _narrowness(each[1]))
            for network in only.all:
                key = is_source, network.max_prefixlen // 8, int(network.netmask)
                self._by_network.setdefault(key, {}).setdefault(int(network.network_address), []).append(rule)

    def of(self, source: bytes, source_port: int, destination: bytes, destination_port: int) -> list[PacketRule]:
        """Return the rules whose header a packet fits, in their order."""
        found = list(self._anywhere)
        numbers = int.from_bytes(source, "big"), int.from_bytes(destination, "big")
        for (is_source, size, mask), networks in self._by_network.items():
            if size == len(source):
                found += networks.get(numbers[not is_source] & mask, ())
        fitting = {
            rule.order: rule for rule in found if rule.header.fits(source, source_port, destination, destination_port)
        }
        return [fitting[order] for order in sorted(fitting)]


def _narrowness(networks: Networks) -> int:
    return min((network.prefixlen for network in networks.all), default=0)


def _order(rule: PacketRule) -> int:
    return rule.order


def _in_order(rules: Sequence[PacketRule]) -> list[PacketRule]:
    """Put who sets a mark before who asks for it: so both may be of one packet."""
    setters: dict[str, list[PacketRule]] = {}
    for rule in rules:
        for bit in rule.marks:
            for name in bit.names:
                setters.setdefault(name, []).append(rule)
    depths: dict[int, int] = {}

    def depth(rule: PacketRule, seen: frozenset[int]) -> int:
        known = depths.get(id(rule))
        if known is not None or id(rule) in seen or len(seen) > 20:
            return known or 0
        names = [name for bit in rule.checks for name in bit.names]
        before = {id(each): each for name in names for each in setters.get(name, ()) if each is not rule}
        depths[id(rule)] = found = 1 + max((depth(each, seen | {id(rule)}) for each in before.values()), default=-1)
        return found

    ordered = sorted(rules, key=lambda rule: depth(rule, frozenset()))
    for number, rule in enumerate(ordered):
        rule.order = number
    return ordered


def _database(numbers: Mapping[bytes, int]) -> hyperscan.Database:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = [hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_DOTALL] * len(numbers)
    database.compile(expressions=[_expression(text) for text in numbers], ids=list(numbers.values()), flags=flags)
    return database


def _expression(text: bytes) -> bytes:
    return b"".join(b"%c" % sign if chr(sign).isalnum() and sign < 128 else rb"\x%02x" % sign for sign in text)
