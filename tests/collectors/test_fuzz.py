"""Twenty thousand broken inputs for everything that reads what a stranger sent; a million in `make nightly`."""

import random

import pytest

from tests import fuzz

_INPUTS = 20_000


@pytest.mark.parametrize("name", fuzz.targets())
def test_no_exception_escapes_and_memory_stays_flat(name: str) -> None:
    assert fuzz.fuzz(name, _INPUTS, random.randrange(1_000_000)) < fuzz.GROWTH_BYTES
