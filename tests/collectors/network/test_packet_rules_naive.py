"""The fast way to match packet rules finds what a plain reading of their meaning finds, on random rules and traffic."""

import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.network.rules.buffers import PAYLOAD, Message
from collectors.network.rules.compiling import compile_rule
from collectors.network.rules.expressions import compiler
from collectors.network.rules.header import Variables
from collectors.network.rules.matching import matches
from collectors.network.rules.ruleset import Loading, RuleSet, load
from tests.collectors.network.naive_packet_rules import Wanted, holds
from tests.collectors.network.packets import ACK, PSH, START, Talk, ethernet, ip, of, pcap, sensed, udp

_SIGNS = b"aAb\x00"
_bytes = st.lists(st.sampled_from(_SIGNS), min_size=1, max_size=3).map(bytes)
_place = st.none() | st.integers(0, 6)


@st.composite
def contents(draw: st.DrawFn) -> list[Wanted]:
    """Contents of one rule, at least one of them wanted."""
    made: list[Wanted] = []
    for number in range(draw(st.integers(1, 4))):
        needle = draw(_bytes)
        relative = number > 0 and draw(st.booleans())
        starts = draw(st.integers(0, 7)) == 0
        depth = None if starts else draw(st.none() | st.integers(len(needle), 8))
        made.append(Wanted(
            needle.lower() if (nocase := draw(st.booleans())) else needle,
            negated=number > 0 and draw(st.integers(0, 3)) == 0, nocase=nocase,
            offset=None if relative or starts else draw(_place), depth=None if relative else depth,
            distance=draw(st.none() | st.integers(-3, 5)) if relative else None,
            within=draw(st.none() | st.integers(len(needle), 8)) if relative else None,
            starts=starts and not relative, ends=draw(st.integers(0, 7)) == 0,
        ))  # fmt: skip
        if relative and made[-1].distance is None and made[-1].within is None:
            made[-1] = made[-1]._replace(distance=0)
    return made


def likely(chance: random.Random, data: bytes) -> list[Wanted]:
    """Contents that stand in the data, with places at, or one beside, where they are: hits and near misses."""
    made: list[Wanted] = []
    last = 0
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data))
        end = min(len(data), at + chance.randint(1, 3))
        needle, near = data[at:end], chance.choice((-1, 0, 0, 0, 1))
        nocase = chance.random() < 0.3
        wanted = Wanted(needle.lower() if nocase else needle, chance.random() < 0.15 and bool(made), nocase)
        if made and chance.random() < 0.6:
            distance = chance.choice((None, at - last, 0))
            within = end - last - (distance or 0) + near if chance.random() < 0.6 else None
            if within is not None and within < len(needle):
                within = None
            if distance is None and within is None:
                distance = 0
            wanted = wanted._replace(distance=distance, within=within)
        elif chance.random() < 0.5:
            offset = max(0, at + near) if chance.random() < 0.6 else None
            depth = end - (offset or 0) + chance.choice((-1, 0, 0, 1)) if chance.random() < 0.6 else None
            wanted = wanted._replace(offset=offset, depth=depth if depth is None or depth >= len(needle) else None)
        made.append(wanted._replace(ends=chance.random() < 0.1))
        last = last if wanted.negated else end
    return made


def test_twenty_thousand_rules_of_which_half_nearly_match() -> None:
    chance = random.Random(7)
    variables, expressions = Variables(), compiler()
    matched = 0
    for number in range(20_000):
        data = bytes(chance.choice(_SIGNS) for _ in range(chance.randint(1, 16)))
        wanted = likely(chance, data)
        text = f"alert udp any any -> any any ({' '.join(each.written() for each in wanted)} sid:{number};)"
        rule = compile_rule(text, variables, expressions, "")
        expected = holds(wanted, data)
        assert (matches(rule, Message(PAYLOAD, {"pkt_data": [data]}, data)) is not None) == expected, (text, data)
        matched += expected
    assert 5_000 < matched < 15_000


_rules = st.lists(contents(), min_size=1, max_size=12)
_payload = st.lists(st.sampled_from(_SIGNS), min_size=1, max_size=24).map(bytes)


def ruleset(rules: Sequence[Sequence[Wanted]], folder: Path, protocol: str) -> RuleSet:
    """Load them from a file."""
    lines = [
        f'alert {protocol} any any -> any any (msg:"{sid}"; {" ".join(each.written() for each in rule)} sid:{sid};)'
        for sid, rule in enumerate(rules, 1)
    ]
    path = folder / "random.rules"
    path.write_text("\n".join(lines), "latin-1")
    loading: Loading = load([path])
    assert loading.refused == [], loading.refused[0].text
    return RuleSet(loading)


@settings(max_examples=200, deadline=None)
@given(rules=_rules, payload=_payload)
def test_a_datagram(tmp_path_factory: pytest.TempPathFactory, rules: list[list[Wanted]], payload: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    frame = ethernet(ip("192.0.2.1", "192.0.2.2", 17, udp(4000, 4001, payload)))
    found = of(sensed(pcap([(START, frame)]), rules=ruleset(rules, folder, "udp")), "network.alert")
    expected = {sid for sid, rule in enumerate(rules, 1) if holds(rule, payload)}
    assert {int(event["rule.id"]) for event in found} == expected


@settings(max_examples=200, deadline=None)
@given(rules=_rules, payload=_payload, cuts=st.lists(st.integers(1, 23), max_size=4), seed=st.integers(0, 99))
def test_a_stream_however_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, rules: list[list[Wanted]], payload: bytes, cuts: list[int], seed: int
) -> None:
    """A rule matches a beginning of the stream as it has grown; one with places from its start also a packet alone."""
    folder = tmp_path_factory.getbasetemp()
    edges = sorted({0, *(cut for cut in cuts if cut < len(payload)), len(payload)})
    pieces = [payload[start:end] for start, end in pairwise(edges)]
    order = list(range(len(pieces)))
    random.Random(seed).shuffle(order)
    talk = Talk().opens()
    for number in order:
        talk.says(0, ACK | PSH, pieces[number], sequence=101 + edges[number])
    found = of(sensed(pcap(talk.frames), rules=ruleset(rules, folder, "tcp")), "network.alert")
    there: set[int] = set()
    grown = []
    for number in order:
        there.add(number)
        whole = next((at for at in range(len(pieces)) if at not in there), len(pieces))
        grown.append(payload[: edges[whole]])
    expected = set()
    for sid, rule in enumerate(rules, 1):
        anchored = any(each.offset is not None or each.depth is not None or each.starts for each in rule)
        looks = [*grown, *(pieces if anchored else ())]
        if any(holds(rule, look) for look in looks if look):
            expected.add(sid)
    assert {int(event["rule.id"]) for event in found} == expected
