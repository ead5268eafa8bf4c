"""Error lines of Apache httpd (2.2 and 2.4) and nginx in, log level, client and reason out.

Sources: Apache's ErrorLogFormat default, nginx's ngx_log.c and its error_log context.
"""

import re

from collectors.decoders.address import as_ip, as_number, as_port, put_host, split_port
from collectors.decoders.contract import Context, Fields
from collectors.decoders.timestamp import MONTHS, from_iso

_APACHE = re.compile(
    r"\[[A-Z][a-z]{2} ([A-Z][a-z]{2}) (\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,9}))? (\d{4})\] "
    r"\[(?:([\w-]{0,64}):)?(\w{1,16})\] "
    r"(?:\[pid (\d{1,10})(?::tid (\d{1,20}))?\] )?(?:\[remote ([^\]\s]{1,80})\] )?",
    re.ASCII,
)
_CLIENT = re.compile(r"(?:\((\d{1,6})\)[^:]{1,128}: )?\[client ([^\]\s]{1,80})\] ", re.ASCII)
_CODE = re.compile(r"(AH\d{5}): ", re.ASCII)
_REFERRER = re.compile(r", referer: (\S{1,2048})$", re.ASCII)
_NGINX = re.compile(
    r"(\d{4})/(\d\d)/(\d\d) (\d\d:\d\d:\d\d) \[(\w{1,16})\] (\d{1,10})#(\d{1,10}): "
    r"(?:\*(\d{1,20}) )?",
    re.ASCII,
)
_NGINX_PART = re.compile(r", (client|server|request|upstream|host|referrer): (\"[^\"]*\"|[^,\s]+)", re.ASCII)
_REQUEST = re.compile(r"([A-Z]{1,32}) (\S{1,8192})(?: HTTP/(\d(?:\.\d)?))?", re.ASCII)


def looks_like(message: str) -> bool:
    if message[:1] == "[":
        return message[5:8] in MONTHS and message[4:5] == " "
    return message[4:5] == "/" and message[7:8] == "/" and message[19:21] == " ["


def decode(message: str, context: Context) -> Fields | None:
    """ "[Sun Dec 04 04:47:44.123456 2026] [core:error] [pid 5] [client 203.0.113.5:4711] AH00124:
    …" or "2026/11/24 05:17:44 [error] 5#5: *1 open() failed, client: 203.0.113.5, server: …" """
    return _apache(message, context) or _nginx(message, context)


def _apache(message: str, context: Context) -> Fields | None:
    match = _APACHE.match(message)
    if match is None:
        return None
    month, day, time, fraction, year, module, level, pid, tid, remote = match.groups()
    fields = _base("apache.error", level)
    part = f".{fraction}" if fraction else ""
    _put_time(fields, f"{year}-{MONTHS.get(month, 0):02d}-{day} {time}{part}", context)
    if module:
        fields["apache.error.module"] = module
    for text, key in ((pid, "process.pid"), (tid, "process.thread.id")):
        number = as_number(text or "")
        if number is not None:
            fields[key] = number
    at = match.end()
    client = _CLIENT.match(message, at)
    address = client[2] if client else remote
    if client is not None:
        at = client.end()
        if client[1]:
            fields["error.code"] = client[1]
    if address:
        _put_client(fields, address, has_port=pid is not None)
    code = _CODE.match(message, at)
    if code is not None:
        fields["event.code"] = code[1]
    fields["message"] = message[at:]
    referrer = _REFERRER.search(message, max(at, len(message) - 2100))
    if referrer is not None:
        fields["http.request.referrer"] = referrer[1]
    return fields


def _nginx(message: str, context: Context) -> Fields | None:
    match = _NGINX.match(message)
    if match is None:
        return None
    year, month, day, time, level, pid, tid, connection = match.groups()
    fields = _base("nginx.error", level)
    _put_time(fields, f"{year}-{month}-{day} {time}", context)
    fields["process.pid"] = int(pid)
    fields["process.thread.id"] = int(tid)
    if connection:
        fields["nginx.error.connection_id"] = connection
    fields["message"] = message[match.end() :]
    parts = {name: value.strip('"') for name, value in _NGINX_PART.findall(message)}
    if "client" in parts:
        _put_client(fields, parts["client"], has_port=False)
    request = _REQUEST.match(parts.get("request", ""))
    if request is not None:
        fields["http.request.method"] = request[1]
        fields["url.original"] = request[2]
        fields["url.path"] = request[2].partition("?")[0]
    for name, key in (("host", "url.domain"), ("referrer", "http.request.referrer")):
        if name in parts:
            fields[key] = parts[name]
    return fields


def _put_client(fields: Fields, address: str, *, has_port: bool) -> None:
    """Apache 2.4 writes "::1:4711": address and port of IPv6 with no brackets between them."""
    host, port = split_port(address)
    if has_port and port is None and address.count(":") > 1:
        bare, _, last = address.rpartition(":")
        if as_ip(bare) is not None and last.isdecimal():
            host, port = bare, as_port(last)
    put_host(fields, "source", host)
    if port is not None:
        fields["source.port"] = port


def _base(dataset: str, level: str) -> Fields:
    return {
        "event.dataset": dataset,
        "event.category": ["web"],
        "event.type": ["error" if level in _BAD else "info"],
        "log.level": level,
    }


_BAD = frozenset(("error", "crit", "alert", "emerg"))


def _put_time(fields: Fields, told: str, context: Context) -> None:
    stamp = from_iso(told, context.timezone)
    if stamp is None:
        fields["error.message"] = f"time stamp not understood: {told!r}"
    else:
        fields["@timestamp"] = stamp
