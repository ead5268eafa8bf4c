"""How rare a text is in log lines: a text enters, an estimate of how many lines hold it leaves.

The words of a large sample of Windows and Linux logs are known with how often they come, likewise two words that stand
beside each other, and two signs of which one is no letter (`rarity.json`). A text is as rare as the rarest of what it
consists of. The estimate only chooses which texts are looked for: a bad one costs time, never a match.
`python -m detectors.sigma.rarity FILE…` makes the table anew from JSON lines.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

_TABLE = Path(__file__).with_name("rarity.json")
_MILLION = 1_000_000
#: What is rarer than this, in a million lines, is not in the table: words and signs, two words.
_KNOWN, _KNOWN_TWO = 500, 2_000
_WORD = re.compile(r"[a-z0-9]+")
_TWO_WORDS = re.compile(r"(?<![a-z0-9])(?=([a-z0-9]+[^a-z0-9]{1,3}[a-z0-9]+))")
#: Two signs of which one at least is neither letter nor digit; they may be the rarest part of a text, as in `~1`.
_SIGNS = re.compile(r"(?=([^a-z0-9][ -~]|[a-z0-9][^a-z0-9]))")
#: What of a sample is worth knowing elsewhere: words, names such as `system32`, event codes; no hashes and process ids.
_GENERAL = re.compile(r"[a-z]{1,24}[0-9]{0,3}|[0-9]{1,5}|0x[0-9a-f]{1,16}")
#: What is assumed of a word that is not in the table, in a million lines; of a number by its digits.
_UNKNOWN = 20.0
_UNKNOWN_NUMBER = (100_000.0, 100_000.0, 50_000.0, 10_000.0, 2_000.0, 200.0)
_ALWAYS = 1_000_000.0


@cache
def expected(text: str) -> float:
    """Return about how many of a million lines hold a text of lower-case ASCII."""
    if not text.isascii():
        return _UNKNOWN
    known, _, _ = _table()
    found = list(_WORD.finditer(text))
    rarest = min((_of_word(word[0], word.start() > 0, word.end() < len(text)) for word in found), default=_ALWAYS)
    for signs in _SIGNS.findall(text) if rarest > _KNOWN else ():
        rarest = min(rarest, known.get(signs, _KNOWN))
    for one, other in pairwise(found):
        if rarest > _KNOWN_TWO / 2 and other.start() - one.end() <= 3:
            two = text[one.start() : other.end()]
            rarest = min(rarest, _of_two(two, one.start() > 0, other.end() < len(text)))
    return float(rarest)


def expected_word(word: str) -> float:
    """Return the same of a word with neither letter nor digit beside it."""
    return _of_word(word, True, True)


@cache
def _of_word(word: str, begins: bool, ends: bool) -> float:
    """Return how often a word comes; one that does not begin or end here may be a part of others."""
    known, words, _ = _table()
    unknown = _UNKNOWN if not word.isdigit() else _UNKNOWN_NUMBER[min(len(word), len(_UNKNOWN_NUMBER) - 1)]
    if begins and ends:
        return known.get(word, unknown)
    return max((known[whole] for whole in _holding(_part(word, begins, ends), words)), default=unknown)


@cache
def _of_two(words: str, begins: bool, ends: bool) -> float:
    """Return the same of two words beside each other; unless both are known, one of them is rarer than this."""
    known, _, pairs = _table()
    return max((known[whole] for whole in _holding(_part(words, begins, ends), pairs)), default=_KNOWN_TWO / 2)


def _part(text: str, begins: bool, ends: bool) -> str:
    return f"{_END if begins else ''}{text}{_END if ends else ''}"


#: Between the entries of a joined table.
_END = "\n"


def _holding(part: str, joined: str) -> Iterator[str]:
    """Yield the entries of a joined table that hold a part."""
    at = joined.find(part)
    while at >= 0:
        begin = joined.rindex(_END, 0, at + 1) + 1
        end = joined.index(_END, at + max(1, len(part) - 1))
        yield joined[begin:end]
        at = joined.find(part, end)


@cache
def _table() -> tuple[dict[str, float], str, str]:
    """Return how many of a million lines hold something, all words joined, and all two words joined."""
    known: dict[str, float] = json.loads(_TABLE.read_text("ascii"))
    words = filter(str.isalnum, known)
    pairs = (entry for entry in known if len(_WORD.findall(entry)) == 2)
    return known, _END.join(["", *words, ""]), _END.join(["", *pairs, ""])


def table_of(lines: Iterable[bytes]) -> dict[str, int]:
    """Count in how many of a million lines each word, two words and two signs are."""
    counts: Counter[str] = Counter()
    number = 0
    for line in lines:
        number += 1
        text = line.decode("latin-1").lower()
        counts.update({*_WORD.findall(text), *_SIGNS.findall(text), *_TWO_WORDS.findall(text)})
    shares = {entry: count * _MILLION // number for entry, count in sorted(counts.items()) if _is_general(entry)}
    return {entry: share for entry, share in shares.items() if share >= (_KNOWN if len(entry) < 3 else _least(entry))}


def _least(entry: str) -> int:
    return _KNOWN if entry.isalnum() else _KNOWN_TWO


def _is_general(entry: str) -> bool:
    return entry.isascii() and all(_GENERAL.fullmatch(word) for word in _WORD.findall(entry))


def _lines(paths: Iterable[str]) -> Iterator[bytes]:
    for path in paths:
        yield from Path(path).read_bytes().splitlines()


if __name__ == "__main__":
    _TABLE.write_text(json.dumps(table_of(_lines(sys.argv[1:])), indent=0) + "\n", "ascii")
