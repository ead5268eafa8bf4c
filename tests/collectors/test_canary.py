"""Canaries at the intake: ours are known once, in the whole line that was sent; whatever else has their mark is an event."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from collectors.canary import Canary
from collectors.envelope import Origin
from collectors.intake import Intake
from pipeline.bus import EVENTS
from pipeline.canaries import MARK
from pipeline.settings import CANARY
from tests.collectors.conftest import Bench

pytestmark = pytest.mark.anyio
NUMBER = f"{2**100:032x}"
TEXT = f"<14>1 2026-11-24T05:17:44Z haidang canary - - - haidang-canary {NUMBER}"


def line(bench: Bench, text: str, source: str = "syslog") -> bytes:
    """The event line of a text that came in."""
    origin = Origin(source, bench.settings.observer, bench.settings.organization)
    return origin.event(text.encode(), (text, time.time_ns()), datetime.now(UTC), {})


def expect(intake: Intake, seconds: float = 60) -> None:
    intake.canaries.expected[NUMBER] = Canary("syslog", "udp", NUMBER, TEXT, time.monotonic() + seconds)


async def test_a_canary_goes_its_own_way_and_counts_nowhere(bench: Bench) -> None:
    async with bench.intake() as intake:
        expect(intake)
        intake.take("syslog", [line(bench, "one"), line(bench, TEXT), line(bench, "two")], "10.0.0.1")
        assert intake.canaries.received == {NUMBER}
    found = {record.source: record for record in bench.stage.bus.read(EVENTS, {}, 10**9)}
    assert {source: record.events for source, record in found.items()} == {"syslog": 2, CANARY: 1}
    (canary,) = [event for event in bench.events() if event["labels.source"] == CANARY]
    assert (canary[MARK], canary["event.dataset"], canary["event.original"]) == (NUMBER, CANARY, TEXT)
    assert bench.ledger("syslog") == {"in": 2, "out": 2}
    assert bench.ledger(CANARY) == {}


@pytest.mark.parametrize(
    "forged",
    [
        lambda bench: line(bench, TEXT.replace(NUMBER, f"{7:032x}")),  # a number that nobody made
        lambda bench: line(bench, f"{TEXT} rm -rf /"),
        lambda bench: line(bench, TEXT.replace(" haidang canary ", " may-chu sshd ")),  # a copied mark hides nothing
        lambda bench: line(bench, TEXT, source="other"),
    ],
)
async def test_a_false_mark_is_an_event_like_any_other(bench: Bench, forged: Callable[[Bench], bytes]) -> None:
    async with bench.intake() as intake:
        expect(intake)
        intake.take("syslog", [forged(bench)])
    assert [event["labels.source"] == CANARY for event in bench.events()] == [False]
    assert bench.ledger("syslog") == {"in": 1, "out": 1}


async def test_a_canary_counts_once_and_not_for_ever(bench: Bench) -> None:
    async with bench.intake() as intake:
        expect(intake)
        intake.take("syslog", [line(bench, TEXT)])
        intake.take("syslog", [line(bench, TEXT)])  # a replay
        expect(intake, seconds=-1)
        intake.canaries.forget_old()
        intake.take("syslog", [line(bench, TEXT)])
    assert [event["labels.source"] for event in bench.events()].count(CANARY) == 1
    assert bench.ledger("syslog") == {"in": 2, "out": 2}
