"""Ids: what a thing is enters, the one id it always has leaves.

Observables have the ids that STIX itself derives of their content (STIX 2.1, section 2.9), so those of other producers
are the same; all other objects have ids of our own namespace.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any
from uuid import UUID, uuid5

import orjson

#: The namespace of STIX for observables (section 2.9), and ours for everything else.
OBSERVABLES = UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")
OURS = UUID("6c1bb1a5-6d0c-4ad4-9b0e-53d1a9c1f2b7")
#: The properties of each observable that make its id; of the hashes of a file the first that it has.
_CONTRIBUTING = {
    "ipv4-addr": ("value",), "ipv6-addr": ("value",), "domain-name": ("value",), "url": ("value",),
    "email-addr": ("value",), "directory": ("path",), "file": ("hashes", "name", "parent_directory_ref"),
    "network-traffic": ("src_ref", "dst_ref", "src_port", "dst_port", "protocols"),
    "user-account": ("account_type", "user_id", "account_login"),
}  # fmt: skip
_HASHES = ("MD5", "SHA-1", "SHA-256", "SHA-512")


def canonical(value: Any) -> bytes:
    """Return JSON that is the same for the same value: keys sorted, nothing between (RFC 8785 for what has no
    fractions)."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def own_id(kind: str, *key: Any) -> str:
    """Return the id of an object of this type that the key names: the site and what is only once there."""
    return f"{kind}--{uuid5(OURS, canonical([kind, *key]).decode())}"


def observable_id(observable: Mapping[str, Any]) -> str:
    """Return the id of an observable.

    A process has no properties that make its id; STIX wants a UUID of version 4. This one has the form of such, and is
    the same for the same process all the same.
    """
    kind = observable["type"]
    content = {name: observable[name] for name in _CONTRIBUTING.get(kind, ()) if name in observable}
    if not content:
        return f"{kind}--{UUID(bytes=blake2b(canonical(dict(observable)), digest_size=16).digest(), version=4)}"
    if hashes := content.get("hashes"):
        name = next((each for each in _HASHES if each in hashes), min(hashes))
        content["hashes"] = {name: hashes[name]}
    return f"{kind}--{uuid5(OBSERVABLES, canonical(content).decode())}"
