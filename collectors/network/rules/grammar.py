"""The text of packet rules enters, rules split into their parts leave; `compiling.py` says what a keyword means.

Source of the language: https://docs.suricata.io/en/latest/rules/intro.html. A rule is a line; a backslash at the end of
a line goes on with the next one.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.messages import say

#: Bytes of a rule; the longest of ET Open, lists of addresses, have about 20,000.
MAX_RULE = 200_000
#: Keywords of a rule.
MAX_OPTIONS = 500
_HEADER = re.compile(r"(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(->|<>|<-)\s+(\S+)\s+(\S+)\s*\((.*)\)\s*")
_SPACES_IN_LIST = re.compile(r"\s*([\[\],])\s*")
_SID = re.compile(r"[;(]\s*sid\s*:\s*(\d+)")


class Refused(ValueError):
    """A rule that is not loaded: which keyword of it, and why."""

    def __init__(self, key: str, keyword: str = "", **values: object) -> None:
        super().__init__(say(f"packet_rules.{key}", keyword=keyword, **values))
        self.key, self.keyword = key, keyword


class Option(NamedTuple):
    """A keyword with its value as it stands in the rule; "" where it has none."""

    keyword: str
    value: str


class Parsed(NamedTuple):
    """A rule in its parts. Text stands for bytes, one sign each (Latin 1)."""

    action: str
    protocol: str
    source: str
    source_port: str
    both_ways: bool
    destination: str
    destination_port: str
    options: tuple[Option, ...]


def lines(content: bytes) -> Iterator[tuple[int, str]]:
    """Yield the rules of a file with the number of their first line; comments and empty lines are left out."""
    held, first = "", 0
    for number, raw in enumerate(content.decode("latin-1").split("\n"), 1):
        line = raw.rstrip("\r").rstrip()
        first = first or number
        if line.endswith("\\") and not held.lstrip().startswith("#") and not line.lstrip().startswith("#"):
            held += line[:-1] + " "
            continue
        text, held = (held + line).strip(), ""
        if text and not text.startswith("#"):
            yield first, text
        first = 0
    if held.strip():
        yield first, held.strip()


def sid_of(text: str) -> str:
    """Return the number of a rule that may be broken, "" where it has none."""
    found = _SID.search(text)
    return found[1] if found else ""


def parse(text: str) -> Parsed:
    """Split a rule.

    Raises:
        Refused: it is none.
    """
    if len(text) > MAX_RULE:
        raise Refused("too_long", size=len(text), most=MAX_RULE)
    start = text.find("(")
    head = _SPACES_IN_LIST.sub(r"\1", text[:start]) if start > 0 else text
    # A list begins a word of its own, however it is spaced.
    head = re.sub(r"(->|<>|<-)\[", r"\1 [", re.sub(r"\](->|<>|<-)", r"] \1", head))
    head = re.sub(r"(?<=[^\s,\[!])\[", " [", re.sub(r"\](?=[^\s,\]])", "] ", head))
    found = _HEADER.fullmatch(head + (text[start:] if start > 0 else ""))
    if found is None:
        raise Refused("no_rule")
    if found[5] == "<-":
        raise Refused("bad_value", "<-", value="<-", expected="-> <>")
    options = tuple(_options(found[8]))
    return Parsed(found[1], found[2].lower(), found[3], found[4], found[5] == "<>", found[6], found[7], options)


def _options(body: str) -> Iterator[Option]:
    """Split at each semicolon that has no backslash before it, as Suricata does, also within quotes."""
    start = at = count = 0
    while at < len(body):
        if body[at] == "\\":
            at += 2
            continue
        if body[at] == ";":
            keyword, _, value = body[start:at].partition(":")
            keyword = keyword.strip().lower()
            if not keyword:
                raise Refused("no_keyword", value=body[start : at + 1].strip()[:40])
            count += 1
            if count > MAX_OPTIONS:
                raise Refused("too_many_keywords", most=MAX_OPTIONS)
            yield Option(keyword, value.strip())
            start = at + 1
        at += 1
    if body[start:].strip():
        raise Refused("unended", value=body[start:].strip()[:40])


def quoted(option: Option) -> tuple[bool, str]:
    """Return whether a value in quotes is negated, and what stands between the quotes.

    Raises:
        Refused: it does not stand in quotes.
    """
    value = option.value
    negated = value.startswith("!")
    if negated:
        value = value[1:].lstrip()
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        raise Refused("bad_value", option.keyword, value=option.value[:60], expected='"…"')
    return negated, value[1:-1]


def content_bytes(keyword: str, text: str) -> bytes:
    """Return the bytes of a content: text with `\\` before `;`, `"`, `:` and `\\`, and hexadecimal between bars.

    Raises:
        Refused: it is empty, or not hexadecimal between bars.
    """
    found = bytearray()
    at, in_hex, digits = 0, False, ""
    while at < len(text):
        sign = text[at]
        if in_hex:
            if sign == "|":
                if len(digits) % 2:
                    raise Refused("bad_value", keyword, value=text[:60], expected="|00 0a ff|")
                found += bytes.fromhex(digits)
                in_hex, digits = False, ""
            elif sign in "0123456789abcdefABCDEF":
                digits += sign
            elif sign not in " \t":
                raise Refused("bad_value", keyword, value=text[:60], expected="|00 0a ff|")
        elif sign == "|":
            in_hex = True
        elif sign == "\\" and at + 1 < len(text) and text[at + 1] in ';":\\':
            at += 1
            found.append(ord(text[at]))
        else:
            found.append(ord(sign))
        at += 1
    if in_hex or not found:
        raise Refused("bad_value", keyword, value=text[:60] or '""', expected="|00 0a ff|" if in_hex else '"…"')
    return bytes(found)


def plain(text: str) -> str:
    """Return a text for people: its bytes as UTF-8, without the backslashes of the language."""
    return re.sub(r"\\([;\":\\])", r"\1", text).encode("latin-1").decode("utf-8", "backslashreplace")
