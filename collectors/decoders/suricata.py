"""Records of Suricata's EVE log in, of every event type; the fields of docs/network.md out.

Source: https://docs.suricata.io/en/latest/output/eve/eve-json-format.html and Suricata's `src/output-json*.c`,
`rust/src/*/log*.rs`. DNS comes in three layouts: one answer a record (version 1), all of them (2), and with `queries`
(3). All that Suricata says is kept as `suricata.eve.<its name>`.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, tzinfo
from typing import Any

from collectors.decoders.contract import Fields
from collectors.decoders.flattening import under
from collectors.decoders.network_fields import (
    address,
    count,
    digest,
    flag,
    host_name,
    mac,
    number,
    port,
    put,
    put_community_id,
    put_connection,
    put_span,
    put_state,
    put_sums,
    put_url,
    resolved,
    service,
    tcp_state,
    text,
    tls_version,
)
from collectors.decoders.timestamp import from_iso
from pipeline.event import to_micros

_Record = Mapping[str, Any]

#: Event types whose data set is called as other sensors' is.
_DATASETS = {"krb5": "kerberos", "dcerpc": "dce_rpc", "fileinfo": "files", "ikev2": "ike"}
_NONE: _Record = {}
#: What stands unchanged in a field of docs/network.md, unless the sides were changed.
_COPIED = {
    "timestamp": "@timestamp", "event_type": "event.dataset", "flow_id": "flow.id", "src_ip": "source.ip",
    "src_port": "source.port", "dest_ip": "destination.ip", "dest_port": "destination.port",
    "proto": "network.transport", "community_id": "network.community_id", "icmp_type": "icmp.type",
    "icmp_code": "icmp.code",
}  # fmt: skip
_SIDES = frozenset(("src_ip", "src_port", "dest_ip", "dest_port"))
#: Records that are written as the packet went, or may be: all others have the one first who began.
_AS_PACKETS = frozenset(("alert", "fileinfo", "anomaly", "drop", "dns", "packet", "frame", "netflow"))
#: Ports below this one are those of services: whoever sends from one to a port above answers.
_SERVICE_PORTS = 1024
_DNS_FLAGS = ((0x0400, "AA"), (0x0200, "TC"), (0x0100, "RD"), (0x0080, "RA"))


def is_eve(obj: _Record) -> bool:
    """Say whether a JSON object is a record of EVE."""
    kind = obj.get("event_type")
    if not isinstance(kind, str) or not isinstance(obj.get("timestamp"), str):
        return False
    if isinstance(obj.get(kind), dict | list):
        return True
    return "flow_id" in obj or ("src_ip" in obj and "dest_ip" in obj and "proto" in obj) or "pcap_cnt" in obj


def decode(obj: _Record, timezone: tzinfo) -> Fields:
    """One record → fields, at least `event.dataset`."""
    kind = str(obj["event_type"])
    name = "".join(sign if sign.isascii() and sign.isalnum() else "_" for sign in kind.lower())[:40] or "unknown"
    fields: Fields = {"event.dataset": f"suricata.{_DATASETS.get(name, name)}", "event.category": ["network"]}
    when = from_iso(str(obj.get("timestamp")), timezone)
    if when is not None:
        fields["@timestamp"] = when
    swapped = _answers(obj, name)
    _put_addresses(fields, obj, swapped)
    part = obj.get(kind)
    reader = _TYPES.get(name)
    if reader is not None:
        reader(fields, part if isinstance(part, dict) else _NONE, obj)
    if name in ("alert", "drop", "anomaly", "fileinfo"):
        _put_carried(fields, obj)
    put_community_id(fields, obj.get("community_id"))
    kept = {key: value for key, value in obj.items() if (swapped and key in _SIDES) or _COPIED.get(key) not in fields}
    fields.update(under("suricata.eve.", kept))
    return fields


def _answers(obj: _Record, kind: str) -> bool:
    """Say whether a record's sender is the one who was asked: records of packets have the packet's direction."""
    if kind not in _AS_PACKETS:
        return False
    flow = _part(obj, "flow")
    if address(flow.get("src_ip")) is not None:
        same = (address(flow.get("src_ip")), port(flow.get("src_port")))
        return same != (address(obj.get("src_ip")), port(obj.get("src_port")))
    if obj.get("direction") in ("to_client", "to_server"):
        return bool(obj["direction"] == "to_client")
    first, second = port(obj.get("src_port")), port(obj.get("dest_port"))
    return first is not None and second is not None and first < _SERVICE_PORTS <= second


def _put_addresses(fields: Fields, obj: _Record, swapped: bool) -> None:
    sides = [(obj.get("src_ip"), obj.get("src_port")), (obj.get("dest_ip"), obj.get("dest_port"))]
    if swapped:
        sides.reverse()
    (source, source_port), (destination, destination_port) = sides
    put_connection(fields, source, source_port, destination, destination_port, obj.get("proto"))
    hardware = _part(obj, "ether")
    macs = [_mac(hardware, "src_mac"), _mac(hardware, "dest_mac")]
    if swapped:
        macs.reverse()
    flow_id, vlan = obj.get("flow_id"), obj.get("vlan")
    put(fields, (
        ("source.mac", macs[0]),
        ("destination.mac", macs[1]),
        ("icmp.type", number(obj.get("icmp_type"))),
        ("icmp.code", number(obj.get("icmp_code"))),
        ("flow.id", str(flow_id) if isinstance(flow_id, int | str) else None),
        ("network.vlan.id", str(vlan[0]) if isinstance(vlan, list) and vlan else None),
        ("network.protocol", service(obj.get("app_proto"))),
        ("observer.ingress.interface.name", text(obj.get("in_iface"))),
    ))  # fmt: skip


def _mac(hardware: _Record, name: str) -> str | None:
    several = hardware.get(f"{name}s")
    return mac(hardware.get(name)) or (mac(several[0]) if isinstance(several, list) and several else None)


def _put_carried(fields: Fields, obj: _Record) -> None:
    """What an alert, or a file, says of the request that it was found in."""
    for name in ("http", "tls", "dns", "ssh", "smb"):
        part = obj.get(name)
        if isinstance(part, dict):
            carried: Fields = {}
            _TYPES[name](carried, part, obj)
            for key, value in carried.items():
                fields.setdefault(key, value)


def _part(obj: _Record, name: str) -> _Record:
    part = obj.get(name)
    return part if isinstance(part, dict) else _NONE


def _strings(values: object) -> list[str]:
    return [str(value) for value in values if isinstance(value, str | int)] if isinstance(values, list) else []


def _dicts(values: object) -> list[_Record]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _micros(value: object) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        return to_micros(value)
    except (ValueError, OverflowError):
        return None


def _flags(value: object) -> int:
    try:
        return int(value, 16) & 0xFF if isinstance(value, str) and len(value) <= 4 else 0
    except ValueError:
        return 0


def _flow(fields: Fields, part: _Record, obj: _Record) -> None:
    put_span(fields, _micros(part.get("start")), _micros(part.get("end")))
    fields["event.action"] = "network_flow"
    fields["event.type"] = ["connection", "end"]
    answered = count(part.get("pkts_toclient"))
    put(fields, (
        ("source.bytes", count(part.get("bytes_toserver"))),
        ("destination.bytes", count(part.get("bytes_toclient"))),
        ("source.packets", count(part.get("pkts_toserver"))),
        ("destination.packets", answered),
    ))  # fmt: skip
    put_sums(fields)
    name = fields.get("network.transport")
    if name == "tcp":
        tcp = _part(obj, "tcp")
        if tcp:
            put_state(fields, tcp_state(_flags(tcp.get("tcp_flags_ts")), _flags(tcp.get("tcp_flags_tc"))))
    elif name == "udp" and answered is not None:
        fields["event.outcome"] = "success" if answered else "failure"


def _netflow(fields: Fields, part: _Record, obj: _Record) -> None:
    """One direction of a connection: detectors read the `flow` of it, which has both."""
    put_span(fields, _micros(part.get("start")), _micros(part.get("end")))
    side = "destination" if _answers(obj, "netflow") else "source"
    put(fields, ((f"{side}.bytes", count(part.get("bytes"))), (f"{side}.packets", count(part.get("pkts")))))
    put_sums(fields)


def _dns(fields: Fields, part: _Record, _obj: _Record) -> None:
    fields["network.protocol"] = "dns"
    kind = text(part.get("type"))
    asked = number(part.get("id"))
    queries = _dicts(part.get("queries")) or _dicts(part.get("query"))
    first = queries[0] if queries else part
    answers = _dicts(part.get("answers"))
    if not answers and kind == "answer" and "rdata" in part:  # version 1: each answer is a record
        answers = [part]
    data = [str(answer["rdata"]) for answer in answers if isinstance(answer.get("rdata"), str)]
    if not data and isinstance(part.get("grouped"), dict):
        data = [value for values in part["grouped"].values() for value in _strings(values)]
    flags = _flags_of_dns(part)
    put(fields, (
        ("dns.type", "answer" if kind in ("answer", "response") else "query" if kind in ("query", "request") else None),
        ("dns.id", str(asked) if asked is not None else None),
        ("dns.question.name", host_name(first.get("rrname"))),
        ("dns.question.type", text(first.get("rrtype"))),
        ("dns.response_code", text(part.get("rcode"))),
        ("dns.answers.data", data),
        ("dns.answers.type", [str(answer["rrtype"]) for answer in answers if isinstance(answer.get("rrtype"), str)]),
        ("dns.resolved_ip", resolved(data)),
        ("dns.header_flags", flags),
    ))  # fmt: skip


def _flags_of_dns(part: _Record) -> list[str]:
    try:
        bits = int(part["flags"], 16) if isinstance(part.get("flags"), str) else 0
    except ValueError:
        bits = 0
    return [name for bit, name in _DNS_FLAGS if bits & bit or part.get(name.lower()) is True]


def _http(fields: Fields, part: _Record, _obj: _Record) -> None:
    fields["network.protocol"] = "http"
    put_url(fields, part.get("hostname"), part.get("url"))
    version = text(part.get("protocol")) or text(part.get("version"))
    kind = text(part.get("http_content_type"))
    put(fields, (
        ("http.request.method", text(part.get("http_method"))),
        ("http.version", version.rpartition("/")[2] if version else None),
        ("user_agent.original", text(part.get("http_user_agent"))),
        ("http.request.referrer", text(part.get("http_refer"))),
        ("http.response.status_code", count(part.get("status"))),
        ("http.response.mime_type", kind.partition(";")[0].strip() if kind else None),
        ("http.response.body.bytes", count(part.get("length"))),
    ))  # fmt: skip


def _fingerprint(value: object) -> str | None:
    """JA3 as Suricata writes it, `{"hash": …, "string": …}`, or JA4, a text."""
    if isinstance(value, dict):
        return text(value.get("hash"))
    return text(value)


def _tls(fields: Fields, part: _Record, _obj: _Record) -> None:
    fields["network.protocol"] = "tls"
    alpns = _strings(part.get("server_alpns"))
    put(fields, (
        ("tls.version", tls_version(part.get("version"))),
        ("tls.cipher", text(part.get("cipher"))),
        ("tls.resumed", flag(part.get("session_resumed"))),
        ("tls.next_protocol", alpns[0] if alpns else None),
        ("tls.client.server_name", host_name(part.get("sni"))),
        ("tls.client.ja3", _fingerprint(part.get("ja3"))),
        ("tls.client.ja4", _fingerprint(part.get("ja4"))),
        ("tls.server.ja3s", _fingerprint(part.get("ja3s"))),
        ("tls.server.subject", text(part.get("subject"))),
        ("tls.server.issuer", text(part.get("issuerdn"))),
        ("tls.server.not_before", _utc(part.get("notbefore"))),
        ("tls.server.not_after", _utc(part.get("notafter"))),
        ("tls.server.hash.sha1", digest(part.get("fingerprint"))),
    ))  # fmt: skip


def _utc(value: object) -> str | None:
    return from_iso(value, UTC) if isinstance(value, str) else None


def _ssh(fields: Fields, part: _Record, _obj: _Record) -> None:
    fields["network.protocol"] = "ssh"
    put(fields, (("ssh.client.version", _banner(part, "client")), ("ssh.server.version", _banner(part, "server"))))


def _banner(part: _Record, side: str) -> str | None:
    said = _part(part, side)
    software, version = text(said.get("software_version")), text(said.get("proto_version"))
    return f"SSH-{version}-{software}" if software and version else software


def _smb(fields: Fields, part: _Record, _obj: _Record) -> None:
    fields["network.protocol"] = "smb"
    command, name = text(part.get("command")), text(part.get("filename")) or text(part.get("named_pipe"))
    share = text(part.get("share"))
    dialect = text(part.get("dialect"))
    is_pipe = part.get("share_type") == "PIPE" or (share or "").upper().endswith("IPC$")
    put(fields, (
        ("smb.version", dialect if dialect != "unknown" else None),
        ("smb.command", command.removeprefix("SMB2_COMMAND_").removeprefix("SMB1_COMMAND_") if command else None),
        ("smb.status", (text(part.get("status")) or "").removeprefix("STATUS_") or None),
        ("smb.share", share),
        ("smb.pipe", (text(part.get("named_pipe")) or name) if is_pipe else None),
        ("file.name", name.rpartition("\\")[2] or name if name else None),
        ("file.path", f"{share}\\{name}" if share and name else name),
        ("file.size", count(part.get("size"))),
    ))  # fmt: skip
    session = _part(part, "ntlmssp")
    put(fields, (("user.name", text(session.get("user"))), ("user.domain", text(session.get("domain")))))
    if isinstance(part.get("dcerpc"), dict):
        _put_rpc(fields, part["dcerpc"])


def _put_rpc(fields: Fields, part: _Record) -> None:
    interface = part.get("interface") or part.get("interfaces")
    first = interface[0] if isinstance(interface, list) and interface else interface
    operation = number(part.get("opnum", _part(part, "req").get("opnum")))
    put(fields, (
        ("dce_rpc.endpoint", text(first.get("uuid") or first.get("name")) if isinstance(first, dict) else text(first)),
        ("dce_rpc.operation", str(operation) if operation is not None else None),
    ))  # fmt: skip


def _dcerpc(fields: Fields, part: _Record, _obj: _Record) -> None:
    fields["network.protocol"] = "dce_rpc"
    _put_rpc(fields, part)


def _krb5(fields: Fields, part: _Record, _obj: _Record) -> None:
    fields["network.protocol"] = "kerberos"
    kind = text(part.get("msg_type")) or ""
    asked = text(part.get("failed_request")) or kind
    realm, client = text(part.get("realm")), text(part.get("cname"))
    failed = kind == "KRB_ERROR"
    put(fields, (
        ("kerberos.request", next((name for name in ("AS", "TGS", "AP") if f"_{name}_" in asked), None)),
        ("kerberos.client", f"{client}/{realm}" if client and realm else client),
        ("kerberos.service", text(part.get("sname"))),
        ("kerberos.error", text(part.get("error_code"))),
        ("kerberos.cipher", text(part.get("encryption")) if part.get("encryption") != "<none>" else None),
        ("user.name", client),
        ("user.domain", realm),
        ("event.outcome", "failure" if failed else "success" if kind.endswith("_REP") else None),
    ))  # fmt: skip


def _rdp(fields: Fields, part: _Record, _obj: _Record) -> None:
    fields["network.protocol"] = "rdp"
    put(fields, (
        ("rdp.cookie", text(part.get("cookie"))),
        ("rdp.client.name", text(_part(part, "client").get("client_name"))),
        ("rdp.security", text(part.get("protocol"))),
    ))  # fmt: skip


def _dhcp(fields: Fields, part: _Record, _obj: _Record) -> None:
    fields["network.protocol"] = "dhcp"
    kind, hardware = text(part.get("dhcp_type")), mac(part.get("client_mac"))
    assigned = address(part.get("assigned_ip"))
    put(fields, (
        ("dhcp.message", [kind.upper()] if kind else None),
        ("dhcp.mac", hardware),
        ("dhcp.assigned_ip", assigned if assigned != "0.0.0.0" else None),  # noqa: S104 - "none", as DHCP says it
        ("dhcp.server_ip", address(part.get("dhcp_server_id") or part.get("next_server_ip"))),
        ("dhcp.host_name", text(part.get("hostname"))),
        ("dhcp.vendor_class", text(part.get("vendor_class_identifier"))),
        ("dhcp.options", ",".join(_strings(part.get("params")))),
        ("dhcp.lease_seconds", count(part.get("lease_time"))),
    ))  # fmt: skip


def _arp(fields: Fields, part: _Record, _obj: _Record) -> None:
    put(fields, (
        ("arp.operation", text(part.get("opcode"))),
        ("source.mac", mac(part.get("src_mac"))),
        ("source.ip", address(part.get("src_ip"))),
        ("destination.mac", mac(part.get("dest_mac"))),
        ("destination.ip", address(part.get("dest_ip"))),
    ))  # fmt: skip


def _fileinfo(fields: Fields, part: _Record, _obj: _Record) -> None:
    name = text(part.get("filename"))
    put(fields, (
        ("file.name", name.replace("\\", "/").rpartition("/")[2] or name if name else None),
        ("file.path", name),
        ("file.size", count(part.get("size"))),
        ("file.mime_type", text(part.get("mimetype")) or text(part.get("magic"))),
        ("file.hash.md5", digest(part.get("md5"))),
        ("file.hash.sha1", digest(part.get("sha1"))),
        ("file.hash.sha256", digest(part.get("sha256"))),
    ))  # fmt: skip


def _alert(fields: Fields, part: _Record, _obj: _Record) -> None:
    fields["event.kind"] = "alert"
    identifier, revision = number(part.get("signature_id")), number(part.get("rev"))
    blocked = part.get("action") == "blocked"
    put(fields, (
        ("rule.id", str(identifier) if identifier is not None else None),
        ("rule.name", text(part.get("signature"))),
        ("rule.category", text(part.get("category"))),
        ("rule.version", str(revision) if revision is not None else None),
        ("event.severity", number(part.get("severity"))),
        ("event.action", text(part.get("action"))),
        ("event.type", ["denied"] if blocked else ["info"]),
    ))  # fmt: skip


def _anomaly(fields: Fields, part: _Record, _obj: _Record) -> None:
    put(fields, (("event.reason", text(part.get("event"))),))


def _drop(fields: Fields, part: _Record, obj: _Record) -> None:
    fields["event.type"] = ["denied"]
    if isinstance(obj.get("alert"), dict):
        _alert(fields, obj["alert"], obj)
        fields["event.type"] = ["denied"]
    put(fields, (("event.action", "blocked"), ("event.reason", text(part.get("reason")))))


def _stats(fields: Fields, _part: _Record, _obj: _Record) -> None:
    fields["event.kind"] = "metric"


_TYPES: dict[str, Callable[[Fields, _Record, _Record], None]] = {
    "flow": _flow, "dns": _dns, "http": _http, "tls": _tls, "ssh": _ssh, "smb": _smb, "dcerpc": _dcerpc, "krb5": _krb5,
    "rdp": _rdp, "dhcp": _dhcp, "arp": _arp, "fileinfo": _fileinfo, "alert": _alert, "anomaly": _anomaly,
    "drop": _drop, "stats": _stats, "netflow": _netflow,
}  # fmt: skip
