"""What connections say: DNS, HTTP, TLS, SSH and DHCP, in order and out of it, whole and cut off."""

import hashlib
import struct
from pathlib import Path
from typing import Any

import pytest

from collectors.network import capture_files, dns, tls
from collectors.network.conversation import MAX_EARLY, Side
from collectors.network.headers import TCP
from tests.collectors.network.packets import (
    ACK,
    CLIENT,
    PSH,
    SERVER,
    START,
    Talk,
    ethernet,
    ip,
    of,
    pcap,
    sensed,
    udp,
)  # fmt: skip


def question(name: str, identifier: int = 7, kind: int = 1, flags: int = 0x0100) -> bytes:
    labels = b"".join(bytes((len(part),)) + part.encode() for part in name.split("."))
    return struct.pack("!HHHHHH", identifier, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def answer(asked: bytes, *records: tuple[int, bytes], code: int = 0) -> bytes:
    body = asked[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(records), 0, 0) + asked[12:]
    return body + b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(data)) + data for kind, data in records)


def exchange(*messages: tuple[bool, bytes], port: int = 53) -> list[dict[str, Any]]:
    frames = []
    for number, (asks, message) in enumerate(messages):
        sides, ports = ((CLIENT, SERVER), (5000, port)) if asks else ((SERVER, CLIENT), (port, 5000))
        frames.append((START + number * 1000, ethernet(ip(*sides, 17, udp(*ports, message)))))
    return sensed(pcap(frames))


def test_a_question_and_its_answer_are_one_event() -> None:
    asked = question("WWW.Example.vn")
    records = (5, b"\3cdn\xc0\x10"), (1, b"\xc0\0\2\1"), (16, b"\5hello\3 an")
    (event,) = of(exchange((True, asked), (True, asked), (False, answer(asked, *records))), "network.dns")
    assert (event["dns.question.name"], event["dns.question.type"], event["dns.id"]) == ("www.example.vn", "A", "7")
    assert event["dns.answers.data"] == ["cdn.example.vn", "192.0.2.1", "hello an"]
    assert event["dns.answers.type"] == ["CNAME", "A", "TXT"]
    assert (event["dns.resolved_ip"], event["dns.response_code"]) == (["192.0.2.1"], "NOERROR")
    assert event["@timestamp"] == "2026-11-24T06:00:00.000Z"


def test_a_question_that_nobody_answers_and_a_name_that_is_not_there() -> None:
    (open_one,) = of(exchange((True, question("a.example"))), "network.dns")
    assert "dns.response_code" not in open_one
    asked = question("b.example")
    (missing,) = of(exchange((True, asked), (False, answer(asked, code=3))), "network.dns")
    assert (missing["dns.response_code"], missing["event.outcome"]) == ("NXDOMAIN", "failure")


@pytest.mark.parametrize(
    "message",
    [b"", b"x" * 11, question("a.b")[:-3], question("a.b")[:12] + b"\xc0\x0c" + b"\0\1\0\1", b"\xff" * 60],
)
def test_what_is_no_dns_makes_no_event(message: bytes) -> None:
    assert of(exchange((True, message)), "network.dns") == []


def test_names_that_are_no_text_are_written_out() -> None:
    message = struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0) + b"\4\x00\xff.a\2vn\0\0\1\0\1"
    assert dns.read_message(message)[1]["dns.question.name"] == "\\x00\\xff.a.vn"


def http(*segments: tuple[int, bytes]) -> list[dict[str, Any]]:
    talk = Talk(ports=(40_000, 8080)).opens()
    for side, payload in segments:
        talk.says(side, ACK | PSH, payload)
    return of(sensed(pcap(talk.closes().frames)), "network.http")


REQUEST = (
    b"POST /a/b?c=%C4%91 HTTP/1.1\r\nHost: Web.Example.vn:8080\r\nUser-Agent: curl/8\r\nContent-Length: 5\r\n"
    b"Authorization: Basic c2VjcmV0\r\n\r\nhello"
)
RESPONSE = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 9\r\n\r\nnot there"


