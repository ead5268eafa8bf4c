"""How groups are saved: hits and alerts as plain values, and these as hits and alerts again."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from detectors.correlations.group import Said
from detectors.correlations.hits import Hit
from detectors.sigma import Correlation
from detectors.sigma.correlation import Number


def signature_of(rule: Correlation) -> str:
    """What groups are kept by: another rule's, or those of the same rule as it was before, mean something else."""
    return f"{rule.id} {rule.signature}"


def plain(hit: Hit) -> list[Any]:
    """A hit as JSON can say it."""
    values = [list(value) if isinstance(value, tuple) else str(value) for value in hit.values]
    lines = hit.lines.decode() if isinstance(hit.lines, bytes) else [line.decode() for line in hit.lines]
    return [hit.time, hit.id, hit.part, values, lines]


def hit_of(given: list[Any]) -> Hit:
    """A hit as it was before."""
    time, identifier, part, values, lines = given
    return Hit(
        time,
        identifier,
        part,
        tuple(tuple(value) if isinstance(value, list) else _exact(value) for value in values),
        lines.encode() if isinstance(lines, str) else tuple(line.encode() for line in lines),
    )


def said_of(given: list[Any], numbers: Mapping[int, int]) -> list[Said]:
    """What was said early, as it was before; `numbers` are those that its correlations have now by those they had."""
    return [
        Said(time, identifier, tuple((numbers[was], part, tuple(key)) for was, part, key in placed if was in numbers))
        for time, identifier, placed in given
    ]


def _exact(text: str) -> Number:
    exact = Fraction(text)
    return int(exact) if exact.denominator == 1 else exact
