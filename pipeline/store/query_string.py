"""The query bar: a Lucene-style text enters, a tree of conditions (`query.py`) leaves, or the place of the fault.

Grammar (after Lucene's classic query parser, https://lucene.apache.org/core/9_0_0/queryparser/): words and "phrases",
`field:value`, `field:(a OR b)`, `*` and `?`, `field:[1 TO 5}`, `field:>=5`, `field:*`, `_exists_:field`, `AND OR NOT
&& || ! + -`, parentheses, `\\` before a special sign. Words side by side are all wanted (AND). A CIDR block is a value.
Written by hand, because the libraries for it give no position of the fault at the end of a text and no IPv6 address.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from pipeline.messages import say
from pipeline.store import SearchError
from pipeline.store import query as q

MAX_LENGTH = 10_000
_MAX_DEPTH = 30
_SPACE = " \t\r\n\u3000"
_ENDS_WORD = _SPACE + '()"'
_FIELD = re.compile(r"[^\s():\"\\<>=!\[\]{}*?+\-][^\s():\"<>=\[\]{}]*:")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_SPECIAL = set('\\+-!():^[]"{}~*?|&/ ')
#: What is meant as a block of addresses.
_NETWORK = re.compile(r"(\d{1,3}\.){3}\d{1,3}/\d+|[0-9A-Fa-f:]*:[0-9A-Fa-f:]*/\d+")
_COMPARISON = re.compile(r">=|<=|>|<")


#: Where an address stands in events that have no line of text, as those of network sensors.
_ADDRESS_FIELDS = ("source.ip", "destination.ip", "client.ip", "server.ip", "host.ip", "dns.resolved_ip")


class QueryFault(SearchError):
    """A text that is no query. `position` counts characters from 0; `reason` says what was expected there."""

    def __init__(self, text: str, position: int, reason: str) -> None:
        super().__init__(
            "search.fault_at", position=position + 1, reason=reason, text=text, pointer=" " * position + "^"
        )
        self.position = position
        self.reason = reason


def parse_text(text: str) -> q.Condition:
    """Read what stands in a query bar; an empty text means everything.

    Raises:
        QueryFault: with the position of the first character that cannot be understood.
    """
    if len(text) > MAX_LENGTH:
        raise QueryFault(text[:40] + "…", MAX_LENGTH, say("search.too_long", limit=MAX_LENGTH))
    parser = _Parser(text)
    if parser.at_end():
        return q.All()
    condition = parser.any_of(None)
    if not parser.at_end():
        raise parser.fault("search.unexpected", sign=text[parser.position])
    return condition


@dataclass(slots=True)
class _Parser:
    text: str
    position: int = 0
    depth: int = 0

    def any_of(self, field: str | None) -> q.Condition:
        """`a OR b`"""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.fault("search.too_deep", limit=_MAX_DEPTH)
        parts = [self.all_of(field)]
        while self.takes_operator("OR", "||"):
            parts.append(self.all_of(field))
        self.depth -= 1
        return parts[0] if len(parts) == 1 else q.Combined(should=tuple(parts), least=1)

    def all_of(self, field: str | None) -> q.Condition:
        """`a AND b`, `a b`"""
        wanted: list[q.Condition] = []
        unwanted: list[q.Condition] = []
        while True:
            negative, condition = self.signed(field)
            (unwanted if negative else wanted).append(condition)
            if self.takes_operator("AND", "&&"):
                continue
            if self.at_end() or self.text[self.position] == ")" or self.sees_operator("OR", "||"):
                break
        if len(wanted) == 1 and not unwanted:
            return wanted[0]
        return q.Combined(must=tuple(wanted), must_not=tuple(unwanted))

    def signed(self, field: str | None) -> tuple[bool, q.Condition]:
        """`NOT a`, `-a`, `!a`, `+a`, `a`; says whether it was negated."""
        if self.takes_operator("NOT") or self.takes_sign("-") or self.takes_sign("!"):
            negative, condition = self.signed(field)
            return not negative, condition
        self.takes_sign("+")
        return False, self.one(field)

    def one(self, field: str | None) -> q.Condition:
        """A parenthesis, `field:value`, a phrase or a word."""
        if self.at_end():
            raise self.fault("search.want_term")
        if self.text[self.position] == "(":
            return self.group(field)
        if field is None and self.text.startswith("*:*", self.position):
            self.position += 3
            return q.All()
        if field is None:
            named = _FIELD.match(self.text, self.position)
            if named and not _looks_like_address(self.text, self.position):
                self.position = named.end()
                return self.value(_unescape(named.group()[:-1]))
        return self.value(field)

    def group(self, field: str | None) -> q.Condition:
        start = self.position
        self.position += 1
        condition = self.any_of(field)
        if self.at_end():
            raise self.fault("search.unclosed", at=start, sign="(")
        if self.text[self.position] != ")":
            raise self.fault("search.unexpected", sign=self.text[self.position])
        self.position += 1
        return condition

    def value(self, field: str | None) -> q.Condition:
        if self.position >= len(self.text) or self.text[self.position] in _SPACE + ")":
            raise self.fault("search.want_value", field=field or "")
        sign = self.text[self.position]
        if sign == "(":
            return self.group(field)
        if sign == '"':
            phrase = self.quoted()
            return q.Phrase(phrase) if field is None else q.equals(field, (phrase,))
        if field is not None and sign in "[{":
            return self.between(field)
        comparison = _COMPARISON.match(self.text, self.position) if field is not None else None
        if field is not None and comparison:
            self.position = comparison.end()
            return self.compared(field, comparison.group())
        return self.word(field)

    def word(self, field: str | None) -> q.Condition:
        start = self.position
        raw = self.raw_word(_ENDS_WORD)
        if not raw:
            raise self.fault("search.unexpected", sign=self.text[start])
        if field == "_exists_":
            return q.Exists(_unescape(raw))
        if field is None and raw in ("AND", "OR", "&&", "||", "TO"):
            raise self.fault("search.want_term", at=start)
        if field is None and raw[0] in "[]{}":
            raise self.fault("search.unexpected", at=start, sign=raw[0])
        pattern = _pattern(raw)
        if pattern is None:
            plain = _unescape(raw)
            if field is None:
                return _anywhere(plain)
            if _NETWORK.fullmatch(plain) and not q.is_network(plain):
                raise self.fault("search.no_network", at=start, value=plain)
            return q.equals(field, (plain,))
        if raw == "*":
            return q.All() if field is None else _exists(field)
        return q.Like(None, pattern) if field is None else q.like(field, pattern)

    def between(self, field: str) -> q.Condition:
        """`[a TO b]`, `{a TO b}` and mixed."""
        start = self.position
        include_low = self.text[start] == "["
        self.position += 1
        low = self.bound("]}")
        if not self.takes_operator("TO"):
            raise self.fault("search.want_to")
        high = self.bound("]}")
        if self.at_end():
            raise self.fault("search.unclosed", at=start, sign=self.text[start])
        if self.text[self.position] not in "]}":
            raise self.fault("search.unexpected", sign=self.text[self.position])
        include_high = self.text[self.position] == "]"
        self.position += 1
        return self.ranged(field, low, high, include_low, include_high, start)

    def compared(self, field: str, sign: str) -> q.Condition:
        start = self.position
        value = self.bound("")
        low, high = (value, None) if sign[0] == ">" else (None, value)
        return self.ranged(field, low, high, sign == ">=", sign == "<=", start)

    def ranged(
        self, field: str, low: str | None, high: str | None, at_low: bool, at_high: bool, start: int
    ) -> q.Condition:
        try:
            return q.within(field, _number(low), _number(high), at_low, at_high, field)
        except SearchError as error:
            raise QueryFault(self.text, start, str(error)) from error

    def bound(self, more_ends: str) -> str | None:
        self.at_end()
        if self.position < len(self.text) and self.text[self.position] == '"':
            return self.quoted()
        raw = self.raw_word(_ENDS_WORD + more_ends)
        if not raw:
            raise self.fault("search.want_bound")
        return None if raw == "*" else _unescape(raw)

    def quoted(self) -> str:
        start = self.position
        position = start + 1
        while position < len(self.text) and self.text[position] != '"':
            position += 2 if self.text[position] == "\\" else 1
        if position >= len(self.text):
            raise self.fault("search.unclosed", at=start, sign='"')
        self.position = position + 1
        return re.sub(r'\\(["\\])', r"\1", self.text[start + 1 : position])

    def raw_word(self, ends: str) -> str:
        start = self.position
        while self.position < len(self.text) and self.text[self.position] not in ends:
            self.position += 2 if self.text[self.position] == "\\" else 1
        self.position = min(self.position, len(self.text))
        return self.text[start : self.position]

    def at_end(self) -> bool:
        """Skip white space; say whether nothing is left."""
        while self.position < len(self.text) and self.text[self.position] in _SPACE:
            self.position += 1
        return self.position >= len(self.text)

    def sees_operator(self, *names: str) -> str | None:
        """Return the operator that stands here, whole."""
        self.at_end()
        for name in names:
            after = self.position + len(name)
            if self.text.startswith(name, self.position) and (
                not name.isalpha() or after >= len(self.text) or self.text[after] in _SPACE + '("'
            ):
                return name
        return None

    def takes_operator(self, *names: str) -> bool:
        name = self.sees_operator(*names)
        if name is not None:
            self.position += len(name)
        return name is not None

    def takes_sign(self, sign: str) -> bool:
        self.at_end()
        if self.text.startswith(sign, self.position):
            self.position += 1
            return True
        return False

    def fault(self, key: str, at: int | None = None, **values: Any) -> QueryFault:
        return QueryFault(self.text, self.position if at is None else at, say(key, **values))


def _anywhere(word: str) -> q.Condition:
    """Return the condition that a word stands in the line; an address may stand in a field of its own as well."""
    try:
        address = str(ip_address(word))
    except ValueError:
        return q.Phrase(word)
    return q.Combined(should=(q.Phrase(word), *(q.equals(name, (address,)) for name in _ADDRESS_FIELDS)), least=1)


def _exists(field: str) -> q.Condition:
    return q.All() if field in (q.TIME, "event.id") else q.Exists(field)


def _looks_like_address(text: str, position: int) -> bool:
    word = re.match(r"[0-9A-Fa-f:.]+(?:/\d+)?(?=[\s)]|$)", text[position : position + 60])
    return word is not None and word.group().count(":") > 1


def _unescape(raw: str) -> str:
    return _ESCAPE.sub(lambda found: found[1] if found[1] in _SPECIAL else found[0], raw)


def _pattern(raw: str) -> str | None:
    """Return the word as a pattern of `q.Like`, or None where it has no wildcard."""
    parts: list[str] = []
    wild = False
    for sign in re.findall(r"\\.|.", raw, re.DOTALL):
        if sign in "*?":
            wild = True
            parts.append(sign)
        else:
            parts.append(q.escape(_unescape(sign)))
    return "".join(parts) if wild else None


def _number(text: str | None) -> q.Value | None:
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text) if re.fullmatch(r"[+-]?\d+\.\d+(e[+-]?\d+)?", text) else text
    except ValueError:
        return text