def test_a_request_and_its_response_are_one_event_and_no_password_is_kept() -> None:
    (event,) = http((0, REQUEST), (1, RESPONSE))
    assert (event["http.request.method"], event["url.domain"], event["url.path"]) == ("POST", "web.example.vn", "/a/b")
    assert (event["url.query"], event["user_agent.original"], event["http.request.body.bytes"]) == (
        "c=%C4%91",
        "curl/8",
        5,
    )
    assert (event["http.response.status_code"], event["http.response.mime_type"]) == (404, "text/html")
    assert event["http.request.authorization"] == "basic"
    assert "c2VjcmV0" not in str(event)


def test_headers_in_pieces_several_requests_and_bodies_that_look_like_headers() -> None:
    found = http(
        (0, REQUEST[:30]), (0, REQUEST[30:]), (1, b"HTTP/1.1 100 Continue\r\n\r\n"), (1, RESPONSE),
        (0, b"GET http://other.example/x HTTP/1.1\r\n\r\n"), (1, RESPONSE.replace(b"404", b"200")), (1, b"more of the body"),
        (0, b"GET /never-answered HTTP/1.0\r\n\r\n"),
    )  # fmt: skip
    assert [event["url.path"] for event in found] == ["/a/b", "/x", "/never-answered"]
    assert [event.get("http.response.status_code") for event in found] == [404, 200, None]
    assert found[1]["url.domain"] == "other.example"


def test_a_header_without_an_end_is_read_as_far_as_it_may_be() -> None:
    (event,) = http((0, b"GET /long HTTP/1.1\r\nX: " + b"a" * 1_400), *[(0, b"b" * 1_400)] * 20)
    assert event["url.path"] == "/long"


