"""One indicator: a text of any list enters, its kind and its one way of being written leave, or why it is refused.

What would alert on everything is refused by name: addresses that are nobody's or everybody's, networks that are too
wide, names below which everybody registers, the hash of an empty file.
"""

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network, summarize_address_range
from typing import Literal, NamedTuple, get_args
from urllib.parse import urlsplit

import orjson

from detectors.domains import NOT_DOMAINS, is_suffix

Kind = Literal[
    "address", "network", "domain", "host", "url", "ja3", "ja4", "certificate", "md5", "sha1", "sha256", "email"
]
#: What an indicator stands for; `suspicious` where its list does not say.
Threat = Literal["c2", "malware", "phishing", "mining", "tor", "scanner", "suspicious"]
KINDS: tuple[str, ...] = get_args(Kind)
THREATS: tuple[str, ...] = get_args(Threat)
TLPS = frozenset(("clear", "white", "green", "amber", "amber+strict", "red"))

#: The widest networks that are taken, as prefix lengths.
_WIDEST_4, _WIDEST_6 = 8, 20
#: Networks that one range of addresses may become.
_MOST_OF_RANGE = 64
#: Characters of a value, of a word that goes with it, and of a reference.
_MAX_VALUE, _MAX_WORD, _MAX_REFERENCE = 2_048, 200, 500
_HEX = re.compile(r"[0-9a-f]+")
_HEX_KINDS = {32: "md5", 40: "sha1", 64: "sha256"}
_LENGTHS = {"md5": (32,), "sha1": (40,), "sha256": (64,), "ja3": (32,), "certificate": (40, 64)}
#: The transport, version and so on, then two cut hashes (FoxIO's description of JA4).
_JA4 = re.compile(r"[tqd][0-9a-z]{9}_[0-9a-f]{12}_[0-9a-f]{12}")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_EMAIL = re.compile(r"[^\s@<>\"]{1,64}@([^\s@<>]+)")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,15}://", re.IGNORECASE)
_WITH_PORT = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}")
_RANGE = re.compile(r"(\S+?)\s*-\s*(\S+)")
_NOTHING = frozenset((
    "d41d8cd98f00b204e9800998ecf8427e", "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
))  # fmt: skip
#: Ways to write an indicator so that nobody follows it by mistake.
_DEFANGED = (
    (re.compile(r"^h[tx]{2}p", re.IGNORECASE), "http"),
    (re.compile(r"\s*[\[({]\s*(?:\.|dot)\s*[\])}]\s*|\\\.", re.IGNORECASE), "."),
    (re.compile(r"[\[({]\s*:\s*[\])}]"), ":"),
    (re.compile(r"\[:?//\]?|:\[//\]"), "://"),
    (re.compile(r"\s*[\[({]\s*(?:@|at)\s*[\])}]\s*", re.IGNORECASE), "@"),
)
_DEFAULT_PORTS = {"http": 80, "https": 443, "ftp": 21}


