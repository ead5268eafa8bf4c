"""Patterns: an indicator enters, what STIX looks for it with leaves (STIX 2.1, part 9)."""

#: What each kind of indicator is compared with; of addresses and networks by their version.
_PATHS = {
    "domain": "domain-name:value", "host": "domain-name:value", "email": "email-addr:value",
    "md5": "file:hashes.MD5", "sha1": "file:hashes.'SHA-1'", "sha256": "file:hashes.'SHA-256'",
}  # fmt: skip
_NETWORK = ("address", "network")
_CERTIFICATE_HASHES = {40: "SHA-1", 64: "SHA-256"}


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


def quoted(text: str) -> str:
    """Write a text as patterns have it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
