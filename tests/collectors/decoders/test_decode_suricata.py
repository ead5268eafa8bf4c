"""Suricata's EVE: every event type, the layouts of DNS, and who began where a record is that of a packet."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from collectors.decoders import Hints, decode, decode_object

_NOW = datetime(2026, 11, 24, 5, 17, 44, tzinfo=UTC)
_SIDES = {"src_ip": "10.0.0.5", "src_port": 40000, "dest_ip": "203.0.113.9", "dest_port": 443, "proto": "TCP"}
_BACK = {"src_ip": "203.0.113.9", "src_port": 443, "dest_ip": "10.0.0.5", "dest_port": 40000, "proto": "TCP"}


def _eve(kind: str, part: Any = None, sides: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    record = {"timestamp": "2026-11-24T05:17:44.123456+0700", "flow_id": 1805461738637437, "event_type": kind}
    record |= _SIDES if sides is None else sides
    if part is not None:
        record[kind] = part
    return decode_object({**record, **more}, Hints(), _NOW)


def _in(fields: dict[str, Any], **expected: Any) -> None:
    wanted = {name.replace("__", "."): value for name, value in expected.items()}
    assert {name: fields.get(name) for name in wanted} == wanted


def test_flow() -> None:
    part = {
        "pkts_toserver": 6, "pkts_toclient": 5, "bytes_toserver": 496, "bytes_toclient": 876, "start": "2026-11-24T05:17:00.000001+0700",
        "end": "2026-11-24T05:17:02.500001+0700", "age": 2, "state": "closed", "reason": "timeout", "alerted": False,
    }  # fmt: skip
    fields = _eve("flow", part, tcp={"tcp_flags": "1b", "tcp_flags_ts": "1b", "tcp_flags_tc": "1b"}, app_proto="tls", vlan=[12], community_id="1:x=",
                  ether={"src_mac": "00:03:2d:3f:e5:63", "dest_mac": "00:1b:17:00:01:18"})  # fmt: skip
    _in(
        fields, event__dataset="suricata.flow", event__action="network_flow", event__type=["connection", "end"],
        event__start="2026-11-23T22:17:00.000001Z", event__end="2026-11-23T22:17:02.500001Z", event__duration=2_500_000_000,
        source__ip="10.0.0.5", destination__port=443, source__bytes=496, destination__packets=5, network__bytes=1372,
        flow__state="SF", event__outcome="success", flow__id="1805461738637437", network__protocol="tls",
        network__vlan__id="12", network__community_id="1:x=", source__mac="00-03-2D-3F-E5-63",
        suricata__eve__flow__reason="timeout", suricata__eve__src_ip=None,
    )  # fmt: skip
    assert fields["@timestamp"] == fields["event.end"]


@pytest.mark.parametrize(
    ("source", "destination", "state", "outcome"),
    [
        ("02", "00", "S0", "failure"), ("02", "14", "REJ", "failure"), ("1b", "1b", "SF", "success"), ("12", "12", "S1", "success"),
        ("16", "12", "RSTO", "success"), ("1a", "16", "RSTR", "success"), ("13", "12", "S2", "success"), ("12", "13", "S3", "success"),
        ("06", "00", "RSTOS0", "failure"), ("03", "00", "SH", "failure"), ("00", "12", "SHR", "failure"), ("00", "16", "RSTRH", "failure"),
        ("10", "10", "OTH", None), ("10", "00", "OTH", None),
    ],
)  # fmt: skip
def test_tcp_flags_say_how_it_went(source: str, destination: str, state: str, outcome: str | None) -> None:
    fields = _eve("flow", {"pkts_toserver": 1}, tcp={"tcp_flags_ts": source, "tcp_flags_tc": destination})
    _in(fields, flow__state=state, event__outcome=outcome)


def test_udp_and_icmp_flows() -> None:
    udp = {**_SIDES, "proto": "UDP"}
    _in(_eve("flow", {"pkts_toclient": 0}, udp), event__outcome="failure", flow__state=None)
    _in(_eve("flow", {"pkts_toclient": 2}, udp), event__outcome="success")
    icmp = {
        "src_ip": "fe80:0000:0000:0000:0000:0000:0000:0001",
        "dest_ip": "ff02::1",
        "proto": "IPv6-ICMP",
        "icmp_type": 128,
        "icmp_code": 0,
    }
    fields = _eve("flow", {}, icmp)
    _in(
        fields,
        source__ip="fe80::1",
        network__transport="ipv6-icmp",
        icmp__type=128,
        source__port=None,
        network__type="ipv6",
    )
    assert fields["network.community_id"].startswith("1:")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "answer", "id": 9, "flags": "8180", "rcode": "NOERROR", "rrname": "A.Example.", "rrtype": "A", "ttl": 9, "rdata": "192.0.2.1"},
        {"version": 2, "type": "answer", "id": 9, "flags": "8180", "qr": True, "rd": True, "ra": True, "rcode": "NOERROR", "rrname": "a.example",
         "rrtype": "A", "answers": [{"rrname": "a.example", "rrtype": "A", "ttl": 9, "rdata": "192.0.2.1"}], "grouped": {"A": ["192.0.2.1"]}},
        {"version": 2, "type": "answer", "id": 9, "flags": "8180", "rcode": "NOERROR", "rrname": "a.example", "rrtype": "A", "grouped": {"A": ["192.0.2.1"]}},
        {"version": 3, "type": "response", "id": 9, "flags": "8180", "rd": True, "ra": True, "rcode": "NOERROR", "queries": [{"rrname": "a.example", "rrtype": "A"}],
         "answers": [{"rrname": "a.example", "rrtype": "A", "ttl": 9, "rdata": "192.0.2.1"}]},
    ],
)  # fmt: skip
def test_every_layout_of_dns_says_the_same(part: dict[str, Any]) -> None:
    back = {"src_ip": "10.0.0.1", "src_port": 53, "dest_ip": "10.0.0.5", "dest_port": 40000, "proto": "UDP"}
    fields = _eve("dns", part, back)
    _in(
        fields, event__dataset="suricata.dns", dns__type="answer", dns__id="9", dns__question__name="a.example", dns__question__type="A",
        dns__response_code="NOERROR", dns__answers__data=["192.0.2.1"], dns__resolved_ip=["192.0.2.1"], dns__header_flags=["RD", "RA"],
        source__ip="10.0.0.5", source__port=40000, destination__port=53, suricata__eve__src_ip="10.0.0.1",
    )  # fmt: skip
    asked = _eve(
        "dns",
        {"type": "query", "id": 9, "rrname": "a.example", "rrtype": "A"},
        {**back, "src_port": 40000, "dest_port": 53},
    )
    _in(asked, dns__type="query", source__ip="10.0.0.1", dns__response_code=None, dns__header_flags=None)
    asked = _eve(
        "dns", {"version": 3, "type": "request", "id": 9, "queries": [{"rrname": "a.example", "rrtype": "TXT"}]}
    )
    _in(asked, dns__type="query", dns__question__name="a.example", dns__question__type="TXT")


def test_an_alert_says_who_began_and_what_it_was_found_in() -> None:
    part = {
        "action": "allowed",
        "gid": 1,
        "signature_id": 2100498,
        "rev": 7,
        "signature": "GPL x",
        "category": "Bad",
        "severity": 2,
    }
    http = {
        "hostname": "testmynids.org",
        "url": "/uid/index.html",
        "http_user_agent": "curl",
        "status": 200,
        "http_method": "GET",
        "length": 39,
    }
    fields = _eve("alert", part, {**_BACK, "src_port": 80}, http=http, app_proto="http")
    _in(
        fields, event__dataset="suricata.alert", event__kind="alert", rule__id="2100498", rule__name="GPL x", rule__category="Bad",
        rule__version="7", event__severity=2, event__action="allowed", source__ip="10.0.0.5", destination__ip="203.0.113.9",
        destination__port=80, url__domain="testmynids.org", http__response__status_code=200, suricata__eve__src_ip="203.0.113.9",
        network__protocol="http",
    )  # fmt: skip
    high = {"src_ip": "10.0.0.9", "src_port": 9001, "dest_ip": "10.0.0.5", "dest_port": 4444, "proto": "TCP"}
    _in(_eve("alert", part, high), source__ip="10.0.0.9")
    _in(_eve("alert", part, high, direction="to_client"), source__ip="10.0.0.5")
    _in(_eve("alert", part, high, flow={"src_ip": "10.0.0.5", "src_port": 4444}), source__ip="10.0.0.5")
    _in(_eve("alert", part, high, flow={"src_ip": "10.0.0.9", "src_port": 9001}), source__ip="10.0.0.9")
    _in(_eve("alert", {**part, "action": "blocked"}), event__type=["denied"], event__action="blocked")
    _in(
        _eve("drop", {"len": 60, "reason": "rules"}, alert=part),
        event__action="blocked",
        event__kind="alert",
        rule__id="2100498",
    )


def test_transactions() -> None:
    part = {
        "hostname": "A.vn",
        "url": "http://A.vn/x?y=1",
        "http_method": "GET",
        "protocol": "HTTP/1.1",
        "http_refer": "r",
        "http_content_type": "text/html; charset=x",
    }
    _in(
        _eve("http", part), url__domain="a.vn", url__path="/x", url__query="y=1", http__version="1.1", http__request__referrer="r",
        http__response__mime_type="text/html", network__protocol="http",
    )  # fmt: skip
    part = {"subject": "CN=a", "issuerdn": "CN=b", "fingerprint": "6a:FF", "sni": "A.vn.", "version": "TLS 1.3", "notbefore": "2017-02-27T17:54:31",
            "ja3": {"hash": "h", "string": "s"}, "ja3s": {"hash": "g"}, "ja4": "t13", "session_resumed": True}  # fmt: skip
    _in(
        _eve("tls", part), tls__server__subject="CN=a", tls__server__hash__sha1="6aff", tls__client__server_name="a.vn", tls__version="1.3",
        tls__client__ja3="h", tls__server__ja3s="g", tls__client__ja4="t13", tls__resumed=True, tls__server__not_before="2017-02-27T17:54:31.000Z",
    )  # fmt: skip
    part = {
        "client": {"proto_version": "2.0", "software_version": "OpenSSH_7.6"},
        "server": {"software_version": "libssh"},
    }
    _in(_eve("ssh", part), ssh__client__version="SSH-2.0-OpenSSH_7.6", ssh__server__version="libssh")
    part = {
        "dialect": "2.10",
        "command": "SMB2_COMMAND_CREATE",
        "filename": "svcctl",
        "share": "\\\\dc\\IPC$",
        "ntlmssp": {"user": "an", "domain": "X"},
    }
    _in(
        _eve("smb", part),
        smb__version="2.10",
        smb__command="CREATE",
        smb__pipe="svcctl",
        user__name="an",
        file__path="\\\\dc\\IPC$\\svcctl",
    )
    part = {"request": "REQUEST", "interfaces": [{"uuid": "367abb81"}], "req": {"opnum": 12}}
    _in(_eve("dcerpc", part), event__dataset="suricata.dce_rpc", dce_rpc__endpoint="367abb81", dce_rpc__operation="12")
    part = {"msg_type": "KRB_TGS_REP", "cname": "an", "realm": "X.VN", "sname": "cifs/dc", "encryption": "rc4-hmac"}
    _in(
        _eve("krb5", part),
        event__dataset="suricata.kerberos",
        kerberos__request="TGS",
        kerberos__client="an/X.VN",
        event__outcome="success",
    )
    part = {"msg_type": "KRB_ERROR", "failed_request": "KRB_AS_REQ", "error_code": "KDC_ERR_PREAUTH_FAILED"}
    _in(_eve("krb5", part), kerberos__request="AS", kerberos__error="KDC_ERR_PREAUTH_FAILED", event__outcome="failure")
    _in(_eve("rdp", {"cookie": "an", "client": {"client_name": "MAY"}}), rdp__cookie="an", rdp__client__name="MAY")
    part = {
        "type": "request",
        "client_mac": "00:0c:29:66:c7:82",
        "assigned_ip": "10.0.0.7",
        "dhcp_type": "ack",
        "hostname": "may",
        "params": ["router", "dns_server"],
        "lease_time": 60,
    }
    _in(
        _eve("dhcp", part),
        dhcp__message=["ACK"],
        dhcp__mac="00-0C-29-66-C7-82",
        dhcp__options="router,dns_server",
        dhcp__lease_seconds=60,
    )
    part = {"filename": "/a/b.exe", "md5": "AA", "sha256": "bb", "size": 7, "mimetype": "x/y"}
    _in(
        _eve("fileinfo", part, _BACK),
        event__dataset="suricata.files",
        file__name="b.exe",
        file__hash__md5="aa",
        file__size=7,
        source__ip="10.0.0.5",
    )
    part = {
        "hw_type": "ethernet",
        "opcode": "reply",
        "src_mac": "00:0c:29:66:c7:82",
        "src_ip": "10.0.0.1",
        "dest_mac": "00:0c:29:66:c7:83",
        "dest_ip": "10.0.0.2",
    }
    _in(
        _eve("arp", part, {}),
        arp__operation="reply",
        source__mac="00-0C-29-66-C7-82",
        source__ip="10.0.0.1",
        destination__ip="10.0.0.2",
    )


def test_other_types_are_events_of_their_own() -> None:
    stats = {"uptime": 5400, "decoder": {"pkts": 430313, "invalid": 2}, "flow": {"tcp": 1}}
    fields = decode_object(
        {"timestamp": "2018-07-05T15:51:23.009510-0400", "event_type": "stats", "stats": stats}, Hints(), _NOW
    )
    _in(fields, event__dataset="suricata.stats", event__kind="metric", suricata__eve__stats__decoder__pkts=430313)
    assert fields["@timestamp"] == "2018-07-05T19:51:23.009510Z"
    _in(_eve("anomaly", {"type": "decode", "event": "decoder.ipv4.x"}), event__reason="decoder.ipv4.x")
    _in(
        _eve("mqtt", {"publish": {"topic": "t"}}),
        event__dataset="suricata.mqtt",
        suricata__eve__mqtt__publish__topic="t",
    )
    _in(
        _eve("netflow", {"pkts": 3, "bytes": 180}, _BACK),
        event__action=None,
        destination__bytes=180,
        source__ip="10.0.0.5",
    )
    _in(_eve("Weird type!", {}), event__dataset="suricata.weird_type_")


def test_what_is_no_eve_is_left_alone() -> None:
    for other in (
        {"event_type": "login", "timestamp": "2026-11-24T05:17:44Z", "user": "an"},
        {"event_type": "flow", "flow": {}},
    ):
        assert decode_object(other, Hints(), _NOW)["event.dataset"] == "json"
    line = orjson.dumps(
        {"timestamp": "2026-11-24T05:17:44Z", "event_type": "dns", "dns": {"rrname": "a"}, **_SIDES}
    ).decode()
    for text in (line, f"<13>Nov 24 05:17:44 may suricata[7]: {line}", f"@cee:{line}"):
        assert decode(text, Hints(syslog=text[0] == "<"), _NOW)["event.dataset"] == "suricata.dns"


@pytest.mark.parametrize(
    "kind",
    [
        "flow",
        "alert",
        "dns",
        "http",
        "tls",
        "ssh",
        "smb",
        "dcerpc",
        "krb5",
        "rdp",
        "dhcp",
        "arp",
        "fileinfo",
        "anomaly",
        "drop",
        "stats",
    ],
)
@pytest.mark.parametrize("part", [None, 1, "x", [], {}, [{"a": 1}], True])
def test_parts_of_any_other_kind_cost_nothing_but_themselves(kind: str, part: Any) -> None:
    names = "type id rrname answers queries grouped flags hostname url version sni ja3 client server command share start end msg_type params filename src_mac"
    odd = dict.fromkeys(names.split(), part)
    for value in (part, odd):
        fields = _eve(
            kind,
            value,
            dict.fromkeys(_SIDES, part),
            flow_id=7,
            flow=odd,
            tcp=odd,
            http=odd,
            dns=odd,
            ether=odd,
            vlan=part,
        )
        assert "decoder failed" not in fields.get("error.message", ""), fields["error.message"]
        assert fields["event.dataset"].startswith("suricata.")
