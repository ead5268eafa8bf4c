"""`bench network`: packets in memory enter, packets a second on one core leave, as far as the events and as the alerts.

What the sensor alone does is measured by `collectors/network/bench.py`; here the lines of its events go on through all
behaviours, on the same core.
"""

import argparse
import time
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from collectors.envelope import Origin
from collectors.network import bench
from collectors.network.capture_files import packets
from collectors.network.flows import FlowTable
from collectors.network.sensor import Sensor
from detectors.behaviours import All, wanted
from pipeline.event import decode
from pipeline.settings import Behaviours

#: Packets after which the lines of their events are given on.
_AT_ONCE = 20_000


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the figures; making or reading the file is not measured."""
    figures = bench.measure(chosen)
    data = chosen.packets.read_bytes() if chosen.packets else bench.made_up()
    count = sum(1 for _ in packets(data))
    table = FlowTable(lambda _: None, lambda _: None)
    began = time.process_time()
    table.take(data, packets(data))
    table.finish()
    figures["flow_table_packets_per_second"] = round(count / (time.process_time() - began))
    began = time.process_time()
    behaviours = _through_behaviours(data)
    figures["with_behaviours_packets_per_second"] = round(count / (time.process_time() - began))
    return {**figures, **{f"behaviours_{name}": behaviours.counts[name] for name in ("events", "alerts", "failed")}}


def _through_behaviours(data: bytes) -> All:
    """Read packets, and let all behaviours look at the lines of what comes of them."""
    origin, received = Origin("bench", "bench", ""), datetime.now(UTC)
    lines: list[bytes] = []
    sensor = Sensor(lambda fields, position: lines.append(origin.complete(fields, position, received, {})))
    behaviours = All(Behaviours())

    def give_on() -> None:
        for _, line in wanted(lines):
            behaviours.feed(decode(line), line)
        lines.clear()

    places = packets(data)
    while some := list(islice(places, _AT_ONCE)):
        sensor.take(data, some)
        give_on()
    sensor.finish()
    give_on()
    behaviours.finish()
    return behaviours
