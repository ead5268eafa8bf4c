"""Zeek's logs: the same event from JSON and from TSV, every log, and what is no record."""

import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from collectors.decoders import Hints, decode, decode_object
from collectors.decoders.zeek_layout import Layout, Layouts, kind_of_file
from collectors.envelope import Origin
from collectors.reading import read_file
from detectors.sigma import RuleSet

_NOW = datetime(2026, 11, 24, 5, 17, 44, tzinfo=UTC)
_ID = {
    "uid": "CYwXsR3yfDq6hooIU2",
    "id.orig_h": "10.0.0.5",
    "id.orig_p": 40000,
    "id.resp_h": "10.0.0.9",
    "id.resp_p": 445,
}
_TS = {"ts": 1601998366.786397}
_TYPES = {
    "ts": "time", "uid": "string", "id.orig_h": "addr", "id.orig_p": "port", "id.resp_h": "addr", "id.resp_p": "port",
    "proto": "enum", "duration": "interval", "rtt": "interval",
}  # fmt: skip


def as_tsv(records: list[dict[str, Any]], log: str) -> str:
    """What Zeek's ASCII writer makes of the same records."""
    names = list(dict.fromkeys(name for record in records for name in record if name != "_path"))
    types = [_type(name, next(record[name] for record in records if name in record)) for name in names]
    head = [
        "#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-", f"#path\t{log}",
        "#open\t2020-10-06-17-32-56", "\t".join(["#fields", *names]), "\t".join(["#types", *types]),
    ]  # fmt: skip
    lines = ["\t".join(_text(record.get(name)) for name in names) for record in records]
    return "\n".join([*head, *lines, "#close\t2020-10-06-17-33-29", ""])


def _type(name: str, value: Any) -> str:
    if name in _TYPES:
        return _TYPES[name]
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, list):
        return f"vector[{_type('', value[0]) if value else 'string'}]"
    return {int: "count", float: "double"}.get(type(value), "string")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, list):
        return ",".join(_text(item).replace(",", "\\x2c") for item in value) or "(empty)"
    if isinstance(value, float):
        return f"{value:.6f}"
    text = str(value).replace("\\", "\\x5c").replace("\t", "\\x09").replace("\n", "\\x0a")
    return text or "(empty)"


def _events(path: Path) -> list[dict[str, Any]]:
    origin = Origin("thu", "may", "vn")
    return [orjson.loads(line) for lines, _ in read_file(path, origin, 131_072) for line in lines]


def _zeek(log: str, **fields: Any) -> dict[str, Any]:
    names = {name.replace("__", "."): value for name, value in fields.items()}
    return decode_object({"_path": log, **_TS, **_ID, **names}, Hints(), _NOW)


def _in(fields: dict[str, Any], **expected: Any) -> None:
    wanted = {name.replace("__", "."): value for name, value in expected.items()}
    assert {name: fields.get(name) for name in wanted} == wanted


@pytest.mark.parametrize("name", ["malicious15/conn.log", "malicious15/ssl.log", "port-scans/vertical/conn.log"])
def test_tsv_gives_what_json_gives(name: str, tmp_path: Path, shared_data: Path) -> None:
    path = shared_data / "zeek" / name
    records = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    for record in records:
        record["ts"] = round(record["ts"] % 1e6 + 1.6e9, 6)
        for key, value in record.items():
            record[key] = round(value, 6) if isinstance(value, float) else value
    tsv, json = tmp_path / "a" / path.name, tmp_path / "b" / path.name
    for file, content in ((tsv, as_tsv(records, path.stem).encode()), (json, b"\n".join(map(orjson.dumps, records)))):
        file.parent.mkdir()
        file.write_bytes(content)
    left_out = ("event.id", "event.ingested", "message", "event.original", "log.file.path", "event.sequence")
    pairs = zip(_events(tsv), _events(json), strict=True)
    for one, other in pairs:
        for key in left_out:
            one.pop(key, None), other.pop(key, None)
        for event in (one, other):  # TSV cannot say an empty text or list apart from an unset one
            assert "error.message" not in event, event
        assert one == {key: value for key, value in other.items() if value != ""}


