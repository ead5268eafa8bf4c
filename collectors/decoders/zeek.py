"""Records of Zeek's logs in, as JSON objects or as lines of TSV; the fields of docs/network.md out.

Source: https://docs.zeek.org/en/master/logs/ and the scripts that make the logs. What a log says and no field below
holds is kept as `zeek.<log>.<its name>`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from collectors.decoders.contract import Fields
from collectors.decoders.flattening import add_error, under
from collectors.decoders.network_fields import (
    PROTOCOLS,
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
    stamp,
    text,
    tls_version,
)
from collectors.decoders.zeek_layout import Layout, kind_of
from collectors.network.community_id import icmp_ports
from pipeline.event import to_micros

_Record = Mapping[str, Any]

#: Names that together show of which log a JSON object is that says it no other way; the first that fits.
_SIGNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("conn", ("uid", "id.orig_h", "conn_state")),
    ("dns", ("uid", "id.orig_h", "trans_id", "proto")),
    ("http", ("uid", "id.orig_h", "trans_depth", "method")),
    ("http", ("uid", "id.orig_h", "trans_depth", "status_code")),
    ("smtp", ("uid", "id.orig_h", "trans_depth", "helo")),
    ("ssl", ("uid", "id.orig_h", "established", "resumed")),
    ("ssh", ("uid", "id.orig_h", "auth_attempts")),
    ("ssh", ("uid", "id.orig_h", "host_key_alg")),
    ("smb_mapping", ("uid", "id.orig_h", "share_type")),
    ("smb_files", ("uid", "id.orig_h", "action", "path")),
    ("smb_files", ("uid", "id.orig_h", "action", "name")),
    ("dce_rpc", ("uid", "id.orig_h", "endpoint", "operation")),
    ("kerberos", ("uid", "id.orig_h", "request_type")),
    ("ntlm", ("uid", "id.orig_h", "domainname")),
    ("ntlm", ("uid", "id.orig_h", "server_nb_computer_name")),
    ("rdp", ("uid", "id.orig_h", "security_protocol")),
    ("rdp", ("uid", "id.orig_h", "cookie")),
    ("ftp", ("uid", "id.orig_h", "command", "user")),
    ("tunnel", ("uid", "id.orig_h", "tunnel_type")),
    ("dpd", ("uid", "id.orig_h", "analyzer", "failure_reason")),
    ("dhcp", ("uids", "msg_types")),
    ("dhcp", ("uids", "mac")),
    ("files", ("fuid", "seen_bytes")),
    ("x509", ("certificate.serial", "certificate.subject")),
    ("notice", ("note", "msg", "actions")),
    ("weird", ("name", "notice", "peer")),
    ("software", ("host", "software_type")),
)
#: An object of a file with a log's name must have one of these beside `ts`: other programs write `http.log`, too.
_ANY_SIGN = (
    "uid", "id.orig_h", "fuid", "uids", "note", "certificate.serial", "software_type", "peer", "seen.indicator",
)  # fmt: skip
#: Logs that have none of them, and what shows that they are Zeek's.
_OWN_SIGNS = {
    "reporter": ("level", "location"), "packet_filter": ("node", "filter"), "cluster": ("node", "message"),
    "known_hosts": ("host",), "known_services": ("host", "port_num"), "known_certs": ("host", "port_num"),
    "known_modbus": ("host", "device_type"), "config": ("id", "new_value"), "pe": ("id", "machine"),
    "ocsp": ("id", "hashAlgorithm"), "telemetry": ("name", "labels"), "broker": ("ty", "ev"), "print": ("vals",),
}  # fmt: skip
#: What Zeek writes, and in which field it stands unchanged: it is not kept twice.
_COPIED = {
    "ts": "@timestamp", "_path": "event.dataset", "uid": "flow.id", "id.orig_h": "source.ip",
    "id.orig_p": "source.port", "id.resp_h": "destination.ip", "id.resp_p": "destination.port",
    "proto": "network.transport", "community_id": "network.community_id",
}  # fmt: skip
#: Logs that do not say their protocol, as it is always the same.
_OVER_TCP = frozenset(
    ("http", "ssl", "ssh", "smb_files", "smb_mapping", "dce_rpc", "rdp", "ntlm", "ftp", "smtp", "irc")
)
#: The first moment of a capture that has no times but those since it began; what replaces such times says so.
_CAPTURE_BEGINS = "1970-01-01T00:00:00.000Z"
_NUMBERS = frozenset(("count", "int", "port"))
_DECIMALS = frozenset(("time", "interval", "double"))
_ESCAPE = re.compile(r"(?:\\x[0-9a-fA-F]{2})+")
_LIST = re.compile(r"(?:set|vector|list|table)\[(\w+)\]")


def log_of(record: _Record, layout: Layout | None = None, dataset: str | None = None) -> str | None:
    """Return of which of Zeek's logs a JSON object is; None where it is of none."""
    named = kind_of(record.get("_path"))
    if "ts" not in record:
        return named if named and _has_any(record, named) else None
    if named:
        return named
    if dataset is not None and dataset.startswith("zeek."):
        return kind_of(dataset[5:])
    if layout is not None and layout.log and _has_any(record, layout.log):
        return layout.log
    is_nested = isinstance(record.get("id"), Mapping)
    for log, names in _SIGNS:
        if all(name in record or (is_nested and name == "id.orig_h") for name in names):
            return log
    return None


