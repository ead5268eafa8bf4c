"""What all lists of indicators say, whatever their format: what holds for a whole list, words and kinds as lists write
them, and what gave no indicator.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from detectors.indicators.indicator import THREATS, TLPS, Indicator, RefusedIndicator, normal, reference, word
from pipeline.event import parse_time

#: Words for what an indicator stands for, as lists write them; a part of the word decides, the first one that is there.
_THREAT_WORDS = (
    ("c2", ("c2", "c&c", "cnc", "command", "botnet", "beacon", "rat")),
    ("phishing", ("phish", "scam", "credential")),
    ("mining", ("miner", "mining", "cryptoj")),
    ("tor", ("tor", "anonymi")),
    ("scanner", ("scan", "brute", "attacker", "recon")),
    ("malware", ("malware", "payload", "trojan", "ransom", "dropper", "download", "malicious", "stealer", "exploit")),
)
#: Kinds as lists write them.
KIND_NAMES = {
    "ip": "address", "ipv4": "address", "ipv6": "address", "ipv4-addr": "address", "ipv6-addr": "address",
    "address": "address", "ip:port": "address", "ip-dst": "address", "ip-src": "address", "ip-dst|port": "address",
    "ip-src|port": "address", "ipv4_addr": "address", "cidr": "network", "network": "network", "netblock": "network",
    "domain": "domain", "domain-name": "domain", "fqdn": "domain", "hostname": "host", "host": "host",
    "url": "url", "uri": "url", "link": "url", "md5": "md5", "md5_hash": "md5", "sha1": "sha1", "sha1_hash": "sha1",
    "sha256": "sha256", "sha256_hash": "sha256", "filehash-md5": "md5", "filehash-sha1": "sha1",
    "filehash-sha256": "sha256", "email": "email", "email-src": "email", "email-addr": "email", "email-dst": "email",
    "ja3": "ja3", "ja3-fingerprint-md5": "ja3", "ja4": "ja4", "certificate": "certificate",
    "x509-fingerprint-sha1": "certificate", "x509-fingerprint-sha256": "certificate", "sslcert_sha1": "certificate",
    "envelope_from": "email", "body_from": "email",
}  # fmt: skip


class Defaults(NamedTuple):
    """What holds for all of a list that do not say it themselves; `expires` in seconds since 1970, 0: never."""

    feed: str
    threat: str = "suspicious"
    confidence: int = 50
    expires: float = 0
    now: float = 0

    def indicators(
        self, text: str, kind: str = "", threat: str = "", confidence: int | None = None, expires: float = 0,
        family: str = "", where: str = "", tlp: str = "",
    ) -> list[Indicator]:  # fmt: skip
        """Return what a text says, with what its list says beside it.

        Raises:
            RefusedIndicator: nothing that can be used.
        """
        ends = min(filter(None, (expires, self.expires)), default=0.0)
        if ends and ends < self.now:
            raise RefusedIndicator("expired")
        sure = self.confidence if confidence is None else max(0, min(confidence, 100))
        shown = tlp.lower().removeprefix("tlp:")
        return [
            Indicator(
                found, value, self.feed, threat or self.threat, sure, ends, word(family), reference(where),
                shown if shown in TLPS else "",
            )
            for found, value in normal(text, kind)
        ]  # fmt: skip


class Refusal(NamedTuple):
    """What gave no indicator: where, the text, and why (`indicator.REASONS`)."""

    place: str
    text: str
    reason: str


Found = Iterator[Indicator | Refusal]


def threat_of(*words: object) -> str:
    """Return what some words of a list mean, "" where nothing is known."""
    for text in words:
        lower = text.lower() if isinstance(text, str) else ""
        if lower in THREATS:
            return lower
        pieces = re.split(r"[^a-z0-9&]+", lower)
        for threat, parts in _THREAT_WORDS:
            if any(piece == part if len(part) < 4 else part in piece for piece in pieces for part in parts):
                return threat
    return ""


def moment_of(text: object) -> float:
    """Return a time as seconds since 1970, 0 where there is none."""
    try:
        return parse_time(str(text).strip().replace(" UTC", "")).timestamp() if text else 0.0
    except (ValueError, OverflowError):
        return 0.0


def count(found: Iterable[Indicator | Refusal], refused: "Refused") -> Iterator[Indicator]:
    """Yield the indicators; count the others."""
    for each in found:
        if isinstance(each, Refusal):
            refused.add(each)
        else:
            yield each


class Refused:
    """What was refused: how many by reason, and the first of them to look at."""

    #: How many are shown.
    SHOWN = 20

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.shown: list[Refusal] = []

    def add(self, refusal: Refusal) -> None:
        """Count one."""
        self.counts[refusal.reason] += 1
        if len(self.shown) < self.SHOWN:
            self.shown.append(refusal)

    def detail(self) -> dict[str, Any]:
        """Return it as a list keeps it."""
        return {"refused": dict(self.counts), "refused_shown": [list(each) for each in self.shown]}