def test_every_real_log_is_read_whole(shared_data: Path) -> None:
    seen: dict[str, int] = {}
    for path in sorted((shared_data / "zeek").rglob("*.log")):
        for event in _events(path):
            assert event["event.dataset"] == f"zeek.{path.stem}", (path, event)
            fault = event.get("error.message", "")
            assert not fault or "time stamp '1970" in fault or (path.stem == "notice" and "columns" in fault), event
            seen[event["event.dataset"]] = seen.get(event["event.dataset"], 0) + 1
    assert seen["zeek.conn"] == 193
    assert seen["zeek.dns"] == 93
    assert seen["zeek.ssl"] == 219


def test_conn_is_a_flow() -> None:
    fields = _zeek(
        "conn", proto="tcp", service="gssapi,smb", duration=0.5, orig_bytes=10, resp_bytes=20, conn_state="RSTO",
        orig_pkts=3, orig_ip_bytes=130, resp_pkts=2, resp_ip_bytes=100, vlan=7, orig_l2_addr="00:0c:29:66:c7:82",
    )  # fmt: skip
    _in(
        fields, event__dataset="zeek.conn", event__action="network_flow", event__type=["connection", "end"],
        event__category=["network"], event__start="2020-10-06T15:32:46.786397Z", event__end="2020-10-06T15:32:47.286397Z",
        event__duration=500_000_000, source__ip="10.0.0.5", destination__port=445, network__transport="tcp",
        network__protocol="smb", source__bytes=130, destination__bytes=100, network__bytes=230, network__packets=5,
        flow__payload__source=10, flow__payload__destination=20, flow__state="RSTO", event__outcome="success",
        flow__id="CYwXsR3yfDq6hooIU2", source__mac="00-0C-29-66-C7-82", network__vlan__id="7", network__type="ipv4",
        zeek__conn__conn_state="RSTO",
    )  # fmt: skip
    assert fields["@timestamp"] == fields["event.end"]
    assert fields["network.community_id"].startswith("1:")
    assert "zeek.conn.id.orig_h" not in fields
    assert _zeek("conn_long", proto="tcp", conn_state="S1")["event.type"] == ["connection", "info"]
    assert _zeek("conn", proto="tcp", community_id="1:abc=")["network.community_id"] == "1:abc="


@pytest.mark.parametrize(
    ("state", "outcome"),
    [("SF", "success"), ("S1", "success"), ("S0", "failure"), ("REJ", "failure"), ("SHR", "failure"), ("OTH", None)],
)
def test_the_state_says_whether_the_other_side_took_part(state: str, outcome: str | None) -> None:
    assert _zeek("conn", proto="tcp", conn_state=state).get("event.outcome") == outcome


def test_icmp_has_type_and_code_instead_of_ports() -> None:
    fields = _zeek("conn", proto="icmp", id__orig_p=8, id__resp_p=0, conn_state="OTH")
    _in(fields, icmp__type=8, icmp__code=0, source__port=None, network__transport="icmp", flow__state=None)
    fields = _zeek("conn", proto="icmp", id__orig_p=3, id__resp_p=13)
    _in(fields, icmp__type=3, icmp__code=13)
    six = {"id__orig_h": "fe80::1", "id__resp_h": "ff02::1", "id__orig_p": 135, "id__resp_p": 136}
    _in(_zeek("conn", proto="icmp", **six), network__transport="ipv6-icmp", icmp__type=135, icmp__code=0)


