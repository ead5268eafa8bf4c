"""Whatever an event holds, evaluation neither raises nor depends on the way rules are found."""

from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.sigma import RuleSet

RULES = RuleSet.load(Path(__file__).parents[3] / "rules")
KEYS = sorted(
    {
        "event.dataset", "event.code", "EventID", "Channel", "winlog.channel", "message", "a", "",
        "winlog.event_data.Image", "winlog.event_data.CommandLine", "winlog", "process", "source",
        "source.ip", "destination.port", "url.original", "http.response.status_code", "winlog.event_data",
    }
)  # fmt: skip
WORDS = [
    "linux.auth", "linux.netfilter", "nginx.access", "cef", "windows.sysmon", "Security", "1", "4688",
    "Microsoft-Windows-Sysmon/Operational", "4104", "Accepted password for root from x", "203.0.113.9",
    "C:\\Windows\\System32\\certutil.exe", "certutil -urlcache http://x", "/.env", "İstanbul ß ſ",
]  # fmt: skip
SCALARS: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
) | st.sampled_from(WORDS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)


@given(event=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8))
@settings(max_examples=400, deadline=None)
def test_evaluate_is_what_each_rule_says_by_itself(event: dict[str, Any]) -> None:
    before = repr(event)
    found = RULES.evaluate(event)
    assert found == [rule for rule in RULES.rules if rule.matches(event)]
    for rule in RULES.rules:
        reasons = rule.explain(event)
        assert bool(reasons) is (rule in found)
        assert all(isinstance(r.value, str) and len(r.value) <= 500 for r in reasons)
    assert repr(event) == before


def test_deep_events_are_walked_to_a_bound() -> None:
    deep: Any = "x"
    for _ in range(5_000):
        deep = {"a": [deep]}
    event = {"event.dataset": "cef", "a": deep, "winlog": deep}
    assert RULES.evaluate(event) == []


def test_a_rule_can_be_a_key() -> None:
    assert len({rule: rule.id for rule in RULES.rules}) == len(RULES.rules)