def _has_any(record: _Record, log: str) -> bool:
    if any(name in record for name in _ANY_SIGN) or isinstance(record.get("id"), Mapping):
        return True
    own = _OWN_SIGNS.get(log)
    return own is not None and all(name in record for name in own)


def is_json(line: str) -> bool:
    """Say whether a line is an object: a file may change from TSV to JSON."""
    return line[:1] == "{" and line.rstrip()[-1:] == "}"


def decode_line(line: str, layout: Layout) -> Fields:
    """One line of TSV → fields; what does not fit its header is kept as text that says so."""
    log = layout.log or "unknown"
    if not layout.columns:
        return _unfit(log, line, "a line before the header that names its columns")
    values = line.split(layout.separator)
    if len(values) != len(layout.columns):
        return _unfit(log, line, f"{len(values)} columns where the header has {len(layout.columns)}")
    types = layout.types if len(layout.types) == len(layout.columns) else ("string",) * len(layout.columns)
    record: dict[str, Any] = {}
    for name, kind, raw in zip(layout.columns, types, values, strict=True):
        if raw != layout.unset:
            value = _value(raw, kind, layout)
            if value is not None:
                record[name] = value
    fields = decode_record(record, log)
    fields["message"] = line
    return fields


def _unfit(log: str, line: str, fault: str) -> Fields:
    return {"event.dataset": f"zeek.{log}", "event.category": ["network"], "message": line, "error.message": fault}


def _value(raw: str, kind: str, layout: Layout) -> Any:
    if kind in ("string", "enum", "addr", "subnet", "pattern", "func"):
        return None if raw == layout.empty else _unescaped(raw)
    if kind in _NUMBERS:
        found = number(raw) if raw[:1] != "-" else _negative(raw)
        return raw if found is None else found
    if kind in _DECIMALS:
        try:
            return float(raw)
        except ValueError:
            return raw
    if kind == "bool":
        return {"T": True, "F": False}.get(raw, raw)
    many = _LIST.fullmatch(kind)
    if many is None:
        return _unescaped(raw)
    if raw in (layout.empty, ""):
        return None
    items = [_value(item, many[1], layout) for item in raw.split(layout.set_separator) if item != layout.unset]
    return [item for item in items if item is not None] or None


def _negative(raw: str) -> int | None:
    found = number(raw[1:])
    return None if found is None else -found


def _unescaped(raw: str) -> str:
    if "\\x" not in raw:
        return raw
    return _ESCAPE.sub(lambda match: bytes.fromhex(match[0].replace("\\x", "")).decode("utf-8", "replace"), raw)


