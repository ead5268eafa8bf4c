"""HTTP to other systems: an address and a body enter, the answer leaves; nothing of ours can be reached by it.

A name is resolved once, every address it has is looked at, and the connection goes to one that was looked at: a name
that means something else a moment later (DNS rebinding) changes nothing. Redirects are not followed.
"""

import contextlib
import http.client
import socket
import ssl
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from pipeline.messages import say
from pipeline.outward import Stopped
from pipeline.outward.watchdog import Watchdog, cut_off, is_open

#: Bytes of an answer that are read; what is longer is a fault of the receiver, but the answer counts.
_LONGEST_ANSWER = 16_384
_HTTP_PORT, _HTTPS_PORT = 80, 443
#: Addresses of the IPv4 world within IPv6, which must be judged as what they lead to (RFC 6052, 3056, 4380).
_NAT64 = ip_network("64:ff9b::/96")


class Answer(NamedTuple):
    """What a receiver answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Forbidden(Stopped):
    """The receiver is at an address that messages must not go to."""


class Poster:
    """Posts to one receiver after another over a connection that is kept."""

    def __init__(
        self,
        watchdog: Watchdog,
        timeout: float,
        allowed: Sequence[str],
        ca: Path | None,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        """`allowed`: networks that are not public, yet may be reached; the files are as `tls_context` has them."""
        self._watchdog, self._timeout = watchdog, timeout
        self._allowed = [ip_network(text, strict=False) for text in allowed]
        self._files = (ca, certificate, key)
        self._context: ssl.SSLContext | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._place = ("", "", 0)

    def post(self, url: str, body: bytes, headers: Mapping[str, str], longest: int = _LONGEST_ANSWER) -> Answer:
        """Post; return the answer, of its body the first `longest` bytes.

        Raises:
            Forbidden: the receiver is where messages must not go.
            OSError, http.client.HTTPException: it does not answer as it should, or not in time.
        """
        return self._answered("POST", url, body, headers, longest)

    def ask(self, url: str, headers: Mapping[str, str], longest: int = _LONGEST_ANSWER) -> Answer:
        """Get a page; return the answer, or raise as `post` does."""
        return self._answered("GET", url, None, headers, longest)

    def _answered(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], longest: int) -> Answer:
        parts = urlsplit(url)
        with self._watchdog.within(self._timeout, lambda: getattr(self._connection, "sock", None)) as watched:
            try:
                answer = self._asked(method, parts, body, headers, longest)
                if not watched.cut:
                    return answer
            except BaseException:
                self.close()
                if not watched.cut:
                    raise
            self.close()
            raise TimeoutError(say("delivery.too_slow", seconds=round(self._timeout)))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _asked(
        self, method: str, parts: SplitResult, body: bytes | None, headers: Mapping[str, str], longest: int
    ) -> Answer:
        connection = self._connect(parts)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body, {**headers, "Accept-Encoding": "identity"})
        answer = connection.getresponse()
        found = answer.read(longest)
        if not answer.isclosed():  # there is more: it may never end
            self.close()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, found)

    def _connect(self, parts: SplitResult) -> http.client.HTTPConnection:
        host = parts.hostname or ""
        place = (parts.scheme, host, parts.port or (_HTTPS_PORT if parts.scheme == "https" else _HTTP_PORT))
        if self._connection is not None and (place != self._place or not is_open(self._connection.sock)):
            self.close()
        if self._connection is None:
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(host, parts.port, timeout=self._timeout)
            self._connection.auto_open = 0  # never connects by itself: the name would be asked for again
            self._place = place
            plain = self._open(place[1], place[2])
            self._connection.sock = plain  # so that the watchdog finds it from here on
            if parts.scheme == "https":
                self._connection.sock = self._tls().wrap_socket(plain, server_hostname=host)
        return self._connection

    def _open(self, host: str, port: int) -> socket.socket:
        """Connect to the first address of a name that answers; all of them must be allowed."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for *_, place in found:
            self._judge(host, str(place[0]))
        fault: OSError = OSError(say("delivery.no_address", host=host))
        for family, kind, protocol, _, place in found:
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(self._timeout / len(found))
                connection.connect(place)
                connection.settimeout(self._timeout)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
            except OSError as error:
                fault = error
                cut_off(connection)
                connection.close()
        raise fault

    def _judge(self, host: str, text: str) -> None:
        address = led_to(ip_address(text.partition("%")[0]))
        public = address.is_global and not address.is_multicast
        if not public and not any(address in network for network in self._allowed):
            raise Forbidden(say("delivery.forbidden", host=host, address=address))

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = tls_context(*self._files)
        return self._context


def led_to(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that one of IPv6 stands for, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


def tls_context(ca: Path | None, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Return what a TLS connection needs; the other side's certificate is always looked at.

    Raises:
        Stopped: a file cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise Stopped(say("delivery.no_certificate", files=f"{ca or ''} {certificate or ''}", fault=error)) from error
    return context


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return how many seconds a receiver asks us to wait (RFC 9110 section 10.2.3), if it does."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    with contextlib.suppress(ValueError, TypeError, IndexError, OverflowError):
        from email.utils import parsedate_to_datetime

        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    return None
