"""Access lines of Apache httpd and nginx in, HTTP fields out.

Sources: Apache's mod_log_config ("common", "combined", "vhost_combined"), nginx's
ngx_http_log_module ("combined"); both escape quotes and control bytes with a backslash.
"""

import re

from collectors.decoders.address import as_ip, as_port, put_host
from collectors.decoders.contract import Context, Fields
from collectors.decoders.timestamp import MONTHS, from_iso

_LINE = re.compile(
    r"(?:(?P<vhost>[\w.*-]{1,255})(?::(?P<vport>\d{1,5}))? )?"
    r"(?P<host>[^\s\"]{1,255}) (?P<ident>[^\s\"]{1,255}) (?P<user>\"\"|[^\"\[]{1,512}?) "
    r"\[(?P<day>\d\d)/(?P<month>[A-Z][a-z]{2})/(?P<year>\d{4}):(?P<time>\d\d:\d\d:\d\d)"
    r"(?P<zone> [+-]\d{4})?\] "
    r'"(?P<request>[^"\\]*(?:\\.[^"\\]*)*)" (?P<status>\d{3}|-) (?P<bytes>\d+|-)'
    r'(?: "(?P<referrer>[^"\\]*(?:\\.[^"\\]*)*)" "(?P<agent>[^"\\]*(?:\\.[^"\\]*)*)")?'
    r'(?: "(?P<forwarded>[^"\\]*(?:\\.[^"\\]*)*)")?',
    re.ASCII | re.DOTALL,
)
_REQUEST = re.compile(r"([A-Za-z][A-Za-z_-]{0,31}) (\S.*?)(?: HTTP/(\d(?:\.\d)?))?$", re.DOTALL)
_ABSOLUTE = re.compile(
    r"([a-z][a-z0-9+.-]{1,15})://([^/?#]{1,512})(.*)$", re.DOTALL | re.IGNORECASE
)
_ESCAPE = re.compile(r"\\([\"\\])")

DATASETS = ("apache.access", "nginx.access")


def looks_like(message: str) -> bool:
    at = message.find(" [", 0, 1200)
    return at > 0 and message[at + 4 : at + 5] == "/" and '] "' in message[at : at + 40]


def decode(message: str, context: Context) -> Fields | None:
    """'203.0.113.5 - - [24/Nov/2026:12:17:44 +0700] "GET /a?b=c HTTP/1.1" 200 512 "-" "curl"'"""
    match = _LINE.match(message)
    if match is None:
        return None
    parts = match.groupdict()
    fields: Fields = {
        "event.dataset": _dataset(context),
        "event.category": ["web"],
        "event.type": ["access"],
        "event.action": "http_request",
    }
    _put_time(fields, parts, context)
    put_host(fields, "source", parts["host"])
    if parts["user"] not in ("-", '""'):
        fields["user.name"] = _unescape(parts["user"])
    if parts["vhost"]:
        fields["url.domain"] = parts["vhost"]
        port = as_port(parts["vport"] or "")
        if port is not None:
            fields["url.port"] = port
    _put_request(fields, _unescape(parts["request"]))
    if parts["status"] != "-":
        status = int(parts["status"])
        fields["http.response.status_code"] = status
        fields["event.outcome"] = "success" if status < 400 else "failure"
    if parts["bytes"] != "-" and len(parts["bytes"]) < 19:
        fields["http.response.body.bytes"] = int(parts["bytes"])
    for name, key in (("referrer", "http.request.referrer"), ("agent", "user_agent.original")):
        if parts[name] and parts[name] != "-":
            fields[key] = _unescape(parts[name])
    _put_forwarded(fields, parts["forwarded"])
    return fields


def _dataset(context: Context) -> str:
    """The two write the same line: the settings or the syslog tag tell, else it is Apache's."""
    if context.dataset in DATASETS:
        return context.dataset
    return "nginx.access" if context.program == "nginx" else "apache.access"


def _put_time(fields: Fields, parts: dict[str, str | None], context: Context) -> None:
    month = MONTHS.get(parts["month"] or "")
    zone = (parts["zone"] or "").strip()
    told = f"{parts['year']}-{month or 0:02d}-{parts['day']} {parts['time']}{zone}"
    stamp = from_iso(told, context.timezone)
    if stamp is None:
        fields["error.message"] = f"time stamp not understood: {told!r}"
    else:
        fields["@timestamp"] = stamp


def _put_request(fields: Fields, request: str) -> None:
    """A request that is no HTTP (scanners, TLS on the plain port) is told as such."""
    match = _REQUEST.match(request)
    if match is None:
        fields["event.reason"] = "not an HTTP request"
        if request not in ("", "-"):
            fields["http.request.body.content"] = request
        return
    method, target, version = match.groups()
    fields["http.request.method"] = method
    fields["url.original"] = target
    if version:
        fields["http.version"] = version
    absolute = _ABSOLUTE.match(target)
    if absolute is not None:
        fields["url.scheme"] = absolute[1].lower()
        fields["url.domain"] = absolute[2].rpartition("@")[2]
        target = absolute[3] or "/"
    path, question, query = target.partition("?")
    fields["url.path"] = path
    if question:
        fields["url.query"] = query


def _put_forwarded(fields: Fields, forwarded: str | None) -> None:
    """nginx's "main" format ends with X-Forwarded-For."""
    if forwarded and forwarded != "-":
        address = as_ip(forwarded.partition(",")[0].strip())
        if address is not None:
            fields["network.forwarded_ip"] = address


def _unescape(text: str) -> str:
    """Quotes and backslashes; "\\x16" stays as the server wrote it."""
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text
