"""Many texts of which one is looked for in a long value: all at once, with the answers of one after the other."""

from collections.abc import Callable

import orjson
import pytest

from detectors.sigma import RuleSet
from detectors.sigma.prefilter import Prefilter

_WORDS = [f"word{number}é" for number in range(20)] + [f"Plain {number}*" for number in range(20)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x" * 2000 + "WORD7É" + "y" * 2000, True),
        ("\n" * 600 + "plain 19*", True),
        ("x" * 2000 + "word7e", False),
        ("x" * 3000 + "plain 19", False),
        ("\udfff" * 600 + "word7é", True),
    ],
)
def test_many_texts_in_a_long_value(ruleset_of: Callable[..., RuleSet], text: str, found: bool) -> None:
    values = "".join(f"      - '{word}'\n".replace("*", r"\*") for word in _WORDS)
    rules = ruleset_of(
        "title: t\nid: 6c1d9f4e-0000-4000-8000-000000000001\nlogsource: {product: app}\n"
        f"detection:\n  s:\n    text|contains:\n{values}  condition: s\n"
    )
    assert not rules.refused
    event = {"event.dataset": "app", "text": text}
    assert bool(rules.evaluate(event)) is found
    prefilter = Prefilter(rules.rules)
    if text.isprintable() or "\n" in text:
        lines = prefilter.candidates([orjson.dumps(event)])
        assert [bool(prefilter.matching(number, orjson.loads(line))) for number, line in lines] in ([found], [])
        assert not found or lines