def decode_record(obj: _Record, log: str) -> Fields:
    """One record → fields, at least `event.dataset`."""
    record: _Record = under("", obj) if any(isinstance(value, dict) for value in obj.values()) else obj
    fields: Fields = {
        "event.dataset": "zeek.conn" if log == "conn_long" else f"zeek.{log}",
        "event.category": ["network"],
    }
    moment = _micros(record.get("ts"))
    when = stamp(moment) if moment != 0 else _CAPTURE_BEGINS
    if when is not None:
        fields["@timestamp"] = when
    _put_addresses(fields, record, log)
    reader = _LOGS.get(log)
    if reader is not None:
        reader(fields, record, moment)
    prefix = f"zeek.{log}."
    kept = {name: value for name, value in record.items() if _COPIED.get(name) not in fields}
    fields.update(under(prefix, kept))
    if "ts" in record and when is None:
        add_error(fields, f"time stamp not understood: {str(record['ts'])[:64]!r}")
    return fields


def _is_datagram(record: _Record) -> bool:
    return str(record.get("version", "")).startswith("DTLS")


def _put_addresses(fields: Fields, record: _Record, log: str) -> None:
    first, second = record.get("id.orig_p"), record.get("id.resp_p")
    protocol = record.get("proto") or ("tcp" if log in _OVER_TCP and not _is_datagram(record) else None)
    put_connection(fields, record.get("id.orig_h"), first, record.get("id.resp_h"), second, protocol)
    if fields.get("network.transport") in ("icmp", "ipv6-icmp"):
        kind, answer = port(first), port(second)
        if kind is not None and answer is not None:
            fields["icmp.type"] = kind
            # Zeek writes the type of the answer where there is one, the code where there is none.
            pairs = icmp_ports(PROTOCOLS[fields["network.transport"]], kind, 256)[1] != 256
            fields["icmp.code"] = 0 if pairs else answer
    uid = record.get("uid")
    if isinstance(uid, str) and uid:
        fields["flow.id"] = uid
    if "source.ip" in fields:
        put_community_id(fields, record.get("community_id"))


def _micros(value: object) -> int | None:
    """Zeek's time (seconds, or as its JSON writer can be set: milliseconds, ISO 8601) as microseconds since 1970."""
    if isinstance(value, str):
        whole, dot, fraction = value.partition(".")
        if whole.isascii() and whole.isdigit() and len(whole) < 13:
            if dot and not (fraction.isascii() and fraction.isdigit()):
                return None
            return int(whole) * 1_000_000 + int((fraction + "000000")[:6])
        try:
            return to_micros(value)
        except (ValueError, OverflowError):
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e14:
        return None
    return round(value * (1_000 if value > 1e11 else 1_000_000))


