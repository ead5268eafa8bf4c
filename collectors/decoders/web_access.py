"""Access lines of Apache httpd and nginx in, HTTP fields out.

Sources: Apache's mod_log_config ("common", "combined", "vhost_combined"), nginx's
ngx_http_log_module ("combined"); both escape quotes and control bytes with a backslash.
"""

import re

from collectors.decoders.address import as_ip, as_port, put_host
from collectors.decoders.contract import Context, Fields
from collectors.decoders.timestamp import MONTHS, from_iso

_LINE = re.compile(
    r"(?:([\w.*-]{1,255})(?::(\d{1,5}))? )?"
    r"([^\s\"]{1,255}) (?:[^\s\"]{1,255}) (\"\"|[^\"\[]{1,512}?) "
    r"\[(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d:\d\d:\d\d)"
    r"( [+-]\d{4})?\] "
    r'"([^"\\]*(?:\\.[^"\\]*)*)" (\d{3}|-) (\d+|-)'
    r'(?: "([^"\\]*(?:\\.[^"\\]*)*)" "([^"\\]*(?:\\.[^"\\]*)*)")?'
    r'(?: "([^"\\]*(?:\\.[^"\\]*)*)")?',
    re.ASCII | re.DOTALL,
)
_METHOD = re.compile(r"[A-Za-z][A-Za-z_-]{0,31}")
_ABSOLUTE = re.compile(r"([a-z][a-z0-9+.-]{1,15})://([^/?#]{1,512})(.*)$", re.DOTALL | re.IGNORECASE)
_MONTH_NUMBERS = {name: f"{number:02d}" for name, number in MONTHS.items()}
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
    vhost, vport, host, user, day, month, year, time, zone, request, status, size = match.groups()[:12]
    referrer, agent, forwarded = match.groups()[12:]
    fields: Fields = {
        "event.dataset": _dataset(context),
        "event.category": ["web"],
        "event.type": ["access"],
        "event.action": "http_request",
    }
    stamp = from_iso(f"{year}-{_MONTH_NUMBERS.get(month, '00')}-{day} {time}{zone or ''}", context.timezone)
    if stamp is None:
        fields["error.message"] = f"time stamp not understood: '{day}/{month}/{year}:{time}'"
    else:
        fields["@timestamp"] = stamp
    put_host(fields, "source", host)
    if user not in ("-", '""'):
        fields["user.name"] = _unescape(user)
    if vhost:
        fields["url.domain"] = vhost
        port = as_port(vport or "")
        if port is not None:
            fields["url.port"] = port
    _put_request(fields, _unescape(request))
    if status != "-":
        fields["http.response.status_code"] = int(status)
        fields["event.outcome"] = "success" if status < "400" else "failure"
    if size != "-" and len(size) < 19:
        fields["http.response.body.bytes"] = int(size)
    if referrer and referrer != "-":
        fields["http.request.referrer"] = _unescape(referrer)
    if agent and agent != "-":
        fields["user_agent.original"] = _unescape(agent)
    _put_forwarded(fields, forwarded)
    return fields


def _dataset(context: Context) -> str:
    """The two write the same line: the settings or the syslog tag tell, else it is Apache's."""
    if context.dataset in DATASETS:
        return context.dataset
    return "nginx.access" if context.program == "nginx" else "apache.access"


def _put_request(fields: Fields, request: str) -> None:
    """A request that is no HTTP (scanners, TLS on the plain port) is told as such."""
    method, space, rest = request.partition(" ")
    if not space or not rest or _METHOD.fullmatch(method) is None:
        fields["event.reason"] = "not an HTTP request"
        if request not in ("", "-"):
            fields["http.request.body.content"] = request
        return
    target, protocol, version = rest.rpartition(" HTTP/")
    if not protocol:
        target, version = rest, ""
    fields["http.request.method"] = method
    fields["url.original"] = target
    if version:
        fields["http.version"] = version
    absolute = None if target[:1] == "/" else _ABSOLUTE.match(target)
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
