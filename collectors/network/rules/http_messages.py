"""What one side of an HTTP/1 connection sends, in order, enters; its messages as buffers for rules leave.

Unlike the sensor's own reader this one needs bodies, so it follows `Content-Length`; where a piece begins with a whole
first line of a message it is one, whatever was counted: bytes may have been lost.
"""

import re
import zlib
from collections.abc import Generator, Iterator
from urllib.parse import unquote_to_bytes

from collectors.network.http import MAX_HEADER, REQUEST_LINE, STATUS_LINE, looks_like
from collectors.network.rules.buffers import REQUEST, REQUEST_BODY, RESPONSE, RESPONSE_BODY, Message

#: Bytes of a body that are looked at, after unpacking.
MAX_BODY = 32_768
_END = re.compile(rb"\r?\n\r?\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,7})[^\r\n]{0,100}\r?\n")
_SLASHES = re.compile(rb"/{2,}")
#: Fields that have a buffer of their own, of requests and of responses.
_OF_REQUEST = {
    b"user-agent": "http.user_agent", b"referer": "http.referer", b"cookie": "http.cookie", b"accept": "http.accept",
    b"accept-encoding": "http.accept_enc", b"accept-language": "http.accept_lang", b"host": "http.host.raw",
    b"content-type": "http.content_type", b"content-length": "http.content_len", b"connection": "http.connection",
}  # fmt: skip
_OF_RESPONSE = {
    b"server": "http.server", b"location": "http.location", b"set-cookie": "http.cookie",
    b"content-type": "http.content_type", b"content-length": "http.content_len", b"connection": "http.connection",
}  # fmt: skip
_UNTIL_IT_ENDS = -1
#: First bytes of a message that tell whether it is one.
_ENOUGH = 16