def test_ssh_versions_of_both_sides() -> None:
    talk = Talk(ports=(40_000, 2222)).opens()
    talk.says(1, ACK | PSH, b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n")
    talk.says(0, ACK | PSH, b"SSH-2.0-libssh_0.9")
    talk.says(0, ACK | PSH, b".6\r\nrest")
    (event,) = of(sensed(pcap(talk.closes().frames)), "network.ssh")
    assert event["ssh.client.version"] == "SSH-2.0-libssh_0.9.6"
    assert event["ssh.server.version"] == "SSH-2.0-OpenSSH_9.2p1 Debian"


def test_segments_that_come_out_of_order_twice_or_never() -> None:
    side = Side()
    assert side.in_order(b"ab", 2**32 - 1) == b"ab"  # the numbers begin anew
    assert side.in_order(b"ef", 3) == b""
    assert side.in_order(b"ab", 2**32 - 1) == b""
    assert side.in_order(b"bcd", 0) == b"cdef"
    gone = [side.in_order(b"x", 100 + n) for n in range(MAX_EARLY + 1)]
    assert b"".join(gone) == b"x" * (MAX_EARLY + 1)  # what was before is not waited for longer


#: Of nDPI's own captures (tests/pcap), what nDPI 4.13 says of them (tests/cfgs/default/result): JA3 and the hashes of JA4.
JA = {
    "imaps.pcap": {
        ("mail.ntop.org", "4923a265be4d81c68ecda45bb89cdf6a", "81acdcf97981_3304d8368043"),
        ("imap.asia.secureserver.net", "66b2d7acea2c20aeeebd69c8d44089d7", "2802a3db6c62_845d286b0d67"),
    },
    "psiphon3.pcap": {(None, "2d703033628575a99d44820c43b84876", "073e58a039a6_e70312a1ce2c")},
    "tls_client_certificate_with_missing_server_one.pcapng": {
        (None, "29b5a018fa5992fe23560c16af0dc9fc", "9197985d2161_a1e935682795"),
        (None, "201999283915cc31cee6b15472ef3332", "9197985d2161_a1e935682795"),
    },
}


@pytest.mark.parametrize("name", JA)
def test_fingerprints_are_those_that_another_sensor_finds(shared_data: Path, name: str) -> None:
    events = of(sensed((shared_data / "pcap" / "ndpi" / name).read_bytes()), "network.tls")
    found = {
        (each.get("tls.client.server_name"), each["tls.client.ja3"], each["tls.client.ja4"].partition("_")[2])
        for each in events
    }
    assert found == JA[name]


def test_ja3s_and_certificate_of_a_server(shared_data: Path) -> None:
    events = of(sensed((shared_data / "pcap" / "ndpi" / "imaps.pcap").read_bytes()), "network.tls")
    (event,) = [each for each in events if each["tls.client.server_name"] == "mail.ntop.org"]
    assert event["tls.server.ja3s"] == "b653c251b0ee54c3088fe7bb997cf59d"
    assert event["tls.server.hash.sha1"] == "f19a353096575e5681282cd945a58321 9ee8c5df".replace(" ", "")
    assert (event["tls.server.subject"], event["tls.version"]) == ("CN=mail.ntop.org", "1.2")
    assert event["tls.server.not_after"] == "2020-07-17T00:15:22Z"


def test_the_published_example_of_ja4() -> None:
    """The example of technical_details/JA4.md: Chrome over TCP."""
    hello = tls.Hello(
        0x0303,
        [0x1A1A, 0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC013, 0xC014, 0x9C, 0x9D, 0x2F, 0x35],
        [0x001B, 0, 0x33, 0x10, 0x4469, 0x17, 0x2D, 0x0D, 5, 0x23, 0x12, 0x2B, 0xFF01, 0x0B, 0x0A, 0x15],
        "example.com", [b"h2", b"http/1.1"], versions=[0x0304, 0x0303],
        signatures=[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
    )  # fmt: skip
    assert tls.ja4(hello) == "t13d1516h2_8daaf6152771_e5627efa2ab1"


@pytest.mark.parametrize("size", [1, 3, 7, 100, 100_000])
def test_a_handshake_is_the_same_however_it_is_cut(shared_data: Path, size: int) -> None:
    """Records that begin and end in the middle of what is given, and messages in the middle of records."""
    events = (shared_data / "pcap" / "ndpi" / "long_tls_certificate.pcap").read_bytes()
    said: dict[bytes, bytes] = {}
    for _, at, length, _, _ in capture_files.packets(events):
        packet = events[at : at + length]
        if packet[23] == TCP and (
            payload := packet[34 + (packet[46] >> 4) * 4 : 14 + int.from_bytes(packet[16:18], "big")]
        ):
            said[packet[26:38]] = said.get(packet[26:38], b"") + payload
    data = max(said.values(), key=len)
    assert data[:2] == b"\x16\x03"
    handshake = tls.Handshake()
    cut = [data[at : at + size] for at in range(0, len(data), size)]
    found = [message for piece in cut for message in handshake.take(False, piece)]
    assert found == list(tls.Handshake().take(False, data))
    assert tls.CERTIFICATE in [kind for kind, _ in found]


def test_fingerprints_of_an_offer_that_is_too_long_to_be_remembered() -> None:
    hello = tls.Hello(0x0303, list(range(5000)))
    text = tls.ja3_text(hello)
    assert tls.ja3(hello) == hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    assert text.count("-") == 4999 - 1  # 0x0A0A is GREASE
    assert tls.ja4(hello).startswith("t12i9900")


def test_dhcp() -> None:
    fixed = bytes((1, 1, 6, 0)) + b"\0" * 24 + bytes.fromhex("001122334455") + b"\0" * 202
    options = b"\x63\x82\x53\x63\x35\1\3\x0c\6laptop\x3c\7MSFT5.0\x37\3\1\3\6\x32\4\x0a\0\0\7\xff"
    frame = ethernet(ip("0.0.0.0", "255.255.255.255", 17, udp(68, 67, fixed + options)))
    (event,) = of(sensed(pcap([(START, frame)])), "network.dhcp")
    assert (event["dhcp.message"], event["dhcp.mac"]) == (["REQUEST"], "00-11-22-33-44-55")
    assert (event["dhcp.host_name"], event["dhcp.vendor_class"]) == ("laptop", "MSFT5.0")
    assert (event["dhcp.options"], event["dhcp.requested_ip"]) == ("1,3,6", "10.0.0.7")


def test_large_echoes_are_told_of_and_pings_are_not() -> None:
    frames = []
    for number, size in enumerate((56, 900, 700)):
        for kind, sides in ((8, (CLIENT, SERVER)), (0, (SERVER, CLIENT))):
            message = struct.pack("!BBHHH", kind, 0, 0, 7, number) + b"x" * size
            frames.append((START + number * 1000 + (not kind), ethernet(ip(*sides, 1, message))))
    found = of(sensed(pcap(frames)), "network.icmp")
    assert [(each["icmp.type"], each["icmp.bytes"]) for each in found] == [(8, 900), (0, 900), (8, 700), (0, 700)]
    assert {each["source.ip"] for each in found} == {CLIENT}
