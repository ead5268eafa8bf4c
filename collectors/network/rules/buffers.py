"""The buffers of the rule language: each name, what kind of message it is of, and what may be done to it first."""

import re
from collections.abc import Callable, Mapping
from urllib.parse import unquote_to_bytes

#: Kinds of what is looked at. A payload is a packet's or the beginning of what a side has sent; bodies are looked at
#: once, when they are complete or as long as is held.
PAYLOAD, REQUEST, REQUEST_BODY, RESPONSE, RESPONSE_BODY, DNS, CLIENT, SERVER = (
    "payload", "request", "request_body", "response", "response_body", "dns", "tls_client", "tls_server",
)  # fmt: skip
_BOTH = (REQUEST, RESPONSE)
#: Each sticky buffer and the kinds of message that have it.
BUFFERS: Mapping[str, tuple[str, ...]] = {
    "pkt_data": (PAYLOAD,),
    "http.method": (REQUEST,), "http.uri": (REQUEST,), "http.uri.raw": (REQUEST,), "http.host": (REQUEST,),
    "http.host.raw": (REQUEST,), "http.user_agent": (REQUEST,), "http.referer": (REQUEST,),
    "http.accept": (REQUEST,), "http.accept_enc": (REQUEST,), "http.accept_lang": (REQUEST,),
    "http.request_line": (REQUEST,), "http.request_header": (REQUEST,), "http.request_body": (REQUEST_BODY,),
    "http.header": _BOTH, "http.header.raw": _BOTH, "http.header_names": _BOTH, "http.cookie": _BOTH,
    "http.content_type": _BOTH, "http.content_len": _BOTH, "http.connection": _BOTH, "http.protocol": _BOTH,
    "http.start": _BOTH,
    "http.stat_code": (RESPONSE,), "http.stat_msg": (RESPONSE,), "http.server": (RESPONSE,),
    "http.location": (RESPONSE,), "http.response_line": (RESPONSE,), "http.response_header": (RESPONSE,),
    "http.response_body": (RESPONSE_BODY,), "file.data": (REQUEST_BODY, RESPONSE_BODY),
    "dns.query": (DNS,),
    "tls.sni": (CLIENT,), "ja3.hash": (CLIENT,), "ja3.string": (CLIENT,), "ja4.hash": (CLIENT,),
    "ja3s.hash": (SERVER,), "tls.certs": (SERVER,), "tls.cert_subject": (SERVER,), "tls.cert_issuer": (SERVER,),
    "tls.cert_serial": (SERVER,), "tls.cert_fingerprint": (SERVER,),
}  # fmt: skip
#: Other names of the same.
ALIASES: Mapping[str, str] = {
    "dns_query": "dns.query", "dns.query.name": "dns.query", "tls_sni": "tls.sni", "ja3_hash": "ja3.hash",
    "ja3_string": "ja3.string", "ja3s_hash": "ja3s.hash", "tls_cert_subject": "tls.cert_subject",
    "tls_cert_issuer": "tls.cert_issuer", "tls_cert_serial": "tls.cert_serial",
    "tls_cert_fingerprint": "tls.cert_fingerprint", "file_data": "file.data", "http.user-agent": "http.user_agent",
    "http_request_line": "http.request_line", "http_response_line": "http.response_line",
    "http_header_names": "http.header_names", "http_protocol": "http.protocol", "http_start": "http.start",
    "http_content_type": "http.content_type", "http_content_len": "http.content_len",
    "http_connection": "http.connection", "http_referer": "http.referer", "http_accept": "http.accept",
    "http_accept_enc": "http.accept_enc", "http_accept_lang": "http.accept_lang",
}  # fmt: skip
#: Keywords of the old form, which stand behind the content that they move into a buffer.
MODIFIERS: Mapping[str, str] = {
    "http_method": "http.method", "http_uri": "http.uri", "http_raw_uri": "http.uri.raw", "http_header": "http.header",
    "http_raw_header": "http.header.raw", "http_cookie": "http.cookie", "http_host": "http.host",
    "http_raw_host": "http.host.raw", "http_user_agent": "http.user_agent", "http_client_body": "http.request_body",
    "http_server_body": "http.response_body", "http_stat_code": "http.stat_code", "http_stat_msg": "http.stat_msg",
}  # fmt: skip
#: A message of this kind has also the buffers of that one.
INCLUDES: Mapping[str, str] = {REQUEST_BODY: REQUEST, RESPONSE_BODY: RESPONSE}
#: Kinds that come from who began a connection; the others from who was asked. Payload comes from both.
FROM_SOURCE = frozenset((REQUEST, REQUEST_BODY, DNS, CLIENT))
#: Buffers of which a message has several: all tests of one must hold in the same.
SEVERAL = frozenset(("dns.query", "tls.certs", "http.request_header", "http.response_header"))

_SPACES = re.compile(rb"[ \t\r\n\f\v]+")


def _dotted(data: bytes) -> bytes:
    return b"." + data


def _stripped(data: bytes) -> bytes:
    return _SPACES.sub(b"", data)


def _compressed(data: bytes) -> bytes:
    return _SPACES.sub(b" ", data)


def _decoded(data: bytes) -> bytes:
    return unquote_to_bytes(data.replace(b"+", b" "))


#: What may be done to a buffer before it is looked at, and whether it leaves a content's own bytes in their order.
TRANSFORMS: Mapping[str, tuple[Callable[[bytes], bytes], bool]] = {
    "dotprefix": (_dotted, True), "to_lowercase": (bytes.lower, True), "to_uppercase": (bytes.upper, True),
    "strip_whitespace": (_stripped, False), "compress_whitespace": (_compressed, False),
    "url_decode": (_decoded, False),
}  # fmt: skip


class Message:
    """What is looked at once: its buffers by name, and what was made of them for the rules.

    `scanned` holds every run of bytes that stands in a buffer: there fast patterns are looked for.
    """

    __slots__ = ("_made", "buffers", "kind", "scanned")

    def __init__(self, kind: str, buffers: dict[str, list[bytes]], scanned: bytes) -> None:
        self.kind, self.buffers, self.scanned = kind, buffers, scanned
        self._made: dict[tuple[str, ...], list[tuple[bytes, bytes]]] = {}

    def get(self, name: str, transforms: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
        """Return the values of a buffer, each as it is and in small letters."""
        key = (name, *transforms)
        made = self._made.get(key)
        if made is None:
            values = self.buffers.get(name, [])
            for transform in transforms:
                values = [TRANSFORMS[transform][0](value) for value in values]
            made = self._made[key] = [(value, value.lower()) for value in values]
        return made