def test_transactions() -> None:
    fields = _zeek(
        "dns", proto="udp", trans_id=3478, query="Clients6.Google.com.", qclass_name="C_INTERNET", qtype_name="AAAA",
        rcode_name="NOERROR", AA=False, RD=True, RA=True, answers=["x.example", "2A00:1450::200E"], rtt=0.007,
    )  # fmt: skip
    _in(
        fields, dns__id="3478", dns__question__name="clients6.google.com", dns__question__type="AAAA",
        dns__question__class="IN", dns__response_code="NOERROR", dns__answers__data=["x.example", "2A00:1450::200E"],
        dns__resolved_ip=["2a00:1450::200e"], dns__header_flags=["RD", "RA"],
    )  # fmt: skip
    fields = _zeek(
        "http", method="GET", host="Example.vn:8080", uri="/a/b?c=d", version="1.1", user_agent="curl", status_code=200,
        resp_mime_types=["text/html"], request_body_len=0, response_body_len=5, username="an",
    )  # fmt: skip
    _in(
        fields, http__request__method="GET", url__domain="example.vn", url__original="/a/b?c=d", url__path="/a/b",
        url__query="c=d", http__response__status_code=200, http__response__mime_type="text/html",
        http__request__body__bytes=0, user__name="an", network__transport="tcp",
    )  # fmt: skip
    fields = _zeek(
        "ssl", version="TLSv12", cipher="X", server_name="A.vn", established=True, resumed=False, ja3="j", ja4="k"
    )
    _in(fields, tls__version="1.2", tls__client__server_name="a.vn", tls__established=True, tls__client__ja4="k")
    _in(
        _zeek("ssh", client="SSH-2.0-a", auth_success=False, auth_attempts=3),
        ssh__auth__attempts=3,
        event__outcome="failure",
    )
    fields = _zeek("smb_files", action="SMB::FILE_WRITE", path="\\\\dc\\ADMIN$", name="temp\\x.exe", size=7)
    _in(
        fields, smb__command="FILE_WRITE", smb__share="\\\\dc\\ADMIN$", file__name="x.exe", file__size=7,
        file__path="\\\\dc\\ADMIN$\\temp\\x.exe", smb__pipe=None,
    )  # fmt: skip
    _in(_zeek("smb_files", action="SMB::FILE_OPEN", path="\\\\dc\\IPC$", name="svcctl"), smb__pipe="svcctl")
    _in(
        _zeek("smb_mapping", path="\\\\dc\\C$", share_type="DISK"), smb__command="TREE_CONNECT", smb__share="\\\\dc\\C$"
    )
    fields = _zeek("dce_rpc", named_pipe="\\pipe\\svcctl", endpoint="svcctl", operation="CreateServiceW")
    _in(fields, dce_rpc__endpoint="svcctl", dce_rpc__operation="CreateServiceW", dce_rpc__pipe="\\pipe\\svcctl")
    fields = _zeek(
        "kerberos", request_type="TGS", client="an/EXAMPLE.VN", service="cifs/dc", success=True, cipher="rc4-hmac"
    )
    _in(
        fields,
        kerberos__request="TGS",
        kerberos__cipher="rc4-hmac",
        user__name="an",
        user__domain="EXAMPLE.VN",
        event__outcome="success",
    )
    _in(
        _zeek("rdp", cookie="an", client_name="MAY01", security_protocol="HYBRID"),
        rdp__cookie="an",
        rdp__client__name="MAY01",
    )
    _in(
        _zeek("ntlm", username="an", domainname="X", hostname="MAY01", success=False),
        user__name="an",
        event__outcome="failure",
    )
    _in(_zeek("tunnel", tunnel_type="Tunnel::TEREDO", action="Tunnel::DISCOVER"), network__protocol="teredo")


