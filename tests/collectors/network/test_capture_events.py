"""Whole capture files through the reader that `haidang import` uses: real ones, mutated ones, packed ones."""

import gzip
import random
from pathlib import Path

import orjson
import pytest

from collectors.envelope import Origin
from collectors.network.rules.ruleset import RuleSet, load
from collectors.reading import Unreadable, read_file
from tests import fuzz_packets
from tests.collectors.network.packets import Talk, pcap
from tests.fuzz import GROWTH_BYTES

ORIGIN = Origin("import", "here", "unit")


def events(path: Path) -> list[dict[str, object]]:
    """Return the events of a file, as far as it can be read."""
    found: list[bytes] = []
    try:
        for lines, _ in read_file(path, ORIGIN, 100_000):
            found += lines
    except Unreadable:
        pass
    return [orjson.loads(line) for line in found]


def test_real_captures_make_complete_events_and_the_same_ones_again(shared_data: Path) -> None:
    kinds: set[object] = set()
    for path in sorted((shared_data / "pcap").rglob("*.pcap*")):
        found = events(path)
        ids = [event["event.id"] for event in found]
        assert len(set(ids)) == len(ids), path.name
        assert ids == [event["event.id"] for event in events(path)], path.name
        assert all(event["network.community_id"] for event in found if event["event.dataset"] != "network.arp")
        assert [event["event.sequence"] for event in found] == list(range(1, len(found) + 1))
        kinds |= {event["event.dataset"] for event in found}
    assert kinds >= {f"network.{kind}" for kind in ("flow", "dns", "tls", "http", "ssh", "dhcp", "arp")}


def test_a_capture_may_be_packed_and_may_be_cut_off(tmp_path: Path) -> None:
    data = pcap(Talk().opens().closes().frames)
    (tmp_path / "a.pcap").write_bytes(data)
    (tmp_path / "a.pcap.gz").write_bytes(gzip.compress(data))
    (tmp_path / "cut.pcap").write_bytes(data[:-4])
    whole, packed = events(tmp_path / "a.pcap"), events(tmp_path / "a.pcap.gz")
    assert [event["event.id"] for event in whole] == [event["event.id"] for event in packed] != []
    with pytest.raises(Unreadable, match="cut off; what came before is taken in"):
        list(read_file(tmp_path / "cut.pcap", ORIGIN, 1000))
    assert events(tmp_path / "cut.pcap")[0]["network.packets"] == 5


def test_mutated_captures_make_events_or_none(shared_data: Path, tmp_path: Path) -> None:
    dice = random.Random(11)
    paths = [path for path in sorted((shared_data / "pcap").rglob("*.pcap*")) if path.stat().st_size < 60_000]
    for _ in range(300):
        damaged = bytearray(dice.choice(paths).read_bytes())
        for _ in range(dice.randint(1, 60)):
            damaged[dice.randrange(24, len(damaged))] = dice.randrange(256)
        (tmp_path / "mutated.pcap").write_bytes(damaged)
        events(tmp_path / "mutated.pcap")


def test_mutated_packets_of_any_kind_in_any_order() -> None:
    known = fuzz_packets.frames(Path("nowhere"))
    rules = RuleSet(load([Path(__file__).parents[3] / "rules" / "packets"]))
    assert fuzz_packets.fuzz(30_000, random.randrange(1_000_000), known, rules) < GROWTH_BYTES
