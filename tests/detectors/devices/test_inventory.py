"""Devices told apart by what is seen of them: real captures, traffic made with scapy, and made events in any order."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.all import (
    ARP,
    BOOTP,
    DHCP,
    IP,
    TCP,
    UDP,
    Ether,
    NBNSHeader,
    NBNSRegistrationRequest,
    Raw,
    wrpcap,
)  # fmt: skip

from detectors.behaviour import Seen
from detectors.behaviours import kind_of
from detectors.devices.evidence import Evidence, _rules, judge, weigh
from detectors.devices.inventory import Inventory
from detectors.devices.sightings import Sighting, is_random, mac_of, sightings
from pipeline.devices import KINDS
from pipeline.event import Event, to_micros
from pipeline.networks import Site
from pipeline.settings import Behaviours

SITE = Site(Behaviours().local_networks)
HOUR = 3_600_000_000
LAPTOP, PHONE, ROUTER = "F8:75:A4:00:00:01", "DA:A1:19:00:00:02", "00:0C:42:00:00:03"


def scanned(*files: Path) -> dict[str, dict[str, Any]]:
    """What `haidang devices scan` says of captures, by address or MAC."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "haidang"), "devices", "scan", "--json", *map(str, files)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    devices = [json.loads(line) for line in done.stdout.splitlines()]
    return {device["address"] or device["mac"]: device for device in devices}


def inventory_of(events: Iterable[Event], most: int = 1000) -> Inventory:
    """The devices that events tell of."""
    made = Inventory(most)
    for event in events:
        time = to_micros(event["@timestamp"])
        for sighting in sightings(Seen(event, "", kind_of(event), time), SITE):
            made.take(sighting, time, event.get("organization.id", ""))
    return made


def lease(mac: str, address: str, name: str, vendor: str, options: list[int]) -> list[Any]:
    """The packets with which a device gets an address."""
    chaddr = bytes.fromhex(mac.replace(":", ""))
    asked = [("hostname", name), ("vendor_class_id", vendor), ("param_req_list", options)]
    up = Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67)
    down = Ether(src=ROUTER, dst=mac) / IP(src="192.168.9.1", dst=address) / UDP(sport=67, dport=68)
    return [
        up / BOOTP(chaddr=chaddr, xid=7) / DHCP(options=[("message-type", "request"), *asked, "end"]),
        down
        / BOOTP(op=2, chaddr=chaddr, yiaddr=address, xid=7)
        / DHCP(options=[("message-type", "ack"), ("server_id", "192.168.9.1"), ("lease_time", 3600), "end"]),
    ]


def at(time: float, packets: Iterable[Any]) -> list[Any]:
    """The packets, from a time on."""
    made = []
    for number, packet in enumerate(packets):
        packet.time = time + number / 1000
        made.append(packet)
    return made


def browse(mac: str, source: str, target: str, agent: str, sport: int) -> list[Any]:
    """One request, from the link's point of view."""
    ours, theirs = {"sport": sport, "dport": 80}, {"sport": 80, "dport": sport}
    text = f"GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: {agent}\r\n\r\n".encode()
    up = Ether(src=mac, dst=ROUTER) / IP(src=source, dst=target)
    down = Ether(src=ROUTER, dst=mac) / IP(src=target, dst=source)
    return [
        up / TCP(**ours, flags="S", seq=1),
        down / TCP(**theirs, flags="SA", seq=1, ack=2),
        up / TCP(**ours, flags="PA", seq=2, ack=2) / Raw(text),
        down / TCP(**theirs, flags="PA", seq=2, ack=2 + len(text)) / Raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
        up / TCP(**ours, flags="R", seq=2 + len(text)),
    ]


