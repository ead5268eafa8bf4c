"""Values of alerts, indicators and cases enter, what those who share them need leaves: texts, moments, kinds."""

from collections.abc import Collection, Mapping
from ipaddress import ip_network
from typing import Any

from pipeline.event import from_micros, to_micros

LONGEST = 5_000
#: ECS's words for kinds of indicators; files are told by the length of their hash, `software` is a JA3 or JA4.
_KINDS = {
    "ipv4-addr": "address", "ipv6-addr": "address", "domain-name": "domain", "url": "url", "email-addr": "email",
    "x509-certificate": "certificate", "software": "software",
}  # fmt: skip
_HASHES = {32: "md5", 40: "sha1", 64: "sha256"}


def text(value: Any) -> str:
    """Return a text without what stands around it; "" for what is none."""
    return value.strip()[:LONGEST] if isinstance(value, str) else ""


def with_evidence(alert: Mapping[str, Any], names: Collection[str]) -> Mapping[str, Any]:
    """Return an alert with these fields of the event that made it fire, where it does not have them itself."""
    evidence = alert.get("alert.evidence")
    last = evidence[-1] if isinstance(evidence, list) and evidence else None
    return {**{name: last[name] for name in names if name in last}, **alert} if isinstance(last, dict) else alert


def moment_of(value: Any) -> str:
    """Return a time (ISO 8601, or seconds since 1970) in UTC with milliseconds; "" for what is none."""
    try:
        if isinstance(value, str):
            micros = to_micros(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
            micros = round(value * 1e6)
        else:
            return ""
        return from_micros(micros // 1000 * 1000)
    except (ValueError, OverflowError, OSError):
        return ""


def kind_of(value: str, ecs_type: str = "") -> str:
    """Return the kind of an indicator by what ECS calls it (`threat.indicator.type`), else by its shape."""
    if ecs_type in _KINDS:
        return _KINDS[ecs_type]
    try:
        ip_network(value, strict=False)
    except ValueError:
        if len(value) in _HASHES and all(sign in "0123456789abcdef" for sign in value.lower()):
            return _HASHES[len(value)]
        return "url" if "/" in value else "email" if "@" in value else "domain"
    return "address"
