"""Packet rules on real captures: what the rules see is what the sensor's own readers see, and no match is passed over."""

import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from collectors.network.capture_files import DamagedError, packets
from collectors.network.rules.buffers import PAYLOAD, Message
from collectors.network.rules.matching import matches
from collectors.network.rules.ruleset import RuleSet, load
from collectors.network.sensor import Sensor
from tests.collectors.network.packets import of, sensed
from tests.collectors.network.test_packet_rules import ruleset

#: Each buffer that holds what a field of a transaction holds, and the data set.
SAME = {
    "dns.query": ("network.dns", "dns.question.name"), "http.uri.raw": ("network.http", "url.original"),
    "http.method": ("network.http", "http.request.method"), "http.user_agent": ("network.http", "user_agent.original"),
    "tls.sni": ("network.tls", "tls.client.server_name"), "ja3.hash": ("network.tls", "tls.client.ja3"),
    "ja4.hash": ("network.tls", "tls.client.ja4"), "ja3s.hash": ("network.tls", "tls.server.ja3s"),
}  # fmt: skip


def captures(shared_data: Path) -> list[Path]:
    return sorted((shared_data / "pcap").rglob("*.pcap*"))


@pytest.mark.parametrize("buffer", SAME)
def test_a_buffer_holds_what_the_transaction_says(shared_data: Path, buffer: str) -> None:
    rules = ruleset(f'{buffer}; pcre:"/^.*/s";', header="ip any any -> any any")
    dataset, field = SAME[buffer]
    seen = 0
    for path in captures(shared_data):
        events = sensed(path.read_bytes(), rules=rules)
        of_kind = [event for event in of(events, dataset) if event["network.protocol"] in dataset]  # no mDNS
        told = {event[field].lower() for event in of_kind if event.get(field)}
        found = {
            bytes.fromhex(event["packet_rule.payload.hex"]).decode("latin-1").lower()
            for event in of(events, "network.alert")
            if event.get("packet_rule.payload.hex")
        }
        readable = {text for text in told if len(text) < 256 and text.isascii() and "\\x" not in text}
        seen += len(readable)
        assert readable <= found, path.name
    assert seen > 20


def test_what_matches_is_always_a_candidate(shared_data: Path) -> None:
    """The one database over all contents leaves out no rule that a look at every rule finds."""
    rules = RuleSet(load([shared_data / "suricata-rules"]))
    of_payload = [rule for rule in rules.rules if rule.kinds == (PAYLOAD,) and rule.fast is not None]
    assert len(of_payload) > 300
    looked = matched = 0
    for path in captures(shared_data):
        data = path.read_bytes()
        with contextlib.suppress(DamagedError):
            for number, (_, at, length, _, _) in enumerate(packets(data)):
                if number % 12:
                    continue
                frame = data[at : at + length]
                looked += 1
                message = Message(PAYLOAD, {"pkt_data": [frame]}, frame)
                found = {rule.sid for rule in of_payload if matches(rule, message) is not None}
                matched += len(found)
                assert found <= {rule.sid for rule in rules.candidates(PAYLOAD, frame)}, (path.name, number)
    assert looked > 2_000
    assert matched > 10


def test_what_rules_of_others_find_in_the_captures(shared_data: Path) -> None:
    rules = RuleSet(load([shared_data / "suricata-rules"]))
    found: dict[str, Counter[str]] = {}
    for path in captures(shared_data):
        hits: list[dict[str, Any]] = of(sensed(path.read_bytes(), rules=rules), "network.alert")
        if hits:
            found[path.name] = Counter(event["rule.id"] for event in hits)
    # What the names of the captures say is in them.
    assert {"2028765", "2018959"} <= found["emotet.pcap"].keys()  # JA3 of Dridex' family, a program by HTTP
    assert "2018959" in found["exe_download_as_png.pcap"]
    assert "2006380" in found["http_auth.pcap"]
    assert "2012811" in found["tk.pcap"]
    assert "2012648" in found["dropbox.pcap"]
    assert sum(counter.total() for counter in found.values()) < 100


def test_the_same_capture_gives_the_same_hits_in_one_batch_or_packet_by_packet(shared_data: Path) -> None:
    rules = RuleSet(load([shared_data / "suricata-rules", Path(__file__).parents[3] / "rules" / "packets"]))
    compared = 0
    for path in captures(shared_data):
        data = path.read_bytes()
        one: list[tuple[str | int, ...]] = []
        sensor = Sensor(lambda fields, position, into=one: into.append(position), rules=rules)  # type: ignore[misc]
        with contextlib.suppress(DamagedError):
            for place in packets(data):
                sensor.take(data, [place])
        sensor.finish()
        whole: list[tuple[str | int, ...]] = []
        sensor = Sensor(lambda fields, position, into=whole: into.append(position), rules=rules)  # type: ignore[misc]
        with contextlib.suppress(DamagedError):
            sensor.take(data, packets(data))
        sensor.finish()
        alerts = [sorted(map(str, (each for each in found if each[0] == "alert"))) for found in (one, whole)]
        assert alerts[0] == alerts[1], path.name
        compared += len(alerts[0])
    assert compared > 10
