"""Events are looked up: an event enters, what of it is an indicator leaves.

What costs is done once: a value that was seen before, and was none, costs one look into a dictionary.
"""

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple, Protocol

from detectors.indicators.allow import Allow, parents
from detectors.indicators.index import key_of_name, key_of_network, key_of_text
from detectors.indicators.indicator import Indicator, RefusedIndicator, name, url_key
from pipeline.event import Event

#: What an event's line has one of that can show an indicator.
_MARKS = (
    b'source.ip"', b'destination.ip"', b'"dns.', b'"url.', b'"tls.', b'.hash.', b'client.ip"', b'server.ip"',
    b'"email.', b'.domain"', b'.address"', b'nat.ip"', b'user.email"', b'request.referrer"',
)  # fmt: skip
#: Values of which it is remembered what they are; then all is forgotten.
_MOST_KNOWN = 200_000
#: Values of one field that are looked up, and characters of a value.
_MOST_VALUES, _MAX_VALUE = 100, 4_096
_FILE_KINDS = frozenset(("md5", "sha1", "sha256"))
_CERTIFICATE_KINDS = frozenset(("certificate", "sha1", "sha256"))
#: A list that does not say so means a JA3 where it has 32 hexadecimal digits, too.
_JA3, _JA4 = frozenset(("ja3", "md5")), frozenset(("ja4",))

#: Where in an event a value stands: who talks, to whom, what was asked for, what was answered, what lies on a host.
SOURCE, DESTINATION, LOOKUP, ANSWER, WEB, TLS, FILE, MAIL = (
    "source", "destination", "lookup", "answer", "web", "tls", "file", "mail",
)  # fmt: skip


class Held(Protocol):
    """Indicators that can be looked up: an `Index`, or a `Few`."""

    lengths: frozenset[int]
    count: int

    def find(self, number: int) -> list[Indicator]:
        """Return the indicators with a key; not yet confirmed."""


class Hit(NamedTuple):
    """A field of an event whose value is an indicator; the surest indicator is the first."""

    field: str
    value: str
    role: str
    indicators: tuple[Indicator, ...]


def is_wanted(line: bytes) -> bool:
    """Say of an event's line, without reading it, whether it has something that could be an indicator."""
    return any(mark in line for mark in _MARKS)