def test_logs_without_a_connection_of_their_own() -> None:
    dhcp = {"_path": "dhcp", "ts": 1.6e9, "uids": ["C1"], "mac": "00:0c:29:66:c7:82", "assigned_addr": "10.0.0.7",
            "server_addr": "10.0.0.1", "host_name": "may", "lease_time": 3600.0, "msg_types": ["discover", "OFFER"]}  # fmt: skip
    _in(
        decode_object(dhcp, Hints(), _NOW), dhcp__message=["DISCOVER", "OFFER"], dhcp__mac="00-0C-29-66-C7-82",
        dhcp__assigned_ip="10.0.0.7", dhcp__server_ip="10.0.0.1", dhcp__lease_seconds=3600, flow__id="C1",
    )  # fmt: skip
    files = {"_path": "files", "ts": 1.6e9, "fuid": "F1", "tx_hosts": ["10.0.0.9"], "rx_hosts": ["10.0.0.5"], "conn_uids": ["C1"],
             "is_orig": False, "source": "HTTP", "filename": "a.exe", "seen_bytes": 9, "total_bytes": 10, "md5": "AB"}  # fmt: skip
    _in(
        decode_object(files, Hints(), _NOW), source__ip="10.0.0.5", destination__ip="10.0.0.9", file__size=10,
        file__hash__md5="ab", network__protocol="http", flow__id="C1",
    )  # fmt: skip
    notice = {
        "_path": "notice",
        "ts": 1.6e9,
        "note": "Scan::Port_Scan",
        "msg": "x",
        "src": "10.0.0.5",
        "dst": "10.0.0.9",
        "p": 23,
    }
    _in(
        decode_object(notice, Hints(), _NOW), event__kind="alert", rule__id="Scan::Port_Scan", rule__category="Scan",
        source__ip="10.0.0.5", destination__ip="10.0.0.9", destination__port=23,
    )  # fmt: skip
    software = {
        "ts": 1.6e9,
        "host": "10.0.0.5",
        "software_type": "SSH::CLIENT",
        "name": "OpenSSH",
        "version.major": 8,
        "version": {"minor": 1},
    }
    _in(
        decode_object(software, Hints(), _NOW),
        event__dataset="zeek.software",
        host__ip="10.0.0.5",
        zeek__software__name="OpenSSH",
    )
    other = decode_object({"_path": "modbus", "ts": 1.6e9, **_ID, "func": "READ_COILS"}, Hints(), _NOW)
    _in(other, event__dataset="zeek.modbus", zeek__modbus__func="READ_COILS", source__ip="10.0.0.5")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("conn.log", "conn"), ("/x/dns.log.gz", "dns"), ("conn.2024-05-01-00-00-00.log", "conn"), ("http.00:00:00-01:00:00.log.gz", "http"),
        ("smb_files.log", "smb_files"), ("x509_20240501.json", "x509"), ("ssl.log.1", "ssl"), ("messages.log", None), ("connections.log", None),
        ("conn", None), ("conn.log.zst", "conn"), ("eve.json", None),
    ],
)  # fmt: skip
def test_a_file_s_name_says_which_log_it_is(name: str, kind: str | None) -> None:
    assert kind_of_file(name) == kind


def test_objects_are_known_by_path_name_and_fields_and_others_are_not_taken() -> None:
    def dataset(obj: dict[str, Any], **hints: Any) -> str:
        return str(decode_object(obj, Hints(**hints), _NOW)["event.dataset"])

    plain = {**_TS, **_ID}
    assert dataset({**plain, "conn_state": "S0"}) == "zeek.conn"
    assert dataset({**plain, "trans_id": 1, "proto": "udp"}) == "zeek.dns"
    assert dataset({**plain, "x": 1}, layout=Layout(log="mysql")) == "zeek.mysql"
    assert dataset({**plain, "x": 1}, dataset="zeek.mysql") == "zeek.mysql"
    nested = {
        **_TS,
        "uid": "C1",
        "id": {"orig_h": "10.0.0.5", "orig_p": 1, "resp_h": "10.0.0.9", "resp_p": 2},
        "conn_state": "SF",
        "proto": "tcp",
    }
    assert decode_object(nested, Hints(), _NOW)["source.ip"] == "10.0.0.5"
    caddy = {"level": "info", "ts": 1.6e9, "logger": "http.log.access", "msg": "handled request", "status": 200}
    assert dataset({"ts": 1.6e9, "message": "x"}, layout=Layout(log="http")) == "json"
    assert dataset(caddy) == "json"
    assert dataset({**caddy, "host": "a.vn", "name": "x", "id": "7"}, layout=Layout(log="http")) == "json"
    assert dataset({"ts": 1.6e9, "host": "10.0.0.5"}, layout=Layout(log="known_hosts")) == "zeek.known_hosts"
    assert (
        dataset({"ts": 1.6e9, "level": "Reporter::INFO", "location": ""}, layout=Layout(log="reporter"))
        == "zeek.reporter"
    )
    line = orjson.dumps({"_path": "conn", **plain, "conn_state": "SF", "proto": "tcp"}).decode()
    assert decode(f"<13>Nov 24 05:17:44 sensor zeek: {line}", Hints(syslog=True), _NOW)["event.dataset"] == "zeek.conn"


