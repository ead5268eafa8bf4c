"""A short run of `make chaos`: fifteen kills at random moments, another seed each time."""

import random

import pytest

from tests.e2e import chaos

pytestmark = pytest.mark.slow


def test_fifteen_kills_at_random_moments_lose_nothing_and_repeat_nothing() -> None:
    report = chaos.run(kills=15, seed=random.randrange(1_000_000))
    assert report.good, report
    assert report.acknowledged > 5_000
    assert report.attacks > 3
    assert report.kills.total() == 15