def test_an_office_on_the_wire(tmp_path: Path) -> None:
    start = 1_790_000_000.0
    windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0"
    packets = [
        *at(start, lease(LAPTOP, "192.168.9.20", "LAPTOP-7Q2K", "MSFT 5.0", [1, 3, 6, 15, 31, 33, 43, 44, 46, 47, 119, 121, 249, 252])),
        *at(start + 5, lease(PHONE, "192.168.9.30", "Mai-iPhone", "", [1, 121, 3, 6, 15, 119, 252])),
        *at(start + 9, [Ether(src=ROUTER) / ARP(op=2, hwsrc=ROUTER, psrc="192.168.9.1", pdst="192.168.9.20")]),
        *(
            packet
            for number in range(12)
            for packet in at(start + 10 + number, browse(LAPTOP, "192.168.9.20", f"203.0.113.{number}", windows, 50_000 + number))
        ),
        *at(start + 60, browse(PHONE, "192.168.9.30", "203.0.113.9", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1)", 51_000)),
    ]  # fmt: skip
    wrpcap(str(tmp_path / "office.pcap"), packets)
    found = scanned(tmp_path / "office.pcap")
    assert {address: device["kind"] for address, device in found.items()} == {
        "192.168.9.20": "laptop", "192.168.9.30": "phone", "192.168.9.1": "network",
    }  # fmt: skip
    laptop, phone, router = (found[f"192.168.9.{end}"] for end in (20, 30, 1))
    assert (laptop["os"], laptop["names"], laptop["mac"]) == ("Windows", ["LAPTOP-7Q2K"], mac_of(LAPTOP))
    assert (phone["id"], phone["os"], phone["maker"]) == ("name:mai-iphone", "iOS", "")
    assert "Routerboard" in router["maker"] or "MikroTik" in router["maker"]
    assert {"role", "maker"} <= {hint for hint, _, _ in router["evidence"]}


def test_a_machine_registers_its_netbios_name(tmp_path: Path) -> None:
    request = NBNSHeader() / NBNSRegistrationRequest(QUESTION_NAME="KETOAN-PC3", NB_ADDRESS="192.168.9.44")
    frame = Ether(src=LAPTOP, dst="ff:ff:ff:ff:ff:ff") / IP(src="192.168.9.44", dst="192.168.9.255")
    wrpcap(str(tmp_path / "names.pcap"), [frame / UDP(sport=137, dport=137) / request])
    device = scanned(tmp_path / "names.pcap")["192.168.9.44"]
    assert (device["names"], device["kind"], device["os"]) == (["KETOAN-PC3"], "computer", "Windows")


@pytest.mark.parametrize(
    ("capture", "address", "kind", "name"),
    [
        ("ndpi/android.pcap", "192.168.2.16", "phone", ""),
        ("ndpi/android.pcap", "192.168.2.1", "network", ""),
        ("ndpi/viber.pcap", "192.168.0.17", "phone", ""),
        ("ndpi/viber.pcap", "192.168.0.15", "network", ""),
        ("slips/test8-malicious.pcap", "192.168.1.122", "computer", ""),
        ("ndpi/whatsapp_login_call.pcap", "fe80::da30:62ff:fe56:1c", "computer", "Lucas-iMac"),
    ],
)
def test_devices_of_recorded_networks(shared_data: Path, capture: str, address: str, kind: str, name: str) -> None:
    device = scanned(shared_data / "pcap" / capture)[address]
    assert (device["kind"], device["name"]) == (kind, name)


def test_a_capture_that_was_cut_off_is_looked_through_as_far_as_it_goes(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.pcap", tmp_path / "cut.pcap"
    wrpcap(str(whole), [Ether(src=LAPTOP) / ARP(op=2, hwsrc=LAPTOP, psrc="10.0.1.5", pdst="10.0.1.1")] * 2)
    cut.write_bytes(whole.read_bytes()[:-5])
    done = subprocess.run(
        [str(Path(sys.executable).parent / "haidang"), "devices", "scan", "--json", str(cut)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, json.loads(done.stdout)["address"], "cut.pcap" in done.stderr) == (1, "10.0.1.5", True)


def test_no_capture_makes_a_device_of_an_address_that_is_not_ours(shared_data: Path) -> None:
    files = sorted((shared_data / "pcap" / "ndpi").glob("*.pcap"))[::5]
    found = scanned(*files)
    assert len(found) > 30
    assert {SITE.where(device["address"]) for device in found.values() if device["address"]} == {"local"}
    assert {device["kind"] for device in found.values()} <= set(KINDS)


# How sightings become devices


def test_an_address_alone_becomes_the_device_that_has_it() -> None:
    made = Inventory(100)
    made.take(Sighting(address="10.0.0.5", hints=(("user_agent", "curl on Windows NT 10.0"),)), HOUR)
    made.changes()
    made.take(Sighting(mac="F8-75-A4-00-00-01", address="10.0.0.5"), HOUR + 60_000_000)
    (device,) = made.devices()
    assert (device.id, device.address, device.first_seen) == ("mac:F8-75-A4-00-00-01", "10.0.0.5", HOUR)
    assert any(hint == "user_agent" for hint, _ in device.evidence)
    rows, holdings = made.changes()
    assert {row["id"]: row["merged_into"] for row in rows} == {
        "ip:10.0.0.5": "mac:F8-75-A4-00-00-01", "mac:F8-75-A4-00-00-01": "",
    }  # fmt: skip
    assert [(each.address, each.since, each.device) for each in holdings] == [("10.0.0.5", HOUR, device.id)]


def test_dhcp_changes_make_no_second_device_and_no_wrong_holder() -> None:
    made = Inventory(100)
    first, second = "F8-75-A4-00-00-01", "F8-75-A4-00-00-02"
    for number, (mac, address) in enumerate(
        [(first, "10.0.0.5"), (second, "10.0.0.6"), (first, "10.0.0.6"), (second, "10.0.0.5")]
    ):
        made.take(Sighting(mac=mac, address=address), (1 + 10 * number) * HOUR)
        made.take(Sighting(address=address), (3 + 10 * number) * HOUR)
    assert len(made) == 2
    _, holdings = made.changes()
    assert [(each.address, each.since // HOUR, each.until // HOUR, each.device[-2:]) for each in holdings] == [
        ("10.0.0.5", 1, 3, "01"), ("10.0.0.6", 11, 13, "02"), ("10.0.0.6", 21, 23, "01"), ("10.0.0.5", 31, 33, "02"),
    ]  # fmt: skip


def test_a_phone_with_a_new_mac_each_week_is_one_phone() -> None:
    made = Inventory(100)
    for week in range(5):
        mac = f"DA-A1-19-00-00-0{week}"
        made.take(Sighting(mac=mac, address=f"10.0.0.{week}"), week * 168 * HOUR)
        made.take(Sighting(mac=mac, address=f"10.0.0.{week}", name="Mai-Galaxy-S24"), week * 168 * HOUR + 1)
        made.take(Sighting(mac=f"DA-A1-19-00-01-0{week}", name="iPhone"), week * 168 * HOUR)  # as a thousand others
    assert sorted(device.id for device in made.devices()) == [
        *(f"mac:DA-A1-19-00-01-0{week}" for week in range(5)), "name:mai-galaxy-s24",
    ]  # fmt: skip


def test_one_client_makes_no_service() -> None:
    made = Inventory(100)
    for number in range(20):
        made.take(Sighting(address="10.0.0.5", hints=(("serves", "tcp/25"),), peer="10.0.0.9"), number)
    (device,) = made.devices()
    assert not device.evidence
    for peer in ("10.0.0.7", "10.0.0.8"):
        made.take(Sighting(address="10.0.0.5", hints=(("serves", "tcp/25"),), peer=peer), 30)
    assert device.row()["kind"] == "server"


def test_what_is_saved_is_gone_on_from() -> None:
    events = [
        (Sighting(mac=f"F8-75-A4-00-00-{n:02X}", address=f"10.0.0.{n}", name=f"PC-{n}"), n * HOUR) for n in range(9)
    ]
    whole, before = Inventory(100), Inventory(100)
    for sighting, time in events:
        whole.take(sighting, time)
    for sighting, time in events[:5]:
        before.take(sighting, time)
    rows, holdings = before.changes()
    after = Inventory(100)
    after.load(rows, holdings)
    for sighting, time in events[3:]:  # some are read again
        after.take(sighting, time)
    assert [device.row() for device in after.devices()] == [device.row() for device in whole.devices()]


def test_state_is_bounded() -> None:
    made = Inventory(10)
    for number in range(1000):
        address = f"10.0.{number // 250}.{number % 250}"
        made.take(Sighting(mac=mac_of(f"F875A4{number:06X}"), address=address, name=f"n{number}"), number)
        for n in range(100):
            made.take(Sighting(address=address, name=f"a{n}", hints=(("user_agent", f"Windows NT {n}"),)), number)
            made.take(Sighting(mac="000C42000003", forwarded=f"203.0.{n}.{number % 250}"), number)
    assert (len(made), made.evicted > 900) == (10, True)
    assert all(len(device.names) <= 8 and len(device.evidence) <= 40 for device in made.devices())


# Evidence


def test_every_weight_is_a_probability_of_a_kind() -> None:
    assert all(rules for rules in _rules().values())


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(KINDS[:-1]), st.floats(0.01, 0.99)), max_size=12))
def test_certainty_is_a_probability_and_more_of_the_same_changes_nothing(told: list[tuple[str, str, float]]) -> None:
    evidence = [Evidence(hint, str(n), ((kind, weight),)) for n, (hint, kind, weight) in enumerate(told)]
    kind, certain = judge(evidence)
    assert 0 <= certain <= 1
    assert kind == "unknown" or certain >= 0.3
    assert judge([*evidence, *evidence]) == (kind, certain)
    assert judge(reversed(evidence))[1] == certain


@pytest.mark.parametrize(
    ("hint", "text", "kind"),
    [
        ("name", "LAPTOP-7Q2K", "laptop"), ("name", "DESKTOP-ABC1234", "computer"), ("name", "SRV-FILE01", "server"),
        ("name", "maychu-web", "server"), ("name", "dien-thoai-lan", "phone"), ("name", "sw-tang2", "network"),
        ("name", "iPad-cua-Hoa", "tablet"), ("name", "NPI12AB34", "printer"), ("dhcp_vendor", "udhcp 1.21", "other"),
        ("os", "Windows Server 2022", "server"), ("maker", "Hangzhou Hikvision Digital Technology Co.,Ltd.", "camera"),
        ("serves", "tcp/88", "server"), ("ssh_server", "SSH-2.0-ROSSSH", "network"),
    ],
)  # fmt: skip
def test_what_a_text_speaks_for(hint: str, text: str, kind: str) -> None:
    piece = weigh(hint, text)
    assert piece is not None
    assert judge([piece])[0] == kind


@pytest.mark.parametrize("text", ["nguyenvanA", "k3j4h5", "", "server-farm-notes.example.org/" * 100, "\x00\xff"])
def test_what_says_nothing_is_nothing(text: str) -> None:
    assert weigh("dhcp_vendor", text) is None


def test_macs() -> None:
    assert mac_of("f8:75:a4:00:00:01") == mac_of("F875.A400.0001") == "F8-75-A4-00-00-01"
    assert [mac_of(each) for each in ("", "x", "FF:FF:FF:FF:FF:FF", "01:00:5E:00:00:01", "F8:75:A4")] == [""] * 5
    assert is_random("DA-A1-19-00-00-02")
    assert not is_random("F8-75-A4-00-00-01")


def test_what_a_device_searches_for_by_ssdp_is_not_what_it_is() -> None:
    def said(method: str, source: str, destination: str, port: int) -> Event:
        return {
            "@timestamp": "2026-11-30T05:00:00.000Z", "event.dataset": "network.ssdp", "event.category": ["network"],
            "ssdp.method": method, "ssdp.target": "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
            "source.ip": source, "destination.ip": destination, "destination.port": port,
        }  # fmt: skip

    asked = inventory_of([said("M-SEARCH", "192.168.1.20", "239.255.255.250", 1900)])
    assert not any(device.row()["kind"] == "network" for device in asked.devices())
    for event in (
        said("RESPONSE", "192.168.1.1", "192.168.1.20", 50_000), said("RESPONSE", "192.168.1.20", "192.168.1.1", 1900)
    ):  # fmt: skip
        answered = inventory_of([event])
        rows = [device.row() for device in answered.devices()]
        assert [row["address"] for row in rows if row["kind"] == "network"] == ["192.168.1.1"], rows