@pytest.mark.parametrize(
    "stamp", [1601998366.786397, "1601998366.786397", "2020-10-06T15:32:46.786397Z", "2020-10-06T22:32:46.786397+07:00"]
)
def test_every_form_of_time(stamp: Any) -> None:
    assert _zeek("weird", ts=stamp, name="x")["@timestamp"] == "2020-10-06T15:32:46.786397Z"


@pytest.mark.parametrize("stamp", ["", "x", -1.0, 1e300, True, [1], "99999999999999999999"])
def test_a_time_that_is_none_is_told(stamp: Any) -> None:
    fields = _zeek("weird", ts=stamp, name="x")
    assert "@timestamp" not in fields
    assert "time stamp not understood" in fields["error.message"]


def test_escapes_unset_and_empty_values_sets_and_wrong_columns() -> None:
    layouts = Layouts("x.log")
    for line in (b"#separator \\x7c", b"#set_separator|;", b"#empty_field|EMPTY", b"#unset_field|?", b"#path|smtp",
                 b"#fields|ts|uid|a|b|c|d|e|f", b"#types|time|string|string|set[string]|vector[count]|string|bool|int"):  # fmt: skip
        assert layouts.is_header(line)
    hints = Hints(layout=layouts.layout)
    fields = decode("1600000000.5|C1|Ti\\xe1\\xba\\xbfng \\x7c|x\\x3b;?;y|1;2|?|T|-4", hints, _NOW)
    _in(
        fields, event__dataset="zeek.smtp", zeek__smtp__a="Tiếng |", zeek__smtp__b=["x;", "y"], zeek__smtp__c=[1, 2],
        zeek__smtp__d=None, zeek__smtp__e=True, zeek__smtp__f=-4, flow__id="C1",
    )  # fmt: skip
    fields = decode("1600000000.5|C1|EMPTY|EMPTY|EMPTY|x|F|y", hints, _NOW)
    _in(fields, zeek__smtp__a=None, zeek__smtp__b=None, zeek__smtp__c=None, zeek__smtp__f="y", zeek__smtp__e=False)
    fields = decode("1600000000.5|C1", hints, _NOW)
    _in(
        fields, event__dataset="zeek.smtp", error__message="2 columns where the header has 8", message="1600000000.5|C1"
    )
    assert layouts.is_header(b"#close|2020-01-01")
    assert not Layouts("x.log").is_header(b"# a comment of another program")


def test_a_line_before_the_header_of_its_columns_is_kept_and_told() -> None:
    layouts = Layouts("conn.log")
    assert layouts.is_header(b"#separator \\x09")
    fields = decode("1\t2", Hints(layout=layouts.layout), _NOW)
    _in(
        fields,
        event__dataset="zeek.conn",
        message="1\t2",
        error__message="a line before the header that names its columns",
    )


