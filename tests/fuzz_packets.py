"""Fuzzing of the native sensor: a number of mutated packets enters, faults leave (`make nightly`).

The packets are those of real captures where they are there, else made-up ones; changed in some bytes, cut, put together
with others, out of their order. No exception may escape, every event must be one, and memory must stay flat.
"""

import argparse
import random
import struct
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from collectors.envelope import Origin
from collectors.network.bench import made_up
from collectors.network.capture_files import DamagedError, Place, packets
from collectors.network.rules.ruleset import RuleSet, load
from collectors.network.sensor import Sensor
from tests.fuzz import GROWTH_BYTES, _memory

_NOW = datetime(2026, 11, 29, tzinfo=UTC)
_ORIGIN = Origin("fuzz", "may", "vn")
#: Packets of one batch, flows that may go on, and bytes of a packet.
_BATCH, _FLOWS, _LONGEST = 500, 2_000, 9_000
Frame = tuple[bytes, int]
_SHIPPED = Path(__file__).parents[1] / "rules" / "packets"


def frames(captures: Path) -> list[Frame]:
    """Return packets with their link types, of the captures in a folder and made up."""
    found: list[Frame] = []
    for data in [made_up(5_000), *(path.read_bytes() for path in sorted(captures.rglob("*.pcap*")))]:
        try:
            found += [(data[at : at + length], link) for _, at, length, _, link in packets(data)]
        except DamagedError:
            continue
    return found


def fuzz(inputs: int, seed: int, known: Sequence[Frame], rules: RuleSet | None = None) -> int:
    """Give a sensor, with or without packet rules, so many packets; return by how many bytes the process grew.

    Raises:
        AssertionError: something escaped; the text has the seed and the packet's number.
    """
    chance = random.Random(seed)
    sensor = Sensor(_checked, most_flows=_FLOWS, rules=rules)
    before = 0
    moment = 1_795_500_000_000_000
    for first in range(0, inputs, _BATCH):
        if first >= inputs // 5 and not before:
            before = _memory()
        places: list[Place] = []
        held: list[bytes] = []
        at = 0
        for _ in range(_BATCH):
            frame, link = mutated(chance, known)
            moment += chance.choice((0, 1, 50, 1_000, 400_000, -2_000_000))
            wire = len(frame) if chance.randrange(20) else chance.getrandbits(32)
            places.append((moment, at, len(frame), wire, link))
            held.append(frame)
            at += len(frame)
        try:
            sensor.take(b"".join(held), places)
        except Exception as error:
            raise AssertionError(f"seed {seed}, packets from {first}: {error!r}") from error
    assert len(sensor.table) <= _FLOWS
    sensor.finish()
    assert sensor.matcher is None or sensor.matcher.held == 0
    return _memory() - before


def mutated(chance: random.Random, known: Sequence[Frame]) -> Frame:
    """Return one of the packets, broken in some way."""
    frame, link = known[chance.randrange(len(known))]
    damaged = bytearray(frame)
    for _ in range(chance.choice((0, 0, 1, 1, 2, 5, 20))):
        if not damaged:
            break
        at = min(chance.randrange(len(damaged)), chance.randrange(len(damaged)))  # headers are in front
        match chance.randrange(6):
            case 0:
                damaged[at] = chance.randrange(256)
            case 1:
                damaged[at] ^= 1 << chance.randrange(8)
            case 2:
                del damaged[at:]
            case 3:
                damaged[at:at] = chance.randbytes(chance.randrange(1, 40))
            case 4:
                damaged[at : at + 2] = struct.pack("!H", chance.choice((0, 1, 0x7FFF, 0xFFFF, len(damaged))))
            case 5:
                damaged[at:] = known[chance.randrange(len(known))][0][at:]
    return bytes(damaged[:_LONGEST]), link if chance.randrange(50) else chance.choice((0, 1, 101, 113, 276, 7))


def _checked(fields: dict[str, Any], position: tuple[str | int, ...]) -> None:
    line = _ORIGIN.complete(fields, position, _NOW, {})
    assert {"@timestamp", "event.id", "event.dataset"} <= orjson.loads(line).keys()


def main() -> int:
    """Run by `make nightly`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--no-rules", action="store_true", help="without packet rules")
    chosen = parser.parse_args()
    data = Path(__file__).parents[2] / "shared" / "data"
    known = frames(data / "pcap")
    rules = None if chosen.no_rules else RuleSet(load([_SHIPPED, data / "suricata-rules"]))
    started = time.monotonic()
    grown = fuzz(chosen.inputs, chosen.seed, known, rules)
    rate = chosen.inputs / (time.monotonic() - started)
    good = grown < GROWTH_BYTES
    sys.stdout.write(
        f"{'good' if good else 'GROWS'} packets: {chosen.inputs} inputs of {len(known)}, seed {chosen.seed}, "
        f"{rate:.0f}/s, grew {grown / 1e6:.1f} MB\n"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
