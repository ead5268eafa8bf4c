"""The beginnings of HTTP/1 messages (RFC 9112) enter, one transaction each request with its response leaves.

A message begins where a segment begins with a request or status line: bodies are never followed, so neither a lost
packet nor a wrong length can put the reader out of step.
"""

import re
from collections import deque
from collections.abc import Iterator

from collectors.network.reading import Fields, Transaction, text

#: Bytes of a header; of a longer one this much is read.
MAX_HEADER = 16_384
#: Requests that wait for their response.
MAX_WAITING = 32
_METHODS = (
    rb"GET|POST|HEAD|PUT|DELETE|OPTIONS|TRACE|CONNECT|PATCH|PROPFIND|PROPPATCH|MKCOL|COPY|MOVE|LOCK|UNLOCK|SEARCH|"
    rb"REPORT|NOTIFY|SUBSCRIBE|UNSUBSCRIBE|M-SEARCH|DESCRIBE|RPC_IN_DATA|RPC_OUT_DATA"
)
REQUEST_LINE = re.compile(rb"(" + _METHODS + rb") ([^\r\n]{0,16000}?) (?:HTTP/(\d\.\d)|RTSP/1\.0)\r?\n")
STATUS_LINE = re.compile(rb"HTTP/(\d\.\d) (\d{3})[^\r\n]{0,1000}\r?\n")
_END = re.compile(rb"\r?\n\r?\n")
_FIRST = re.compile(rb"(?:" + _METHODS + rb") |HTTP/1\.")


def looks_like(data: bytes | bytearray) -> bool:
    """Whether a side begins to speak HTTP."""
    return _FIRST.match(data) is not None


class HttpReader:
    """One connection of HTTP."""

    ordered = False

    def __init__(self) -> None:
        self.done = False
        self._waiting: deque[tuple[int, Fields]] = deque()
        self._begun = {True: b"", False: b""}

    def take(self, from_source: bool, data: bytes, time: int) -> Iterator[Transaction]:
        """Read a header that is complete; what is no header is passed over."""
        begun = self._begun[from_source]
        if begun or looks_like(data[:16]):
            data = begun + data
            end = _END.search(data, 0, MAX_HEADER)
            if end is None and len(data) < MAX_HEADER:
                self._begun[from_source] = data  # more of it will come
                return
            self._begun[from_source] = b""
            yield from self._header(data[: end.start() + 2 if end else MAX_HEADER], time)

    def end(self) -> Iterator[Transaction]:
        """Yield the requests without a response."""
        while self._waiting:
            yield Transaction(self._waiting[0][0], "http", self._waiting.popleft()[1])

    def _header(self, header: bytes, time: int) -> Iterator[Transaction]:
        if request := REQUEST_LINE.match(header):
            self._waiting.append((time, _of_request(request, header[request.end() :])))
            if len(self._waiting) > MAX_WAITING:
                yield Transaction(self._waiting[0][0], "http", self._waiting.popleft()[1])
        elif (response := STATUS_LINE.match(header)) and not response[2].startswith(b"1"):
            asked, fields = self._waiting.popleft() if self._waiting else (time, {"network.protocol": "http"})
            yield Transaction(asked, "http", {**fields, **_of_response(response, header[response.end() :])})


def _of_request(request: re.Match[bytes], rest: bytes) -> Fields:
    named = _named(rest)
    target = text(request[2], 8_192)
    path, mark, query = target.partition("?")
    host = named.get("host", "")
    if "://" in path[:10]:
        host, slash, path = path.partition("://")[2].partition("/")
        path = slash + path
    fields: Fields = {
        "network.protocol": "http" if request[3] else "rtsp", "http.request.method": text(request[1]),
        "url.original": target, "url.path": path,
        "http.version": text(request[3] or b""), "url.query": query if mark else "", "url.domain": _domain(host),
        "user_agent.original": named.get("user-agent", ""), "http.request.referrer": named.get("referer", ""),
        "http.request.mime_type": _mime(named.get("content-type", "")),
    }  # fmt: skip
    if (length := named.get("content-length", "")).isdecimal() and len(length) < 16:
        fields["http.request.body.bytes"] = int(length)
    if named.get("authorization", "").lower().startswith("basic "):
        fields["http.request.authorization"] = "basic"  # a password in clear text; never the password itself
    return {name: value for name, value in fields.items() if value != ""}


def _of_response(response: re.Match[bytes], rest: bytes) -> Fields:
    named = _named(rest)
    status = int(response[2])
    fields: Fields = {"http.response.status_code": status, "event.outcome": "success" if status < 400 else "failure"}
    if mime := _mime(named.get("content-type", "")):
        fields["http.response.mime_type"] = mime
    if (length := named.get("content-length", "")).isdecimal() and len(length) < 16:
        fields["http.response.body.bytes"] = int(length)
    if server := named.get("server", ""):
        fields["http.response.server"] = server
    return fields


def _named(rest: bytes) -> dict[str, str]:
    """Return the header fields by name in lower case, the first of each name."""
    named: dict[str, str] = {}
    for line in rest.split(b"\n", 100)[:100]:
        name, colon, value = line.partition(b":")
        if colon:
            named.setdefault(text(name.strip(), 100).lower(), text(value.strip(), 4_096))
    return named


def _domain(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")


def _mime(value: str) -> str:
    return value.partition(";")[0].strip().lower()
