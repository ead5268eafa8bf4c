"""What was seen of a device enters, how much it speaks for which kind of device leaves. Pure.

The weights are in `kinds.toml`, as probabilities. What is said by different means adds up (noisy or: 1 − ∏(1 − w)); of
what is said by the same means the strongest counts once, so a thousand requests of one browser are one piece of
evidence. Without enough of it, or where two kinds are about as likely, the kind is `unknown`.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from pipeline.devices import KINDS

#: Below this the kind is unknown.
_ENOUGH = 0.3
#: Characters of a text that is looked at: what matters stands at its beginning.
_MOST = 300
#: An operating system that is said by more is the one that counts.
_OS_WEIGHT = "os_weight"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece: what was seen where, the kinds that it speaks for, the system that it names."""

    hint: str
    text: str
    weights: tuple[tuple[str, float], ...]
    os: str = ""
    os_weight: float = 0.0


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    weights: tuple[tuple[str, float], ...]
    os: str
    os_weight: float


@cache
def _rules() -> Mapping[str, tuple[_Rule, ...]]:
    """Return the rules of `kinds.toml` by what they look at.

    Raises:
        ValueError: a rule names a kind that is none, or a weight that is no probability.
    """
    found: dict[str, list[_Rule]] = {}
    for hint, rules in tomllib.loads(files(__package__).joinpath("kinds.toml").read_text("utf-8")).items():
        for rule in rules:
            weights = {name: value for name, value in rule.items() if name not in ("match", "os", _OS_WEIGHT)}
            if wrong := [name for name, value in weights.items() if name not in KINDS or not 0 < value < 1]:
                raise ValueError(f"kinds.toml, {hint}, {rule['match']}: {', '.join(wrong)}")
            made = _Rule(
                re.compile(rule["match"], re.IGNORECASE), tuple(weights.items()), rule.get("os", ""),
                rule.get(_OS_WEIGHT, 0.5),
            )  # fmt: skip
            found.setdefault(hint, []).append(made)
    return {hint: tuple(rules) for hint, rules in found.items()}


@lru_cache(65_536)
def weigh(hint: str, text: str) -> Evidence | None:
    """Return what a text says of a device's kind or system; None where nobody has said what it means."""
    text = text[:_MOST]
    for rule in _rules().get(hint, ()):
        if rule.pattern.search(text):
            return Evidence(hint, text, rule.weights, rule.os, rule.os_weight)
    return None


def judge(evidence: Iterable[Evidence]) -> tuple[str, float]:
    """Return the kind of a device and how certain that is, from 0 to 1."""
    strongest: dict[str, dict[str, float]] = {}
    for piece in evidence:
        weights = strongest.setdefault(piece.hint, {})
        for kind, weight in piece.weights:
            weights[kind] = max(weight, weights.get(kind, 0.0))
    against: dict[str, float] = {}
    for weights in strongest.values():
        for kind, weight in weights.items():
            against[kind] = against.get(kind, 1.0) * (1 - weight)
    ranked = sorted(((1 - left, kind) for kind, left in against.items()), reverse=True)
    if not ranked:
        return "unknown", 0.0
    best, kind = ranked[0]
    second = ranked[1][0] if len(ranked) > 1 else 0.0
    certain = round(best * (1 - second / 2), 2)
    return (kind, certain) if certain >= _ENOUGH else ("unknown", certain)


def system(evidence: Iterable[Evidence]) -> str:
    """Return the operating system that most speaks for; "" where nothing does."""
    votes: dict[str, float] = {}
    for piece in evidence:
        if piece.os:
            votes[piece.os] = 1 - (1 - votes.get(piece.os, 0.0)) * (1 - piece.os_weight)
    return max(votes, key=lambda name: (votes[name], name)) if votes else ""
