"""Patterns: an indicator enters, what STIX looks for it with leaves, and back (STIX 2.1, part 9)."""

import re
from collections.abc import Iterator

#: What each kind of indicator is compared with; of addresses and networks by their version.
_PATHS = {
    "domain": "domain-name:value", "host": "domain-name:value", "email": "email-addr:value",
    "md5": "file:hashes.MD5", "sha1": "file:hashes.'SHA-1'", "sha256": "file:hashes.'SHA-256'",
}  # fmt: skip
_NETWORK = ("address", "network")
_CERTIFICATE_HASHES = {40: "SHA-1", 64: "SHA-256"}
#: What is compared with `=`; a text that something else is done with is passed over whole.
_COMPARED = re.compile(
    r"""([a-z0-9-]{1,50}):([\w.'-]{1,100})\s{0,10}=\s{0,10}'((?:[^'\\]|\\.)*)'|'(?:[^'\\]|\\.)*'""", re.S
)
_SUBJECTS = {
    "ipv4-addr": "address", "ipv6-addr": "address", "domain-name": "domain", "url": "url", "email-addr": "email",
}  # fmt: skip
_LONGEST_PATTERN = 10_000


def pattern_of(kind: str, value: str) -> str:
    """Return the pattern of an indicator of ours, or "" where STIX has none for its kind (`ja3`, `ja4`).

    Our URLs are without their scheme, for a sensor often cannot tell which it was; so both are looked for.
    """
    if kind in _NETWORK:
        return f"[ipv{6 if ':' in value else 4}-addr:value = {quoted(value)}]"
    if kind == "url":
        named = [value] if "://" in value else [f"http://{value}", f"https://{value}"]
        return f"[{' OR '.join(f'url:value = {quoted(each)}' for each in named)}]"
    if kind == "certificate" and len(value) in _CERTIFICATE_HASHES:
        return f"[x509-certificate:hashes.'{_CERTIFICATE_HASHES[len(value)]}' = {quoted(value)}]"
    return f"[{_PATHS[kind]} = {quoted(value)}]" if kind in _PATHS else ""


def values_of(pattern: str) -> Iterator[tuple[str, str]]:
    """Yield what a pattern names, as the observables of cases: kind (`address`, `domain`, `url`, `email`, `hash`) and
    value. Only what is compared with `=` is read."""
    for found in _COMPARED.finditer(pattern[:_LONGEST_PATTERN]):
        subject, path, value = found[1], found[2], re.sub(r"\\(.)", r"\1", found[3] or "", flags=re.S)
        if path == "value" and subject in _SUBJECTS:
            yield _SUBJECTS[subject], value
        elif subject == "file" and path.startswith("hashes."):
            yield "hash", value.lower()


def quoted(text: str) -> str:
    """Write a text as patterns have it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