def _seconds(value: object) -> int | None:
    """A length of time in seconds as nanoseconds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        return None
    return round(value * 1_000_000) * 1000


def _first(value: object) -> str | None:
    found = value[0] if isinstance(value, list) and value else value
    return found if isinstance(found, str) else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _conn(fields: Fields, record: _Record, moment: int | None) -> None:
    length = _seconds(record.get("duration"))
    put_span(fields, moment, moment + (length or 0) // 1000 if moment is not None else None)
    fields["event.action"] = "network_flow"
    fields["event.type"] = ["connection", "end"]
    put(fields, (
        ("network.protocol", service(record.get("service"))),
        ("source.bytes", count(record.get("orig_ip_bytes", record.get("orig_bytes")))),
        ("destination.bytes", count(record.get("resp_ip_bytes", record.get("resp_bytes")))),
        ("source.packets", count(record.get("orig_pkts"))),
        ("destination.packets", count(record.get("resp_pkts"))),
        ("flow.payload.source", count(record.get("orig_bytes"))),
        ("flow.payload.destination", count(record.get("resp_bytes"))),
        ("source.mac", mac(record.get("orig_l2_addr"))),
        ("destination.mac", mac(record.get("resp_l2_addr"))),
    ))  # fmt: skip
    vlan = number(record.get("vlan"))
    if vlan is not None:
        fields["network.vlan.id"] = str(vlan)
    put_sums(fields)
    put_state(fields, record.get("conn_state"))


def _conn_long(fields: Fields, record: _Record, moment: int | None) -> None:
    _conn(fields, record, moment)
    fields["event.type"] = ["connection", "info"]


def _dns(fields: Fields, record: _Record, _moment: int | None) -> None:
    fields["network.protocol"] = "dns"
    answers = [str(answer) for answer in _list(record.get("answers"))]
    asked = number(record.get("trans_id"))
    klass = text(record.get("qclass_name"))
    put(fields, (
        ("dns.id", str(asked) if asked is not None else None),
        ("dns.question.name", host_name(record.get("query"))),
        ("dns.question.type", text(record.get("qtype_name"))),
        ("dns.question.class", "IN" if klass == "C_INTERNET" else klass),
        ("dns.response_code", text(record.get("rcode_name"))),
        ("dns.answers.data", answers),
        ("dns.resolved_ip", resolved(answers)),
        ("dns.header_flags", [flag for flag in ("AA", "TC", "RD", "RA") if record.get(flag) is True]),
        ("event.duration", _seconds(record.get("rtt"))),
    ))  # fmt: skip


def _http(fields: Fields, record: _Record, _moment: int | None) -> None:
    fields["network.protocol"] = "http"
    put_url(fields, record.get("host"), record.get("uri"))
    put(fields, (
        ("http.request.method", text(record.get("method"))),
        ("http.version", text(record.get("version"))),
        ("user_agent.original", text(record.get("user_agent"))),
        ("http.request.referrer", text(record.get("referrer"))),
        ("http.request.body.bytes", count(record.get("request_body_len"))),
        ("http.response.status_code", count(record.get("status_code"))),
        ("http.response.mime_type", _first(record.get("resp_mime_types"))),
        ("http.response.body.bytes", count(record.get("response_body_len"))),
        ("user.name", text(record.get("username"))),
    ))  # fmt: skip


def _ssl(fields: Fields, record: _Record, _moment: int | None) -> None:
    fields["network.protocol"] = "tls"
    put(fields, (
        ("tls.version", tls_version(record.get("version"))),
        ("tls.cipher", text(record.get("cipher"))),
        ("tls.established", flag(record.get("established"))),
        ("tls.resumed", flag(record.get("resumed"))),
        ("tls.next_protocol", text(record.get("next_protocol"))),
        ("tls.client.server_name", host_name(record.get("server_name"))),
        ("tls.client.ja3", text(record.get("ja3"))),
        ("tls.client.ja4", text(record.get("ja4"))),
        ("tls.server.ja3s", text(record.get("ja3s"))),
        ("tls.server.subject", text(record.get("subject"))),
        ("tls.server.issuer", text(record.get("issuer"))),
        ("tls.server.hash.sha256", digest(_first(record.get("cert_chain_fps")))),
    ))  # fmt: skip


def _x509(fields: Fields, record: _Record, _moment: int | None) -> None:
    side = "tls.client" if record.get("client_cert") is True else "tls.server"
    put(fields, (
        (f"{side}.subject", text(record.get("certificate.subject"))),
        (f"{side}.issuer", text(record.get("certificate.issuer"))),
        (f"{side}.not_before", stamp(_micros(record.get("certificate.not_valid_before")))),
        (f"{side}.not_after", stamp(_micros(record.get("certificate.not_valid_after")))),
        (f"{side}.hash.sha256", digest(record.get("fingerprint"))),
    ))  # fmt: skip


def _put_outcome(fields: Fields, success: object) -> None:
    if isinstance(success, bool):
        fields["event.outcome"] = "success" if success else "failure"


def _ssh(fields: Fields, record: _Record, _moment: int | None) -> None:
    fields["network.protocol"] = "ssh"
    put(fields, (
        ("ssh.client.version", text(record.get("client"))),
        ("ssh.server.version", text(record.get("server"))),
        ("ssh.auth.success", flag(record.get("auth_success"))),
        ("ssh.auth.attempts", count(record.get("auth_attempts"))),
    ))  # fmt: skip
    _put_outcome(fields, record.get("auth_success"))


def _smb_files(fields: Fields, record: _Record, _moment: int | None) -> None:
    fields["network.protocol"] = "smb"
    share, name = text(record.get("path")), text(record.get("name"))
    action = text(record.get("action"))
    put(fields, (
        ("smb.command", action.rpartition("::")[2] if action else None),
        ("smb.share", share),
        ("file.name", name.rpartition("\\")[2] or name if name else None),
        ("file.path", f"{share}\\{name}" if share and name else name),
        ("file.size", count(record.get("size"))),
    ))  # fmt: skip
    if name and (share or "").upper().endswith("IPC$"):
        fields["smb.pipe"] = name


def _smb_mapping(fields: Fields, record: _Record, _moment: int | None) -> None:
    fields["network.protocol"] = "smb"
    put(fields, (("smb.command", "TREE_CONNECT"), ("smb.share", text(record.get("path")))))


def _dce_rpc(fields: Fields, record: _Record, _moment: int | None) -> None:
    fields["network.protocol"] = "dce_rpc"
    put(fields, (
        ("dce_rpc.endpoint", text(record.get("endpoint"))),
        ("dce_rpc.operation", text(record.get("operation"))),
        ("dce_rpc.pipe", text(record.get("named_pipe"))),
        ("event.duration", _seconds(record.get("rtt"))),
    ))  # fmt: skip


def _kerberos(fields: Fields, record: _Record, _moment: int | None) -> None:
    fields["network.protocol"] = "kerberos"
    client = text(record.get("client"))
    put(fields, (
        ("kerberos.request", text(record.get("request_type"))),
        ("kerberos.client", client),
        ("kerberos.service", text(record.get("service"))),
        ("kerberos.error", text(record.get("error_msg"))),
        ("kerberos.cipher", text(record.get("cipher"))),
    ))  # fmt: skip
    if client:
        name, _, realm = client.rpartition("/")
        put(fields, (("user.name", name or client), ("user.domain", realm if name else None)))
    _put_outcome(fields, record.get("success"))


def _rdp(fields: Fields, record: _Record, _moment: int | None) -> None:
    fields["network.protocol"] = "rdp"
    put(fields, (
        ("rdp.cookie", text(record.get("cookie"))),
        ("rdp.client.name", text(record.get("client_name"))),
        ("rdp.security", text(record.get("security_protocol"))),
    ))  # fmt: skip


def _ntlm(fields: Fields, record: _Record, _moment: int | None) -> None:
    put(fields, (
        ("user.name", text(record.get("username"))),
        ("user.domain", text(record.get("domainname"))),
        ("source.domain", text(record.get("hostname"))),
    ))  # fmt: skip
    _put_outcome(fields, record.get("success"))


def _dhcp(fields: Fields, record: _Record, _moment: int | None) -> None:
    fields["network.protocol"] = "dhcp"
    client, server = address(record.get("client_addr")), address(record.get("server_addr"))
    hardware = mac(record.get("mac"))
    lease = record.get("lease_time")
    options = _list(record.get("param_list", record.get("client_param_list")))
    put(fields, (
        ("dhcp.message", [str(kind).upper() for kind in _list(record.get("msg_types"))]),
        ("dhcp.mac", hardware),
        ("source.mac", hardware),
        ("source.ip", client),
        ("destination.ip", server),
        ("dhcp.assigned_ip", address(record.get("assigned_addr"))),
        ("dhcp.server_ip", server),
        ("dhcp.host_name", text(record.get("host_name")) or text(record.get("client_fqdn"))),
        ("dhcp.vendor_class", text(record.get("vendor_class")) or text(record.get("client_software"))),
        ("dhcp.options", ",".join(map(str, options))),
        ("dhcp.lease_seconds", round(lease) if isinstance(lease, int | float) and 0 <= lease < 2**32 else None),
        ("flow.id", _first(record.get("uids"))),
        ("network.transport", "udp"),
    ))  # fmt: skip


def _files(fields: Fields, record: _Record, _moment: int | None) -> None:
    """Of files whoever sends them may have begun, or have been asked; `is_orig` says which."""
    sender, receiver = address(_first(record.get("tx_hosts"))), address(_first(record.get("rx_hosts")))
    if "source.ip" not in fields:
        if record.get("is_orig") is not True:
            sender, receiver = receiver, sender
        put(fields, (("source.ip", sender), ("destination.ip", receiver)))
    name = text(record.get("filename"))
    total = record.get("total_bytes")
    put(fields, (
        ("file.name", name),
        ("file.size", count(record.get("seen_bytes") if total is None else total)),
        ("file.mime_type", text(record.get("mime_type"))),
        ("file.hash.md5", digest(record.get("md5"))),
        ("file.hash.sha1", digest(record.get("sha1"))),
        ("file.hash.sha256", digest(record.get("sha256"))),
        ("network.protocol", service(record.get("source"))),
        ("flow.id", fields.get("flow.id") or _first(record.get("conn_uids"))),
    ))  # fmt: skip


def _notice(fields: Fields, record: _Record, _moment: int | None) -> None:
    note = text(record.get("note"))
    fields["event.kind"] = "alert"
    put(fields, (
        ("rule.id", note),
        ("rule.name", note),
        ("rule.category", note.partition("::")[0] if note else None),
        ("rule.description", text(record.get("msg"))),
    ))  # fmt: skip
    for key, value in (("source.ip", address(record.get("src"))), ("destination.ip", address(record.get("dst")))):
        if value:
            fields.setdefault(key, value)
    about = port(record.get("p"))
    if about is not None and "destination.port" not in fields and "icmp.type" not in fields:
        fields["destination.port"] = about


def _weird(fields: Fields, record: _Record, _moment: int | None) -> None:
    put(fields, (("event.reason", text(record.get("name"))),))


def _software(fields: Fields, record: _Record, _moment: int | None) -> None:
    put(fields, (
        ("host.ip", address(record.get("host"))),
        ("package.name", text(record.get("name"))),
        ("package.version", text(record.get("unparsed_version"))),
    ))  # fmt: skip


def _tunnel(fields: Fields, record: _Record, _moment: int | None) -> None:
    kind, action = text(record.get("tunnel_type")), text(record.get("action"))
    put(fields, (
        ("network.protocol", kind.rpartition("::")[2].lower() if kind else None),
        ("event.action", f"tunnel_{action.rpartition('::')[2].lower()}" if action else None),
    ))  # fmt: skip


def _ftp(fields: Fields, record: _Record, _moment: int | None) -> None:
    fields["network.protocol"] = "ftp"
    put(fields, (
        ("user.name", text(record.get("user"))),
        ("file.size", count(record.get("file_size"))),
        ("file.mime_type", text(record.get("mime_type"))),
        ("event.code", text(record.get("command"))),
    ))  # fmt: skip
    code = number(record.get("reply_code"))
    if code is not None:
        fields["event.outcome"] = "failure" if code >= 400 else "success"


_LOGS: dict[str, Callable[[Fields, _Record, int | None], None]] = {
    "conn": _conn, "conn_long": _conn_long, "dns": _dns, "http": _http, "ssl": _ssl, "x509": _x509, "ssh": _ssh,
    "smb_files": _smb_files, "smb_mapping": _smb_mapping, "dce_rpc": _dce_rpc, "kerberos": _kerberos, "rdp": _rdp,
    "ntlm": _ntlm, "dhcp": _dhcp, "files": _files, "notice": _notice, "weird": _weird, "software": _software,
    "tunnel": _tunnel, "ftp": _ftp,
}  # fmt: skip
