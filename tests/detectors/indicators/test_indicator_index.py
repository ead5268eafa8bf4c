"""The index and what is looked up in it are held to the plainest way of saying the same; a kill leaves nothing broken."""

import os
import signal
import subprocess
import sys
import time
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.indicators.allow import Allow
from detectors.indicators.index import Few, Index, build, forget_others, open_newest
from detectors.indicators.indicator import Indicator
from detectors.indicators.matcher import Matcher
from tests.conftest import eventually

_LABEL = st.sampled_from(["a", "b", "cc", "xn--4gbrim"])
_NAME = st.lists(_LABEL, min_size=1, max_size=4).map(lambda labels: ".".join([*labels, "vn"]))
_BYTE = st.integers(0, 3)
_ADDRESS = st.one_of(
    st.tuples(_BYTE, _BYTE).map(lambda two: f"45.9.{two[0]}.{two[1]}"),
    st.tuples(_BYTE, _BYTE).map(lambda two: f"2001:db8:{two[0]}::{two[1]:x}"),
)
_NETWORK = st.tuples(_ADDRESS, st.integers(0, 12)).map(
    lambda pair: str(ip_network(f"{pair[0]}/{ip_address(pair[0]).max_prefixlen - pair[1]}", strict=False))
)
_INDICATOR = st.one_of(
    st.tuples(st.sampled_from(["domain", "host"]), _NAME),
    st.tuples(st.just("address"), _ADDRESS),
    st.tuples(st.just("network"), _NETWORK),
    st.tuples(st.sampled_from(["md5", "ja3"]), st.sampled_from(["0" * 32, "1" * 32])),
).map(lambda pair: Indicator(*pair))


def _plain(indicators: list[Indicator], text: str) -> set[Indicator]:
    """What a value is, by the words of the docs."""
    found = set()
    for each in indicators:
        if each.kind in ("address", "network"):
            try:
                address = ip_address(text)
            except ValueError:
                continue
            network = ip_network(each.value)
            if address.version == network.version and address in network:
                found.add(each)
        elif (each.kind == "domain" and (text == each.value or text.endswith(f".{each.value}"))) or (
            each.kind in ("host", "md5", "ja3") and text == each.value
        ):
            found.add(each)
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(_INDICATOR, max_size=30), st.lists(st.one_of(_NAME, _ADDRESS, st.just("1" * 32)), max_size=20))
def test_what_is_found_is_what_the_plain_way_finds(
    tmp_path: Path, indicators: list[Indicator], texts: list[str]
) -> None:
    folder = tmp_path / f"index-{time.monotonic_ns()}"
    meta = build((each.line() for each in indicators), folder)
    index = Index(folder)
    assert meta["count"] == index.count == len(indicators)
    of_index, of_few = Matcher([index], Allow(())), Matcher([Few(indicators)], Allow(()))
    for text in texts:
        expected = _plain(indicators, text)
        assert set(of_index.any(text)) == expected
        assert set(of_few.any(text)) == expected


def test_many_are_found_and_what_is_none_is_not(tmp_path: Path) -> None:
    names = [f"host{number}.evil{number % 97}.com" for number in range(300_000)]
    build((Indicator("host", name, "feed").line() for name in names), tmp_path / "index")
    index = Index(tmp_path / "index")
    matcher = Matcher([index], Allow(()))
    assert index.meta["distinct"] == len(names)
    assert all(matcher.name(name)[0].value == name for name in names[::101])
    assert not any(matcher.name(f"other{name}") for name in names[::101])


def test_an_index_that_is_not_whole_is_none(tmp_path: Path) -> None:
    build([Indicator("host", "a.vn").line()], tmp_path / "one")
    build([], tmp_path / "empty")
    assert open_newest(tmp_path, "two") is None
    empty = open_newest(tmp_path, "empty")
    assert empty is not None
    assert Matcher([empty], Allow(())).count == 0
    (tmp_path / "one" / "meta.json").write_bytes(b"{")
    assert open_newest(tmp_path, "one") is None
    forget_others(tmp_path, "empty")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"]


_BUILD = """
import sys
from pathlib import Path
from detectors.indicators.index import build
from detectors.indicators.indicator import Indicator
build((Indicator("host", f"h{n}.evil.com").line() for n in range(5_000_000)), Path(sys.argv[1]) / "new")
"""


@pytest.mark.slow
def test_a_kill_while_it_is_made_leaves_the_one_before(tmp_path: Path) -> None:
    build([Indicator("host", "a.evil.com").line()], tmp_path / "old")
    child = subprocess.Popen([sys.executable, "-c", _BUILD, str(tmp_path)])
    try:
        making = eventually(lambda: next(tmp_path.glob(".new.*/lines"), None), 30)
        eventually(lambda: making.stat().st_size > 1_000_000, 30, 0.01)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert open_newest(tmp_path, "new") is None
    old = open_newest(tmp_path, "old")
    assert old is not None
    assert Matcher([old], Allow(())).name("a.evil.com")
    build([Indicator("host", "b.evil.com").line()], tmp_path / "new")
    assert open_newest(tmp_path, "new") is not None
    forget_others(tmp_path, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