class RefusedIndicator(ValueError):
    """What a list says is no indicator, or one that must not be used; `reason` is one of `REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


#: Why something is refused; the words are in the catalogues as `indicators.refused.<reason>`.
REASONS = (
    "empty", "no_indicator", "no_address", "no_network", "no_domain", "no_url", "no_hash", "no_ja4", "no_email",
    "private", "too_wide", "public_suffix", "own_name", "empty_file", "too_long", "unknown_kind", "unreadable",
    "pattern", "expired",
)  # fmt: skip


class Indicator(NamedTuple):
    """`expires` in seconds since 1970, 0: never; `confidence` from 0 to 100; `tlp`: Traffic Light Protocol 2.0."""

    kind: str
    value: str
    feed: str = ""
    threat: str = "suspicious"
    confidence: int = 50
    expires: float = 0
    family: str = ""
    reference: str = ""
    tlp: str = ""

    def line(self) -> bytes:
        """Write it as a line of JSON, without a line end."""
        return bytes(memoryview(orjson.dumps(tuple(self))))  # a copy: orjson's own keeps a kilobyte each


def of_line(line: bytes) -> Indicator:
    """Read what `line` wrote."""
    return Indicator(*orjson.loads(line))


def normal(text: str, kind: str = "") -> list[tuple[str, str]]:
    """Return kind and value as they are compared; the kind by its shape where none is given. A range becomes several.

    Raises:
        RefusedIndicator: it is none, or must not be used.
    """
    text = text.strip().strip("\"'").strip()
    if not text:
        raise RefusedIndicator("empty")
    if len(text) > _MAX_VALUE:
        raise RefusedIndicator("too_long")
    text = refanged(text)
    kind = kind or guess(text)
    if kind in ("address", "network"):
        return _networks(text)
    return [(kind, _NORMAL[kind](text, kind))] if kind in _NORMAL else _no_kind()


def _no_kind() -> list[tuple[str, str]]:
    raise RefusedIndicator("unknown_kind")


def word(text: object, length: int = _MAX_WORD) -> str:
    """Return what goes with an indicator, such as the name of a family, as one short line."""
    return " ".join(text.split())[:length] if isinstance(text, str) else ""


def reference(text: object) -> str:
    """Return where more is said."""
    return word(text, _MAX_REFERENCE)


def refanged(text: str) -> str:
    """Return a text as it is meant."""
    if not any(sign in text for sign in "[({\\xX"):
        return text
    for pattern, meant in _DEFANGED:
        text = pattern.sub(meant, text)
    return text


def guess(text: str) -> str:
    """Return the kind of indicator that a text looks like; a domain where it looks like nothing else."""
    lower = text.lower()
    if len(lower) in _HEX_KINDS and _HEX.fullmatch(lower):
        return _HEX_KINDS[len(lower)]
    if _SCHEME.match(text):
        return "url"
    if "@" in text:
        return "email"
    if _JA4.fullmatch(lower):
        return "ja4"
    if ":" in text or lower.replace(".", "").replace("/", "").isdigit():
        return "address" if not re.match(r"[a-z0-9.-]*[g-z-][a-z0-9.-]*:", lower) else "url"
    if "/" in text:
        return "url"
    if "-" in text and _RANGE.fullmatch(text) and re.fullmatch(r"[\d.\s-]+", text):
        return "address"
    return "domain"


def _networks(text: str) -> list[tuple[str, str]]:
    if port := _WITH_PORT.fullmatch(text):
        text = port[1]
    if text.startswith("[") and "]" in text:
        text = text[1 : text.index("]")]
    try:
        if "/" not in text and "-" not in text:
            return [("address", str(_address(text)))]
        if (ends := _RANGE.fullmatch(text)) and "/" not in text:
            return _range(ends[1], ends[2])
        network = ip_network(text, strict=False)
    except RefusedIndicator:
        raise
    except ValueError as error:
        raise RefusedIndicator("no_network" if "/" in text else "no_address") from error
    if isinstance(network, IPv6Network) and (mapped := network.network_address.ipv4_mapped) and network.prefixlen >= 96:
        network = ip_network(f"{mapped}/{network.prefixlen - 96}", strict=False)
    if network.prefixlen < (_WIDEST_4 if network.version == 4 else _WIDEST_6):
        raise RefusedIndicator("too_wide")
    if not _is_of_somebody(network.network_address) or not _is_of_somebody(network.broadcast_address):
        raise RefusedIndicator("private")
    if network.prefixlen == network.max_prefixlen:
        return [("address", str(network.network_address))]
    return [("network", str(network))]


def _address(text: str) -> IPv4Address | IPv6Address:
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if not _is_of_somebody(address):
        raise RefusedIndicator("private")
    return address


def _range(first: str, last: str) -> list[tuple[str, str]]:
    low, high = ip_address(first), ip_address(last)
    if type(low) is not type(high):
        raise RefusedIndicator("no_network")
    width = int(high) - int(low) + 1
    if width > 2 ** (low.max_prefixlen - (_WIDEST_4 if low.version == 4 else _WIDEST_6)):
        raise RefusedIndicator("too_wide")
    found = list(summarize_address_range(low, high))
    if len(found) > _MOST_OF_RANGE:
        raise RefusedIndicator("too_wide")
    return [pair for network in found for pair in _networks(str(network))]


def _is_of_somebody(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not address.is_multicast


def name(text: str) -> str:
    """Return a domain name as it is compared: small letters, IDN as punycode, no dot at the end.

    Raises:
        RefusedIndicator: it is none.
    """
    text = text.strip().rstrip(".").lower()
    if not text.isascii():
        try:
            text = text.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise RefusedIndicator("no_domain") from error
    labels = text.split(".")
    if len(text) > 253 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise RefusedIndicator("no_domain")
    return text


def _domain(text: str, _kind: str) -> str:
    found = name(text.removeprefix("*").removeprefix("."))
    if found in NOT_DOMAINS or found.endswith(tuple(f".{each}" for each in NOT_DOMAINS)):
        raise RefusedIndicator("own_name")
    if is_suffix(found):
        raise RefusedIndicator("public_suffix")
    return found


def url_key(text: str) -> str:
    """Return a URL as it is compared: without scheme, user, default port and fragment, its host in small letters.

    A sensor often does not see whether it was HTTP or HTTPS; so both are the same.

    Raises:
        RefusedIndicator: it is none.
    """
    if not _SCHEME.match(text):
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise RefusedIndicator("no_url") from error
    try:
        shown = str(ip_address(host))
    except ValueError:
        shown = name(host)
    at = f":{port}" if port is not None and port != _DEFAULT_PORTS.get(parts.scheme.lower()) else ""
    rest = parts.path or "/"
    return f"{shown}{at}{rest}{f'?{parts.query}' if parts.query else ''}"


def _url(text: str, _kind: str) -> str:
    if any(sign.isspace() for sign in text):
        raise RefusedIndicator("no_url")
    found = url_key(text)
    host = re.split(r"[/?]", found, maxsplit=1)[0]
    try:
        address = ip_address(host.rpartition(":")[0] if host.count(":") == 1 else host)
    except ValueError:
        if "." not in host:
            raise RefusedIndicator("own_name") from None
        return found
    if not _is_of_somebody(address):
        raise RefusedIndicator("private")
    return found


def _hash(text: str, kind: str) -> str:
    lower = text.replace(":", "").lower()
    if len(lower) not in _LENGTHS[kind] or not _HEX.fullmatch(lower):
        raise RefusedIndicator("no_hash")
    if lower in _NOTHING:
        raise RefusedIndicator("empty_file")
    return lower


def _ja4(text: str, _kind: str) -> str:
    if not _JA4.fullmatch(text.lower()):
        raise RefusedIndicator("no_ja4")
    return text.lower()


def _email(text: str, _kind: str) -> str:
    found = _EMAIL.fullmatch(text.strip("<>").lower())
    if not found:
        raise RefusedIndicator("no_email")
    name(found[1])
    return found[0]


_NORMAL = {
    "domain": _domain, "host": _domain, "url": _url, "ja3": _hash, "ja4": _ja4, "certificate": _hash,
    "md5": _hash, "sha1": _hash, "sha256": _hash, "email": _email,
}  # fmt: skip
