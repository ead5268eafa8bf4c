"""The flow table: how connections went, when they end, and that no flood makes it grow."""

import struct
from ipaddress import ip_address

import pytest

from collectors.network.capture_files import packets
from collectors.network.flows import INTERIM, Flow, FlowTable
from tests.collectors.network.packets import (
    ACK,
    CLIENT,
    FIN,
    PSH,
    RST,
    SERVER,
    START,
    SYN,
    Talk,
    ethernet,
    ip,
    of,
    pcap,
    sensed,
    tcp,
    udp,
)  # fmt: skip

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("segments", "state", "outcome"),
    [
        ([(0, SYN)], "S0", "failure"),
        ([(0, SYN), (0, SYN), (0, SYN)], "S0", "failure"),
        ([(0, SYN), (1, RST | ACK)], "REJ", "failure"),
        ([(0, SYN), (1, SYN | ACK), (0, ACK)], "S1", "success"),
        ([(0, SYN), (1, SYN | ACK), (0, ACK), (0, FIN | ACK), (1, FIN | ACK)], "SF", "success"),
        ([(0, SYN), (1, SYN | ACK), (0, ACK), (0, FIN | ACK)], "S2", "success"),
        ([(0, SYN), (1, SYN | ACK), (0, ACK), (1, FIN | ACK)], "S3", "success"),
        ([(0, SYN), (1, SYN | ACK), (0, ACK), (0, RST)], "RSTO", "success"),
        ([(0, SYN), (1, SYN | ACK), (0, ACK), (1, RST)], "RSTR", "success"),
        ([(0, SYN), (1, SYN | ACK), (0, RST)], "RSTO", "success"),  # a scan that asks and goes
        ([(0, SYN), (0, RST)], "RSTOS0", "failure"),
        ([(0, SYN), (0, FIN)], "SH", "failure"),
        ([(1, SYN | ACK), (1, RST)], "RSTRH", "failure"),
        ([(1, SYN | ACK), (1, FIN)], "SHR", "failure"),
        ([(0, ACK | PSH), (1, ACK)], "OTH", None),
    ],
)
def test_how_a_connection_went(segments: list[tuple[int, int]], state: str, outcome: str | None) -> None:
    talk = Talk()
    for side, flags in segments:
        talk.says(side, flags)
    (flow,) = sensed(pcap(talk.frames))
    assert (flow["flow.state"], flow.get("event.outcome")) == (state, outcome)
    assert (flow["source.ip"], flow["source.port"], flow["destination.port"]) == (CLIENT, 40_000, 443)


def test_what_is_counted() -> None:
    talk = Talk().opens()
    talk.says(0, ACK | PSH, b"x" * 100)
    talk.says(1, ACK | PSH, b"y" * 900)
    (flow,) = sensed(pcap(talk.closes().frames))
    assert (flow["source.packets"], flow["destination.packets"], flow["network.packets"]) == (5, 3, 8)
    assert (flow["source.bytes"], flow["destination.bytes"]) == (5 * 40 + 100, 3 * 40 + 900)
    assert (flow["flow.payload.source"], flow["flow.payload.destination"]) == (100, 900)
    assert (flow["event.duration"], flow["source.mac"]) == (7_000_000, "66-77-88-99-AA-BB")


def test_who_answers_has_not_begun_though_the_beginning_was_missed() -> None:
    answer = ethernet(ip(SERVER, CLIENT, 6, tcp(443, 40_000, ACK | PSH, b"data")))
    (flow,) = sensed(pcap([(START, answer)]))
    assert (flow["source.ip"], flow["destination.port"], flow["destination.packets"]) == (CLIENT, 443, 1)


def test_ports_that_are_used_again_make_another_flow() -> None:
    first, second = Talk().opens().closes(), Talk()
    second.time = first.time
    frames = first.frames + second.opens().frames
    states = [flow["flow.state"] for flow in sensed(pcap(frames))]
    assert states == ["SF", "S1"]


@pytest.mark.parametrize(("silent", "flows"), [(4, 1), (7, 2)])
def test_an_attempt_that_nobody_answers_ends_after_five_seconds(silent: int, flows: int) -> None:
    talk = Talk()
    talk.says(0, SYN)
    talk.says(0, SYN, after=silent * SECOND)
    assert len(sensed(pcap(talk.frames))) == flows


def test_a_scan_is_told_of_while_it_goes_on() -> None:
    ended: list[Flow] = []
    table = FlowTable(ended.append, lambda _: None)
    syn = tcp(4, 22, SYN)
    frames = [(START + n * 100_000, ethernet(ip("192.0.2.66", f"10.0.0.{n}", 6, syn))) for n in range(200)]
    data = pcap(frames)
    table.take(data, packets(data))
    assert len(ended) > 130  # of twenty seconds, all but those of the last six
    assert len(table) + len(ended) == 200


def test_a_long_connection_is_told_of_on_its_way() -> None:
    talk = Talk().opens()
    for number in range(60):
        talk.says(number % 2, ACK | PSH, b"z" * 10, after=30 * SECOND)
    found = sensed(pcap(talk.frames))
    assert [flow["event.type"][1] for flow in found] == ["info"] * (60 * 30 * SECOND // INTERIM - 1) + ["end"]
    counts = [flow["network.packets"] for flow in found]
    assert counts == sorted(counts)
    assert len({flow["flow.id"] for flow in found}) == 1


def test_a_flood_of_flows_costs_no_more_than_the_table_may_hold() -> None:
    ended: list[Flow] = []
    table = FlowTable(ended.append, lambda _: None, most=1_000)

    def flood() -> bytes:
        return pcap(
            (START + n, ethernet(ip(str(ip_address(0x0A000000 + n)), SERVER, 17, udp(1, 2)))) for n in range(20_000)
        )

    data = flood()
    table.take(data, packets(data))
    assert len(table) <= 1_000
    assert table.counts.flows == 20_000 == len(ended) + len(table)
    assert table.counts.evicted == len(ended)


def test_fragments_count_for_the_flow_of_their_first_piece() -> None:
    whole = udp(53, 5000, b"a" * 40)
    frames = [
        (START, ethernet(ip(CLIENT, SERVER, 17, whole[:24], 0x2000))),
        (START + 1, ethernet(ip(CLIENT, SERVER, 17, whole[24:], 3))),
        (START + 2, ethernet(ip(CLIENT, SERVER, 17, whole[24:], 3))),  # once more, overlapping
    ]
    (flow,) = sensed(pcap(frames))
    assert (flow["source.port"], flow["network.packets"]) == (5000, 3)


def test_pings_and_their_answers_are_one_flow() -> None:
    asks, answers = struct.pack("!BBHHH", 8, 0, 0, 1, 1), struct.pack("!BBHHH", 0, 0, 0, 1, 1)
    frames = [(START, ethernet(ip(CLIENT, SERVER, 1, asks))), (START + 9, ethernet(ip(SERVER, CLIENT, 1, answers)))]
    (flow,) = sensed(pcap(frames))
    assert (flow["network.transport"], flow["icmp.type"], flow["event.outcome"]) == ("icmp", 8, "success")


def test_an_address_that_speaks_with_itself_and_clocks_that_jump() -> None:
    same = ethernet(ip(CLIENT, CLIENT, 17, udp(7, 7, b"x")))
    frames = [(START, same), (START - 10**12, same), (START + 10**14, same), (START + 10**14 + 1, same)]
    found = sensed(pcap(frames))
    assert sum(flow["network.packets"] for flow in of(found, "network.flow")) == 4
