"""What is known of devices leaves: what was seen of them, and what people say, which wins; what they say enters.

People name a device by its MAC, its address or its name; one that was never seen is listed all the same.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from ipaddress import ip_address
from typing import Any

from sqlalchemy import Connection, Engine, select

from pipeline.devices import KINDS
from pipeline.event import from_micros
from pipeline.messages import HaidangError, say
from pipeline.networks import Networks
from pipeline.state.tables import assets, devices

_MAX_TEXT = 200
_MAX_NOTE = 2000
#: Words for kinds, beside their names.
_KIND_WORDS = {
    "server": ("server", "máy chủ", "may chu"),
    "computer": ("computer", "pc", "desktop", "workstation", "máy tính", "may tinh", "máy tính để bàn", "máy trạm"),
    "laptop": ("laptop", "notebook", "máy tính xách tay", "may tinh xach tay"),
    "phone": (
        "phone",
        "smartphone",
        "điện thoại",
        "dien thoai",
        "điện thoại thông minh",
        "điện thoại di động",
        "di động",
    ),
    "tablet": ("tablet", "máy tính bảng", "may tinh bang"),
    "network": (
        "network",
        "network device",
        "router",
        "switch",
        "firewall",
        "access point",
        "thiết bị mạng",
        "thiet bi mang",
    ),
    "printer": ("printer", "máy in", "may in"),
    "camera": ("camera", "ip camera", "camera giám sát"),
    "other": ("other", "iot", "khác", "khac"),
}


@dataclass(frozen=True, slots=True)
class Asset:
    """What somebody says of a device; "" is what they do not say. `key` is `mac:…`, `ip:…` or `name:…`."""

    key: str
    kind: str = ""
    label: str = ""
    unit: str = ""
    owner: str = ""
    note: str = ""
    who: str = ""
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class Known:
    """A device as it is shown. `by_hand`: what of it people have said, and `said_by` under which keys; `kind_seen` is
    what it looks like."""

    id: str
    name: str
    kind: str
    confidence: float
    kind_seen: str
    os: str
    maker: str
    mac: str
    address: str
    unit: str
    owner: str
    note: str
    names: list[str] = field(default_factory=list)
    evidence: list[Any] = field(default_factory=list)
    first_seen: str | None = None
    last_seen: str | None = None
    by_hand: list[str] = field(default_factory=list)
    said_by: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


class Units:
    """Which unit of the organization a device belongs to: who says so by hand, its network, or where it was seen."""

    def __init__(self, networks: Mapping[str, Iterable[str]]) -> None:
        self._networks = [(name, Networks(each)) for name, each in networks.items()]

    def of(self, address: str, otherwise: str) -> str:
        """Return the unit of an address."""
        return next((name for name, networks in self._networks if networks.holds(address)), otherwise)


class Book:
    """All devices of a moment."""

    def __init__(self, connection: Connection, units: Units) -> None:
        self._units = units
        self._assets = {row.key: Asset(**row._mapping) for row in connection.execute(select(assets))}
        self._same = said_alike(self._assets.values())
        self._merged: dict[str, str] = {}
        self.known: dict[str, Known] = {}
        used: set[str] = set()
        rows = connection.execute(select(devices).order_by(devices.c.last_seen.desc())).mappings().all()
        self._named = {f"name:{name.lower()}" for row in rows if not row["merged_into"] for name in row["names"]}
        for row in rows:
            if row["merged_into"]:
                self._merged[row["id"]] = row["merged_into"]
            else:
                said = self._said_of(row["id"], row["mac"], row["address"], row["names"])
                used |= {each.key for each in said}
                self.known[row["id"]] = self._made(dict(row), said)
        for key in self._assets.keys() - used:
            other = self._same.get(key, "")
            if not (other and key.startswith("ip:")):  # else it is listed by its name
                said = [self._assets[each] for each in (key, other) if each]
                self.known[key] = self._made(_unseen(key, other.removeprefix("ip:")), said)

    def get(self, identifier: str) -> Known | None:
        """Return a device by its id, also by one that it had before."""
        return self.known.get(self.id_of(identifier))

    def id_of(self, identifier: str) -> str:
        """Return the id that a device has now."""
        for _ in range(10):
            if identifier not in self._merged:
                break
            identifier = self._merged[identifier]
        return identifier

    def find(self, text: str) -> Known | None:
        """Return the device of this id, MAC, address or name; the one that was seen last where several have it."""
        wanted = text.strip()
        for key in (wanted, *keys_of(wanted)):
            if (known := self.get(key)) is not None:
                return known
        lowered = wanted.lower()
        return next(
            (
                each
                for each in self.known.values()
                if lowered in (each.address.lower(), each.mac.lower(), *map(str.lower, each.names))
            ),
            None,
        )

    def unseen(self, key: str) -> Known:
        """Return a device of which nothing is known but this key."""
        return self._made(_unseen(key), [])

    def listed(self, text: str = "", kind: str = "", unit: str = "") -> list[Known]:
        """Return the devices in which a text stands, of a kind, of a unit; those seen last first."""
        words = text.lower().split()
        return [
            each
            for each in self.known.values()
            if (not kind or each.kind == kind)
            and (not unit or each.unit == unit)
            and all(word in _searched(each) for word in words)
        ]

    def _said_of(self, identifier: str, mac: str, address: str, names: Iterable[str]) -> list[Asset]:
        """Return what people say of a device, the surest first: the key that can only be this one."""
        keys = [identifier, f"mac:{mac}", *(f"name:{name.lower()}" for name in names), f"ip:{address}"]
        found = [key for key in keys if key in self._assets and not self._is_elsewhere(key, keys)]
        both = (each for key in found for each in (key, self._same.get(key, "")) if each)
        return [self._assets[key] for key in dict.fromkeys(both)]

    def _is_elsewhere(self, key: str, keys: Iterable[str]) -> bool:
        """Whether what is said of an address is of a device that has been seen under the name that goes with it."""
        name = self._same.get(key, "") if key.startswith("ip:") else ""
        return name in self._named and name not in keys

    def _made(self, row: Mapping[str, Any], said: list[Asset]) -> Known:
        by_hand = {name: value for each in reversed(said) for name, value in asdict(each).items() if value}
        kind = by_hand.get("kind", "")
        label = by_hand.get("label", "")
        return Known(
            id=row["id"], name=label or (row["names"][0] if row["names"] else ""), kind=kind or row["kind"],
            confidence=1.0 if kind else row["confidence"], kind_seen=row["kind"], os=row["os"], maker=row["maker"],
            mac=row["mac"], address=row["address"],
            unit=by_hand.get("unit", "") or self._units.of(row["address"], row["unit"]),
            owner=by_hand.get("owner", ""), note=by_hand.get("note", ""), names=list(row["names"]),
            evidence=list(row["evidence"]),
            first_seen=from_micros(row["first_seen"]) if row["first_seen"] else None,
            last_seen=from_micros(row["last_seen"]) if row["last_seen"] else None,
            by_hand=[name for name in ("kind", "label", "unit", "owner", "note") if by_hand.get(name)],
            said_by=[each.key for each in said],
        )  # fmt: skip


def open_book(engine: Engine, units: Mapping[str, Iterable[str]]) -> Book:
    """Read all devices as of one moment."""
    with engine.connect().execution_options(read_only=True) as connection:
        return Book(connection, Units(units))


def asset(key: str, **said: str) -> Asset:
    """Return what is said of a device, checked and cut to size.

    Raises:
        HaidangError: the kind is none.
    """
    kind = kind_of(said.get("kind", ""))
    label, unit, owner = ((said.get(name) or "").strip()[:_MAX_TEXT] for name in ("label", "unit", "owner"))
    return Asset(key[:300], kind, label, unit, owner, (said.get("note") or "").strip()[:_MAX_NOTE])


def kind_of(word: str) -> str:
    """Return the kind that a word names, in English or Vietnamese; "" for "".

    Raises:
        HaidangError: it names none.
    """
    lowered = " ".join(word.lower().split())
    if not lowered or lowered in KINDS:
        return lowered
    found = next((kind for kind, words in _KIND_WORDS.items() if lowered in words), "")
    if not found:
        raise HaidangError(
            "devices.no_kind", value=word[:100], expected=", ".join(say(f"devices.kind.{kind}") for kind in _KIND_WORDS)
        )
    return found


def key_of(text: str) -> str:
    """Return the key that a MAC, an address or a name is."""
    return keys_of(text.strip())[0]


def keys_of(text: str) -> tuple[str, ...]:
    """Return the keys that a text may be, the likeliest first: a MAC, an address, else a name."""
    if text.startswith(("mac:", "ip:", "name:")):
        return (text,)
    digits = "".join(letter for letter in text.upper() if letter not in ":-.")
    if len(digits) == 12 and all(letter in "0123456789ABCDEF" for letter in digits):
        return ("mac:" + "-".join(digits[at : at + 2] for at in range(0, 12, 2)), f"name:{text.lower()}")
    try:
        return (f"ip:{ip_address(text)}",)
    except ValueError:
        return (f"name:{text.lower()[:200]}",)


def said_alike(said: Iterable[Asset]) -> dict[str, str]:
    """Return names with the addresses that go with them, and the other way round: a list says the same of both."""
    alike: defaultdict[Asset, list[str]] = defaultdict(list)
    for each in said:
        if not each.key.startswith("mac:"):
            alike[replace(each, key="", who="", time=0.0)].append(each.key)
    pairs = [sorted(keys) for keys in alike.values() if len(keys) == 2]
    return {key: other for ip, name in pairs if ip[:3] == "ip:" != name[:3] for key, other in ((ip, name), (name, ip))}


def _unseen(key: str, address: str = "") -> dict[str, Any]:
    kind, _, value = key.partition(":")
    return {
        "id": key, "mac": value if kind == "mac" else "", "address": value if kind == "ip" else address,
        "names": [value] if kind == "name" else [], "maker": "", "os": "", "kind": "unknown", "confidence": 0.0,
        "evidence": [], "unit": "", "first_seen": 0, "last_seen": 0,
    }  # fmt: skip


def _searched(known: Known) -> str:
    parts = (known.name, *known.names, known.address, known.mac, known.os, known.maker, known.unit, known.owner)
    return " ".join((*parts, known.note)).lower()