def test_headers_of_one_file_replace_each_other(tmp_path: Path) -> None:
    first = as_tsv([{**_TS, **_ID, "conn_state": "S0", "proto": "tcp"}], "conn")
    second = as_tsv([{**_TS, "uid": "C2", "query": "a.vn"}], "dns")
    path = tmp_path / "all.txt"
    path.write_text(first + second, "utf-8")
    found = [(event["event.dataset"], event["flow.id"]) for event in _events(path)]
    assert found == [("zeek.conn", "CYwXsR3yfDq6hooIU2"), ("zeek.dns", "C2")]


def test_the_header_is_found_again_from_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collectors.decoders.zeek_layout._LOOK_BYTES", 700)
    first = as_tsv([{**_TS, **_ID, "n": number} for number in range(50)], "one")
    second = as_tsv([{**_TS, "uid": "C2", "m": number} for number in range(50)], "two")
    content = (first + second).encode()

    def read(size: int, at: int) -> bytes:
        return content[at : at + size]

    for offset, log in ((len(first) - 40, "one"), (len(content) - 40, "two"), (len(first) + 900, "two")):
        layouts = Layouts("x.log")
        layouts.recover(read, offset)
        assert layouts.layout is not None
        assert layouts.layout.log == log
    plain = Layouts("x.log")
    plain.recover(lambda size, at: b"no header\n" * 9, 50)
    assert plain.layout is None


def test_packed_and_rotated_files_are_read_by_name(tmp_path: Path) -> None:
    record = {**_TS, **_ID, "rows": 5}
    path = tmp_path / "mysql.2020-10-06-17-00-00.log.gz"
    path.write_bytes(gzip.compress(b"\n".join([orjson.dumps(record)] * 2)))
    assert [event["event.dataset"] for event in _events(path)] == ["zeek.mysql"] * 2
    tsv = tmp_path / "dns.log.gz"
    tsv.write_bytes(gzip.compress(as_tsv([{**_TS, "uid": "C2", "query": "a.vn"}], "dns").encode()))
    assert [event["dns.question.name"] for event in _events(tsv)] == ["a.vn"]


_FOUND_BY = [
    ("kerberos", {"request_type": "TGS", "cipher": "rc4-hmac", "service": "cifs/dc"}, "Kerberos Network Traffic RC4 Ticket Encryption"),
    ("x509", {"certificate.serial": "8BB00EE"}, "Default Cobalt Strike Certificate"),
    ("dce_rpc", {"endpoint": "svcctl", "operation": "CreateServiceW"}, "MITRE BZAR Indicators for Execution"),
    ("dns", {"proto": "udp", "query": "x.minexmr.com", "qtype_name": "A"}, "DNS Events Related To Mining Pools"),
    ("dns", {"proto": "udp", "query": "a.example", "Z": 1, "qtype_name": "A"}, "Suspicious DNS Z Flag Bit Set"),
    ("http", {"method": "GET", "host": "bad.tk", "uri": "/x/y.exe"}, "HTTP Request to Low Reputation TLD or Suspicious File Extension"),
    ("rdp", {"id.orig_h": "203.0.113.7", "cookie": "an"}, "Publicly Accessible RDP Service"),
    ("smb_files", {"path": "\\\\dc\\IPC$", "name": "x-stdin"}, "Suspicious PsExec Execution - Zeek"),
]  # fmt: skip


@pytest.fixture(scope="module")
def zeek_rules(shared_data: Path) -> RuleSet:
    return RuleSet.load(shared_data / "sigma" / "rules" / "network" / "zeek")


@pytest.mark.parametrize(("log", "fields", "rule"), _FOUND_BY)
def test_sigmahq_s_rules_for_zeek_find_it(zeek_rules: RuleSet, log: str, fields: dict[str, Any], rule: str) -> None:
    record = {"_path": log, "ts": 1795500000.5, **_ID, **fields}
    event = orjson.loads(Origin("thu", "may", "vn").line_event(orjson.dumps(record), ("x", 1), _NOW, {}))
    assert rule in {found.title for found in zeek_rules.evaluate(event)}