class HttpSide:
    """One side. `held` are the bytes that it keeps."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._body: bytearray | None = None
        self._left = 0
        self._head: Message | None = None

    @property
    def held(self) -> int:
        """How many bytes wait."""
        return len(self._header) + len(self._body or b"")

    def take(self, data: bytes) -> Iterator[Message]:
        """Read on: yield each header that is complete, and each body that is, or is as long as is looked at."""
        if self._body is not None:
            if looks_like(data[:_ENOUGH]) and (REQUEST_LINE.match(data) or STATUS_LINE.match(data)):
                yield from self.end()
            else:
                data = yield from self._more_body(data)
        elif not self._header and self._left:
            data = self._skip(data)
        while data:
            if looks_like(data[:_ENOUGH]) and not looks_like(self._header):
                self._header.clear()  # what came before was no beginning
            self._header += data
            data = b""
            if not looks_like(self._header):
                if len(self._header) >= _ENOUGH:  # the rest of a body that is not looked at, or no HTTP
                    self._header.clear()
                return
            if (end := _END.search(self._header, 0, MAX_HEADER)) is None:
                if len(self._header) < MAX_HEADER:
                    return
                self._header.clear()
                return
            head, data = bytes(self._header[: end.end()]), bytes(self._header[end.end() :])
            self._header.clear()
            message = read_head(head)
            if message is None:
                return
            self._begin_body(message)
            yield message
            if self._body is not None:
                data = yield from self._more_body(data)

    def end(self) -> Iterator[Message]:
        """Yield the body that is going on: nothing more comes of it."""
        if self._body is not None and self._head is not None:
            body, self._body = bytes(self._body), None
            if body:
                yield body_message(self._head, body)

    def _begin_body(self, message: Message) -> None:
        """Find out how long the body is (RFC 9112, 6.3)."""
        buffers = message.buffers
        length = (buffers.get("http.content_len") or [b""])[0].strip()
        self._left, self._body = 0, None
        if message.kind == RESPONSE and buffers["http.stat_code"][0][:1] == b"1":
            return
        if length.isdigit() and len(length) < 16 and b"chunked" not in encodings(message):
            self._left = int(length)
        elif b"chunked" in encodings(message) or message.kind == RESPONSE:
            self._left = _UNTIL_IT_ENDS
        if self._left:
            self._body, self._head = bytearray(), message

    def _more_body(self, data: bytes) -> Generator[Message, None, bytes]:
        """Take bytes of the body; return what lies behind it."""
        body = self._body if self._body is not None else bytearray()
        if self._left == _UNTIL_IT_ENDS:
            body += data
            ended, data = body.endswith(b"0\r\n\r\n") and b"chunked" in encodings(self._head), b""
        else:
            body += data[: self._left]
            data, self._left = data[self._left :], max(0, self._left - len(data))
            ended = not self._left
        if ended or len(body) >= MAX_BODY:
            yield from self.end()
        return data

    def _skip(self, data: bytes) -> bytes:
        """Leave out the rest of a body that is not looked at any more."""
        if self._left == _UNTIL_IT_ENDS or (
            looks_like(data[:_ENOUGH]) and (REQUEST_LINE.match(data) or STATUS_LINE.match(data))
        ):
            self._left = 0
            return data
        data, self._left = data[self._left :], max(0, self._left - len(data))
        return data


def encodings(message: Message | None) -> bytes:
    """Return how a body was packed and cut."""
    values = message.buffers.get("transfer-encoding", []) if message else []
    return b",".join(values).lower()


def read_head(head: bytes) -> Message | None:
    """Return a request's or a response's header as buffers; None where its first line is none."""
    if request := REQUEST_LINE.match(head):
        return _read(REQUEST, head, request.end(), _request(request))
    if response := STATUS_LINE.match(head):
        return _read(RESPONSE, head, response.end(), _response(head[: response.end()]))
    return None


def _read(kind: str, head: bytes, at: int, buffers: dict[str, list[bytes]]) -> Message:
    names, lines, joined = [], [], dict[bytes, list[bytes]]()
    for line in head[at:].replace(b"\r\n", b"\n").split(b"\n"):
        name, colon, value = line.partition(b":")
        if not colon:
            continue
        name, value = name.strip(), value.strip()
        names.append(name)
        joined.setdefault(name.lower(), []).append(value)
        lines.append(name + b": " + value)
    cookies = b"cookie" if kind == REQUEST else b"set-cookie"
    normal = b"".join(line + b"\r\n" for line in lines if not line.lower().startswith(cookies + b":"))
    raw = head[at:].rstrip(b"\r\n") + b"\r\n"
    buffers |= {
        "http.header": [normal], "http.header.raw": [raw], "http.start": [head],
        "http.header_names": [b"\r\n" + b"".join(name + b"\r\n" for name in names) + b"\r\n"],
        ("http.request_header" if kind == REQUEST else "http.response_header"): lines,
    }  # fmt: skip
    for name, buffer in (_OF_REQUEST if kind == REQUEST else _OF_RESPONSE).items():
        if name in joined:
            buffers[buffer] = [b", ".join(joined[name])]
    if kind == REQUEST and "http.host" not in buffers and b"host" in joined:
        buffers["http.host"] = [_host(joined[b"host"][0])]
    for name in (b"transfer-encoding", b"content-encoding"):
        if name in joined:
            buffers[name.decode()] = joined[name]
    several = [b", ".join(values) for values in joined.values() if len(values) > 1]
    made = [normal, *(buffers.get(name, [b""])[0] for name in ("http.uri", "http.host", "http.header_names"))]
    return Message(kind, buffers, b"\0".join([head, *made, *several]))


def _request(found: re.Match[bytes]) -> dict[str, list[bytes]]:
    line = found[0].rstrip(b"\r\n")
    target = found[2]
    buffers = {
        "http.method": [found[1]], "http.uri.raw": [target], "http.uri": [normal_uri(target)],
        "http.request_line": [line], "http.protocol": [line.rpartition(b" ")[2]],
    }  # fmt: skip
    scheme, there, rest = target.partition(b"://")
    if there and b"/" not in scheme:
        buffers["http.host"] = [_host(rest.partition(b"/")[0].rpartition(b"@")[2])]
    return buffers


def _response(line: bytes) -> dict[str, list[bytes]]:
    line = line.rstrip(b"\r\n")
    protocol, _, rest = line.partition(b" ")
    code, _, words = rest.partition(b" ")
    return {
        "http.protocol": [protocol], "http.stat_code": [code], "http.stat_msg": [words],
        "http.response_line": [line],
    }  # fmt: skip


def _host(value: bytes) -> bytes:
    if value.startswith(b"["):
        return value.partition(b"]")[0].lower() + b"]"
    return value.partition(b":")[0].lower()


def normal_uri(target: bytes) -> bytes:
    """Return a target as rules see it: without scheme and host, signs decoded once, `//`, `/./` and `/../` resolved."""
    scheme, there, rest = target.partition(b"://")
    if there and b"/" not in scheme:
        target = b"/" + rest.partition(b"/")[2]
    path, mark, query = target.partition(b"?")
    path = _SLASHES.sub(b"/", unquote_to_bytes(path).replace(b"\\", b"/"))
    if b"/." in path:
        kept: list[bytes] = []
        parts = path.split(b"/")
        for number, part in enumerate(parts):
            if part == b"..":
                if len(kept) > 1:
                    kept.pop()
            elif part != b".":
                kept.append(part)
            if part in (b".", b"..") and number == len(parts) - 1:
                kept.append(b"")
        path = b"/".join(kept)
    return path + mark + unquote_to_bytes(query)


def body_message(head: Message, body: bytes) -> Message:
    """Return a message with its body: put together, and unpacked, as far as is looked at."""
    if b"chunked" in encodings(head):
        body = _unchunked(body)
    packed = b",".join(head.buffers.get("content-encoding", [])).lower()
    if b"gzip" in packed or b"deflate" in packed:
        body = _unpacked(body)
    kind, name = (REQUEST_BODY, "http.request_body") if head.kind == REQUEST else (RESPONSE_BODY, "http.response_body")
    buffers = {**head.buffers, name: [body], "file.data": [body]}
    return Message(kind, buffers, head.scanned + b"\0" + body)


def _unchunked(body: bytes) -> bytes:
    parts, at = [], 0
    while found := _CHUNK.match(body, at):
        size = int(found[1], 16)
        parts.append(body[found.end() : found.end() + size])
        at = found.end() + size + 2
        if not size:
            break
    return b"".join(parts)


def _unpacked(body: bytes) -> bytes:
    for bits in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # with a header of gzip or zlib, then without
        try:
            return zlib.decompressobj(bits).decompress(body, MAX_BODY)
        except zlib.error:
            continue
    return body
