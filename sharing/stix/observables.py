"""What was seen: the fields of an alert or a fact enter, STIX observables leave.

Only values that are what their field says become observables: what calls itself an address and is none is left out.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from sharing.stix.ids import observable_id

Observable = dict[str, Any]
_ADDRESSES = ("source.ip", "destination.ip", "host.ip", "threat.indicator.ip")
_DOMAINS = ("dns.question.name", "destination.domain", "url.domain", "tls.client.server_name")
_URLS = ("url.full", "url.original")
_HASHES = {"md5": ("MD5", 32), "sha1": ("SHA-1", 40), "sha256": ("SHA-256", 64)}
#: Every field that is looked at.
FIELDS = frozenset((
    *_ADDRESSES, *_DOMAINS, *_URLS, *(f"{of}.hash.{name}" for of in ("file", "process") for name in _HASHES),
    "file.name", "file.path", "file.size", "process.name", "process.executable", "process.pid", "process.command_line",
    "user.name", "user.domain", "source.port", "destination.port", "network.transport", "network.protocol",
))  # fmt: skip
_DOMAIN = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_-]{1,63})+")
_HEX = re.compile(r"[0-9a-fA-F]+")
#: Characters of a value; what is longer is left out, for a part of it would be another value.
_LONGEST = 8_192
_MOST_PORTS, _MOST_PID = 65_535, 2**32
_PROTOCOL = re.compile(r"[a-z0-9-]{1,30}")


def observables(facts: Mapping[str, Any]) -> list[Observable]:
    """Return the observables of a flat event or alert, those first that others refer to."""
    found: dict[str, Observable] = {}

    def keep(observable: Observable) -> str:
        observable["id"] = observable_id(observable)
        observable["spec_version"] = "2.1"
        found.setdefault(observable["id"], observable)
        return str(observable["id"])

    ends = {name: keep(made) for name in _ADDRESSES for made in _addresses(facts, name)}
    for name in _DOMAINS:
        for value in _texts(facts, name):
            if _DOMAIN.fullmatch(value.rstrip(".")) and not _is_address(value):
                keep({"type": "domain-name", "value": value.rstrip(".").lower()})
    for name in _URLS:
        for value in _texts(facts, name):
            if _is_url(value):
                keep({"type": "url", "value": value})
    file = _file(facts, "file", ("file.path", "file.name"), keep)
    if file and (size := _whole(facts, "file.size", 2**53)) is not None:
        file["size"] = size
    if file:
        keep(file)
    _keep_process(facts, keep)
    for value in _texts(facts, "user.name"):
        domain = next(_texts(facts, "user.domain"), "")
        keep({"type": "user-account", "account_login": f"{domain}\\{value}" if domain else value})
    if traffic := _traffic(facts, ends):
        keep(traffic)
    return list(found.values())


def of_value(kind: str, value: str) -> Observable | None:
    """Return the observable of a case's (`pipeline.cases.entries.OBSERVABLES`), or None where STIX has none for it."""
    if len(value) > _LONGEST:
        return None
    as_facts: dict[str, dict[str, Any]] = {
        "address": {"source.ip": value}, "domain": {"dns.question.name": value}, "url": {"url.full": value},
        "file": {"file.path": value}, "user": {"user.name": value},
        "hash": {f"file.hash.{name}": value for name, (_, length) in _HASHES.items() if length == len(value)},
    }  # fmt: skip
    made = observables(as_facts.get(kind, {}))
    return made[-1] if made else None


def _texts(facts: Mapping[str, Any], name: str) -> Iterator[str]:
    value = facts.get(name)
    values: Iterable[Any] = value if isinstance(value, (list, tuple)) else (value,)
    for each in values:
        if isinstance(each, str) and 0 < len(each) <= _LONGEST:
            yield each


def _whole(facts: Mapping[str, Any], name: str, most: int) -> int | None:
    value = facts.get(name)
    return value if type(value) is int and 0 <= value <= most else None


def _addresses(facts: Mapping[str, Any], name: str) -> Iterator[Observable]:
    for value in _texts(facts, name):
        try:
            address = ip_address(value)
        except ValueError:
            continue
        yield {"type": f"ipv{address.version}-addr", "value": str(address).partition("%")[0]}


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True


def _is_url(value: str) -> bool:
    """Say whether it is a whole URL (RFC 3986): web servers often note the path alone."""
    try:
        parts = urlsplit(value)
        return bool(parts.scheme and parts.hostname) and not re.search(r"[\s<>\"{}|\\^`]", value) and value.isascii()
    except ValueError:
        return False


def _file(facts: Mapping[str, Any], of: str, names: tuple[str, ...], keep: Any) -> Observable | None:
    made: Observable = {"type": "file"}
    hashes = {
        called: value.lower()
        for name, (called, length) in _HASHES.items()
        for value in _texts(facts, f"{of}.hash.{name}")
        if len(value) == length and _HEX.fullmatch(value)
    }
    if hashes:
        made["hashes"] = hashes
    path = next((value for name in names for value in _texts(facts, name)), "")
    folder, _, base = path.replace("\\", "/").rpartition("/")
    if base:
        made["name"] = base
        if folder:
            made["parent_directory_ref"] = keep({"type": "directory", "path": path[: len(folder)]})
    return made if len(made) > 1 else None


def _keep_process(facts: Mapping[str, Any], keep: Any) -> None:
    made: Observable = {"type": "process"}
    if (pid := _whole(facts, "process.pid", _MOST_PID)) is not None:
        made["pid"] = pid
    if line := next(_texts(facts, "process.command_line"), ""):
        made["command_line"] = line
    if image := _file(facts, "process", ("process.executable", "process.name"), keep):
        made["image_ref"] = keep(image)
    if len(made) > 1:
        keep(made)


def _traffic(facts: Mapping[str, Any], ends: Mapping[str, str]) -> Observable | None:
    """Return who spoke with whom, where both are known."""
    if not ("source.ip" in ends and "destination.ip" in ends):
        return None
    made: Observable = {"type": "network-traffic", "src_ref": ends["source.ip"], "dst_ref": ends["destination.ip"]}
    for name, called in (("source.port", "src_port"), ("destination.port", "dst_port")):
        if (port := _whole(facts, name, _MOST_PORTS)) is not None:
            made[called] = port
    said = [value.lower() for name in ("network.transport", "network.protocol") for value in _texts(facts, name)]
    protocols = [value for value in said if _PROTOCOL.fullmatch(value)]
    made["protocols"] = protocols or [made["dst_ref"].partition("-")[0]]
    return made