def wanted(lines: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """Choose such lines, with their numbers."""
    return ((number, line) for number, line in enumerate(lines) if is_wanted(line))


def _fields() -> dict[str, tuple[str, str, frozenset[str]]]:
    """Return which way each field is looked up, its role, and which kinds of hashes it can be."""
    found: dict[str, tuple[str, str, frozenset[str]]] = {}
    for way, role, names in (
        ("address", SOURCE, "source.ip client.ip source.nat.ip"),
        ("address", DESTINATION, "destination.ip server.ip destination.nat.ip"),
        ("address", ANSWER, "dns.resolved_ip"),
        ("either", ANSWER, "dns.answers.data"),
        ("either", SOURCE, "source.address client.address source.domain client.domain"),
        ("either", DESTINATION, "destination.address server.address destination.domain server.domain"),
        ("name", LOOKUP, "dns.question.name"),
        ("either", WEB, "url.domain"),
        ("url", WEB, "url.full url.original http.request.referrer"),
        ("name", TLS, "tls.client.server_name"),
        ("email", MAIL, "email.from.address email.to.address email.sender.address email.reply_to.address user.email"),
    ):
        found |= {each: (way, role, frozenset()) for each in names.split()}
    for holder in ("file", "process", "process.parent", "dll", "email.attachments.file"):
        found |= {f"{holder}.hash.{kind}": ("hash", FILE, frozenset((kind,))) for kind in _FILE_KINDS}
    for field in ("tls.server.hash.sha1", "tls.server.hash.sha256", "tls.client.hash.sha1", "tls.client.hash.sha256"):
        found[field] = ("hash", TLS, _CERTIFICATE_KINDS)
    found["tls.client.ja3"] = found["tls.client.hash.md5"] = ("hash", TLS, _JA3)
    found["tls.client.ja4"] = ("hash", TLS, _JA4)
    return found


#: Every field that is looked up (docs/indicators.md; a test holds the two together).
FIELDS = _fields()
_NAMES = FIELDS.keys()
_Found = tuple[Indicator, ...]


class Matcher:
    """Looks events up in indicators; what the allow-list covers is none."""

    def __init__(self, held: Iterable[Held], allow: Allow, ends: Mapping[str, float] | None = None) -> None:
        """`ends`: when the indicators of a list end because nothing was heard of it (seconds since 1970, 0: never)."""
        self.ends = dict(ends or {})
        self._held = tuple(each for each in held if each.count)
        self.count = sum(each.count for each in self._held)
        self._allow = allow
        lengths = sorted(frozenset().union(*(each.lengths for each in self._held)), reverse=True)
        self._masks_4 = [(length, _mask(length, 4)) for length in lengths if length <= 32]
        self._masks_6 = [(length - 256, _mask(length - 256, 16)) for length in lengths if length >= 256]
        self._known: dict[str, dict[str, _Found]] = {way: {} for way in ("address", "either", "name", "url", "email")}
        self._known_hashes: dict[tuple[str, frozenset[str]], _Found] = {}
        self._ways: dict[str, Callable[[str], _Found]] = {
            "address": self.address, "either": self._either, "name": self.name, "url": self.url, "email": self._email,
        }  # fmt: skip

    def hits(self, event: Event) -> list[Hit]:
        """Return what of an event is an indicator, in the order of its fields."""
        found: list[Hit] = []
        for field in [field for field in event if field in _NAMES]:
            way, role, kinds = FIELDS[field]
            value = event[field]
            if isinstance(value, str):
                if indicators := self._look(way, value, kinds):
                    found.append(Hit(field, value, role, indicators))
            elif isinstance(value, list):
                found += [
                    Hit(field, each, role, indicators) for each in value[:_MOST_VALUES]
                    if isinstance(each, str) and (indicators := self._look(way, each, kinds))
                ]  # fmt: skip
        if (
            "url.domain" in event
            and "url.full" not in event
            and (url := _asked(event))
            and (indicators := self._look("url", url, frozenset()))
        ):
            found.append(Hit("url.original", url, WEB, indicators))
        return found

    def _look(self, way: str, value: str, kinds: frozenset[str]) -> _Found:
        if kinds:
            pair = (value, kinds)
            known = self._known_hashes.get(pair)
            if known is None:
                if len(self._known_hashes) >= _MOST_KNOWN:
                    self._known_hashes.clear()
                known = self._known_hashes[pair] = self.hash(value, kinds)
            return known
        remembered = self._known[way]
        known = remembered.get(value)
        if known is None:
            if len(remembered) >= _MOST_KNOWN:
                remembered.clear()
            known = remembered[value] = self._ways[way](value[:_MAX_VALUE])
        return known

    def address(self, text: str) -> _Found:
        """Return the indicators that an address is, or lies in."""
        packed = _packed(text)
        if packed is None:
            return ()
        found: list[Indicator] = []
        number = int.from_bytes(packed)
        size = len(packed)
        for length, mask in self._masks_4 if size == 4 else self._masks_6:
            key = key_of_network((number & mask).to_bytes(size), length)
            for held in self._held:
                found += [
                    each for each in held.find(key)
                    if each.kind in ("address", "network") and _holds(each.value, packed, length)
                ]  # fmt: skip
        return self._surest(found, lambda: self._allow.has_address(text))

    def name(self, text: str) -> _Found:
        """Return the indicators that a domain name is, or lies below."""
        if not text.isascii():
            with suppress(RefusedIndicator):
                text = name(text)
        text = text.rstrip(".").lower()
        found: list[Indicator] = []
        above = parents(text)
        for each in above[:-1] or above:
            key = key_of_name(each)
            for held in self._held:
                found += [
                    one for one in held.find(key)
                    if one.value == each and (one.kind == "domain" or (one.kind == "host" and each == text))
                ]  # fmt: skip
        return self._surest(found, lambda: self._allow.has_name(text))

    def url(self, text: str) -> _Found:
        """Return the indicators that a URL is, with or without its query."""
        if "://" not in text[:20]:
            return ()
        try:
            whole = url_key(text)
        except RefusedIndicator:
            return ()
        found: list[Indicator] = []
        for each in dict.fromkeys((whole, whole.partition("?")[0])):
            key = key_of_text(b"u", each)
            for held in self._held:
                found += [one for one in held.find(key) if one.kind == "url" and one.value == each]
        return self._surest(found, lambda: self._allow.has_text(whole))

    def hash(self, text: str, kinds: frozenset[str]) -> _Found:
        """Return the indicators that a hash or fingerprint is."""
        text = text.replace(":", "").lower()
        return self._texts(b"x", text, kinds)

    def any(self, text: str) -> _Found:
        """Return the indicators that a value of any kind is: what somebody looks up."""
        found = [*self.address(text), *self.name(text), *self.url(text if "://" in text else f"http://{text}")]
        found += [*self.hash(text, frozenset((*_FILE_KINDS, *_JA3, *_CERTIFICATE_KINDS))), *self.hash(text, _JA4)]
        return tuple(dict.fromkeys([*found, *self._email(text)]))

    def _either(self, text: str) -> _Found:
        return self.address(text) if _packed(text) else self.name(text)

    def _email(self, text: str) -> _Found:
        return self._texts(b"m", text.lower(), frozenset(("email",)))

    def _texts(self, letter: bytes, text: str, kinds: frozenset[str]) -> _Found:
        key = key_of_text(letter, text)
        found = [one for held in self._held for one in held.find(key) if one.kind in kinds and one.value == text]
        return self._surest(found, lambda: self._allow.has_text(text))

    def _surest(self, found: list[Indicator], is_allowed: Callable[[], bool]) -> _Found:
        if not found or is_allowed():
            return ()
        kept = [self._dated(each) for each in dict.fromkeys(found) if not self._allow.covers(each)]
        return tuple(sorted(kept, key=lambda each: (-each.confidence, each)))

    def _dated(self, indicator: Indicator) -> Indicator:
        ends = min(filter(None, (indicator.expires, self.ends.get(indicator.feed, 0.0))), default=0.0)
        return indicator._replace(expires=ends)


def _packed(text: str) -> bytes | None:
    """Return an address as bytes; an IPv4 address within an IPv6 one as IPv4."""
    try:
        return socket.inet_pton(socket.AF_INET, text)
    except (OSError, UnicodeError, ValueError):
        if ":" not in text:
            return None
    try:
        packed = socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except (OSError, UnicodeError, ValueError):
        return None
    return packed[12:] if packed.startswith(b"\0" * 10 + b"\xff\xff") else packed


def _mask(length: int, size: int) -> int:
    return ((1 << length) - 1) << (8 * size - length)


def _holds(text: str, packed: bytes, length: int) -> bool:
    """Say whether an indicator is the network of this prefix length that an address lies in."""
    first, _, said = text.partition("/")
    network = _packed(first)
    if network is None or len(network) != len(packed) or int(said or 8 * len(network)) != length:
        return False
    return not (int.from_bytes(network) ^ int.from_bytes(packed)) & _mask(length, len(packed))


def _asked(event: Event) -> str:
    """Return the URL of a request that a sensor has seen in parts."""
    domain, target, port = event.get("url.domain"), event.get("url.original"), event.get("destination.port")
    if not isinstance(domain, str) or not isinstance(target, str) or not target.startswith("/"):
        return ""
    shown = f"[{domain}]" if ":" in domain else domain
    at = f":{port}" if type(port) is int and port not in (80, 443) else ""
    return f"http://{shown}{at}{target}"
