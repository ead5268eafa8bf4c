"""`haidang bench network` on a recording: every packet is counted, and the behaviours find what is in it."""

import argparse
from pathlib import Path

from workbench.bench_network import measure


def test_a_recorded_sweep_goes_through_all_of_it(shared_data: Path) -> None:
    recording = shared_data / "pcap" / "slips" / "test12-icmp-portscan.pcap"
    figures = measure(argparse.Namespace(packets=recording, rules=None, live=False, seconds=None))
    assert (figures["packets"], figures["malformed"]) == (37, 0)
    assert (figures["behaviours_events"], figures["behaviours_alerts"], figures["behaviours_failed"]) == (18, 1, 0)
    assert figures["with_behaviours_packets_per_second"] > 0
