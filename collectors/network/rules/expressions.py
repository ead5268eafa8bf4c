"""A regular expression of a rule enters, a search that cannot hang leaves.

Chimera (of Hyperscan) is PCRE itself behind Hyperscan's automata: it takes all of the language, and gives up a search
after PCRE's ten million steps, some 0.1 s.
"""

import contextlib
import re
from collections.abc import Callable
from functools import lru_cache

import hyperscan

from collectors.network.rules.grammar import Refused

#: Signs of an expression.
MAX_EXPRESSION = 8_192
#: Matches of one search that are looked at.
MAX_MATCHES = 100
_FLAGS = {
    "i": hyperscan.CH_FLAG_CASELESS, "s": hyperscan.CH_FLAG_DOTALL, "m": hyperscan.CH_FLAG_MULTILINE,
}  # fmt: skip
#: Flags that stand in the expression itself.
_INLINE = {"x": "x", "G": "U"}
#: Flags that mean nothing here: our limits are not lifted (O), and a payload is raw (B).
_WITHOUT_MEANING = frozenset("OB")
_DELIMITED = re.compile(r"/(.*)/([A-Za-z]*)", re.DOTALL)
#: Flags that name the buffer (docs.suricata.io, "pcre (Perl Compatible Regular Expressions)").
BUFFERS = {
    "U": "http.uri", "I": "http.uri.raw", "P": "http.request_body", "Q": "http.response_body", "H": "http.header",
    "D": "http.header.raw", "M": "http.method", "C": "http.cookie", "S": "http.stat_code", "Y": "http.stat_msg",
    "V": "http.user_agent", "W": "http.host", "Z": "http.host.raw",
}  # fmt: skip


def split(text: str) -> tuple[str, str]:
    """Return an expression and its flags.

    Raises:
        Refused: it does not stand between slashes.
    """
    found = _DELIMITED.fullmatch(text)
    if found is None:
        raise Refused("bad_value", "pcre", value=text[:60], expected='"/…/ismxAGRU…"')
    return found[1], found[2]


class Search:
    """Finds an expression in bytes; of all rules with the same one there is one."""

    __slots__ = ("_database", "_found", "_most")

    def __init__(self, expression: bytes, flags: int) -> None:
        self._database = hyperscan.Database(mode=hyperscan.CH_MODE_NOGROUPS, chimera=True)
        self._database.compile(expressions=[expression], ids=[0], flags=[flags])
        self._found: list[tuple[int, int]] = []
        self._most = 1

    def spans(self, data: bytes, several: bool) -> list[tuple[int, int]]:
        """Return where the first match lies, or the first ones, one after the other."""
        self._found, self._most = [], MAX_MATCHES if several else 1
        with contextlib.suppress(hyperscan.ScanTerminated):  # enough were found
            self._database.scan(data, self._note)
        return self._found

    def _note(self, _number: int, start: int, end: int, *_: object) -> bool:
        self._found.append((start, end))
        return len(self._found) >= self._most


Compiler = Callable[[str, str], Search]


def compiler() -> Compiler:
    """Return what compiles expressions with their flags, each once; a search is of one thread."""
    return lru_cache(maxsize=None)(_compiled)


def _compiled(expression: str, letters: str) -> Search:
    """Compile an expression.

    Raises:
        Refused: PCRE does not take it, or it has a flag that we do not.
    """
    flags, inline = 0, ""
    for letter in letters:
        if letter in _FLAGS:
            flags |= _FLAGS[letter]
        elif letter in _INLINE:
            inline += _INLINE[letter]
        elif letter == "A":
            expression = rf"\A(?:{expression})"
        elif letter not in _WITHOUT_MEANING:
            raise Refused("bad_value", "pcre", value=f"/{letter}", expected="/ismxAGRUIPQHDMCSYVWZOB")
    if inline:
        expression = f"(?{inline}){expression}"
    if len(expression) > MAX_EXPRESSION:
        raise Refused("bad_expression", "pcre", expression=f"{expression[:60]}…", fault=f"> {MAX_EXPRESSION}")
    try:
        return Search(expression.encode("latin-1").replace(b"\0", rb"\x00"), flags)
    except hyperscan.error as fault:
        raise Refused("bad_expression", "pcre", expression=expression[:100], fault=fault) from fault
