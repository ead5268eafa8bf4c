"""Sightings enter, devices leave: who had which address when, what it is called, of which kind it is. Pure.

A device is known by its MAC; where that is a random one, as phones make them, by its name, if that is its own; where no
MAC is known, by its address. What was known by an address alone becomes part of the device that turns out to have it.
State is bounded: above `most` the device that was seen longest ago is forgotten here (not where it was saved).
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from detectors.behaviour import DAY, MINUTE
from detectors.devices.evidence import Evidence, judge, system, weigh
from detectors.devices.makers import maker_of
from detectors.devices.sightings import Sighting, is_random

#: A device's last time is renewed when it is older than this, so that a busy one is not saved again and again.
_RENEW = MINUTE
#: How long an address belongs to who had it last, without a word of it on the link.
_LEASE = DAY
#: Addresses from elsewhere behind one MAC that make it a router's.
_BEHIND = 10
#: Peers of one port that make it a service: one may be a scan's hit, or a colleague.
_CLIENTS = 3
#: What a device keeps of each: names, pieces of evidence, ports with their clients.
_MOST_NAMES, _MOST_EVIDENCE, _MOST_PORTS = 8, 40, 64
_MAX_NAME = 200
#: MACs of which it is remembered whom they forwarded for.
_MOST_MACS = 4096
#: Addresses that every card makes for itself, and that say nothing of the network.
_LINK_LOCAL = ("fe80:", "169.254.")
#: Names that many devices have: they tell of a kind, but not which one it is.
_GENERIC = re.compile(
    r"^(iphone|ipad|ipod|macbook(-?(air|pro))?|android|galaxy.*|localhost|unknown|pc|desktop|laptop|user|admin|windows|"
    r"ubuntu|debian|raspberrypi|espressif|openwrt|dhcp\S*|\d+|watch|appletv)$",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Device:
    """One device. Times in microseconds since 1970; `serves` holds clients of ports that are no service yet."""

    id: str
    first_seen: int
    last_seen: int
    mac: str = ""
    address: str = ""
    names: list[str] = field(default_factory=list)
    maker: str = ""
    evidence: dict[tuple[str, str], Evidence] = field(default_factory=dict)
    unit: str = ""
    merged_into: str = ""
    serves: dict[str, set[str]] = field(default_factory=dict)

    def learn(self, hint: str, text: str) -> bool:
        """Note what was seen; whether that was new and means something."""
        piece = weigh(hint, text)
        if piece is None or (hint, piece.text) in self.evidence or len(self.evidence) >= _MOST_EVIDENCE:
            return False
        same = [each for each in self.evidence.values() if (each.hint, each.weights) == (hint, piece.weights)]
        if len(same) >= 3:  # three browsers of Windows say it as well as thirty
            return False
        self.evidence[hint, piece.text] = piece
        return True

    def named(self, name: str) -> bool:
        """Note a name; whether it was new."""
        name = name.rstrip(".")[:_MAX_NAME]
        if not name or name.lower() in map(str.lower, self.names) or len(self.names) >= _MOST_NAMES:
            return False
        self.names.append(name)
        return True

    def row(self) -> dict[str, Any]:
        """Return it as its row in the state."""
        kind, confidence = judge(self.evidence.values())
        return {
            "id": self.id, "mac": self.mac, "address": self.address, "names": self.names, "maker": self.maker,
            "os": system(self.evidence.values()), "kind": kind, "confidence": confidence,
            "evidence": [[each.hint, each.text, dict(each.weights)] for each in self.evidence.values()],
            "unit": self.unit, "first_seen": self.first_seen, "last_seen": self.last_seen,
            "merged_into": self.merged_into,
        }  # fmt: skip


@dataclass(slots=True)
class Holding:
    """A device has an address, from when to when it was seen."""

    address: str
    since: int
    until: int
    device: str


class Inventory:
    """The devices of a site."""

    def __init__(self, most: int) -> None:
        self.evicted = 0
        self._most = most
        self._devices: OrderedDict[str, Device] = OrderedDict()
        self._by_mac: dict[str, str] = {}
        self._holdings: dict[str, Holding] = {}  # the last one of each address
        self._behind: OrderedDict[str, set[str]] = OrderedDict()  # addresses from elsewhere, by MAC
        self._changed: dict[str, Device] = {}
        self._moved: dict[tuple[str, int], Holding] = {}

    def __len__(self) -> int:
        return len(self._devices)

    def take(self, sighting: Sighting, time: int, unit: str = "") -> None:
        """Take a sighting in."""
        if sighting.forwarded and not self._is_gateway(sighting.mac, sighting.forwarded):
            return
        device = self._device_of(sighting, time)
        if device is None:
            return
        if sighting.forwarded and device.learn("role", "gateway"):
            self._touch(device)
        if not device.unit and unit:
            device.unit = unit
            self._touch(device)
        if sighting.name and device.named(sighting.name):
            self._touch(device)
        for hint, text in sighting.hints:
            if hint == "serves" and not self._is_service(device, text, sighting.peer):
                continue
            if device.learn(hint, text):
                self._touch(device)

    def changes(self) -> tuple[list[dict[str, Any]], list[Holding]]:
        """Return the rows of what changed since this was asked last, and the holdings of addresses."""
        rows, holdings = [device.row() for device in self._changed.values()], list(self._moved.values())
        self._changed, self._moved = {}, {}
        return rows, holdings

    def devices(self) -> Iterator[Device]:
        """Give all devices, the one that was seen longest ago first."""
        return iter(self._devices.values())

    def load(self, rows: Iterable[dict[str, Any]], holdings: Iterable[Holding]) -> None:
        """Go on from what was saved, the one that was seen longest ago first."""
        for row in rows:
            device = Device(
                row["id"], row["first_seen"], row["last_seen"], row["mac"], row["address"], list(row["names"]),
                row["maker"], unit=row["unit"],
            )  # fmt: skip
            for hint, text, _ in row["evidence"]:  # weighed anew: the weights may be of an earlier version
                if piece := weigh(hint, text):
                    device.evidence[hint, text] = piece
            self._keep(device)
        for each in holdings:
            known = self._holdings.get(each.address)
            if known is None or each.until >= known.until:
                self._holdings[each.address] = each

    # Who it is

    def _device_of(self, sighting: Sighting, time: int) -> Device | None:
        """Return whom a sighting is of, with its address, MAC and time noted."""
        holding = self._holdings.get(sighting.address) if sighting.address else None
        if sighting.mac:
            device = self._of_mac(sighting, time)
        elif holding is not None and time - holding.until <= _LEASE and holding.device in self._devices:
            device = self._devices[holding.device]
        elif sighting.address:
            device = self._get(f"ip:{sighting.address}", time)
        else:
            return None
        self._seen(device, time)
        if sighting.address:
            self._hold(device, sighting.address, time, said=bool(sighting.mac))
        return device

    def _of_mac(self, sighting: Sighting, time: int) -> Device:
        mac = sighting.mac
        own = sighting.name if sighting.name and is_random(mac) and not _GENERIC.match(sighting.name) else ""
        known = self._by_mac.get(mac)
        wanted = f"name:{own.lower()[:_MAX_NAME]}" if own else known or f"mac:{mac}"
        device = self._get(wanted, time)
        if known not in (None, wanted) and known in self._devices:
            self._merge(self._devices[known], device)
        self._by_mac[mac] = wanted
        if device.mac != mac:
            device.mac = mac
            device.maker = "" if is_random(mac) else maker_of(mac)
            if device.maker:
                device.learn("maker", device.maker)
            self._touch(device)
        return device

    def _get(self, identifier: str, time: int) -> Device:
        device = self._devices.get(identifier)
        if device is None:
            device = Device(identifier, time, time)
            self._keep(device)
            self._touch(device)
        return device

    def _keep(self, device: Device) -> None:
        self._devices[device.id] = device
        if device.mac:
            self._by_mac[device.mac] = device.id
        if len(self._devices) > self._most:
            _, gone = self._devices.popitem(last=False)
            self.evicted += 1
            if self._by_mac.get(gone.mac) == gone.id:
                del self._by_mac[gone.mac]

    def _seen(self, device: Device, time: int) -> None:
        if time < device.first_seen:
            device.first_seen = time
            self._touch(device)
        if time > device.last_seen + _RENEW:
            device.last_seen = time
            self._devices.move_to_end(device.id)
            self._touch(device)

    def _hold(self, device: Device, address: str, time: int, said: bool) -> None:
        """Note that a device has an address; what was known of the address alone is of this device.

        `said`: on the link, so that it also ends what another device had."""
        holding = self._holdings.get(address)
        if holding is not None and holding.device != device.id:
            before = self._devices.get(holding.device)
            if before is not None and before.id.startswith("ip:") and said and time - holding.until <= _LEASE:
                self._merge(before, device)
                holding = self._holdings[address]
            elif not said:
                holding = None if time - holding.until > _LEASE else holding
            else:
                holding = None
        if holding is None:
            holding = self._holdings[address] = Holding(address, time, time, device.id)
            self._moved[address, holding.since] = holding
        elif time > holding.until + _RENEW:
            holding.until = time
            self._moved[address, holding.since] = holding
        is_better = not address.startswith(_LINK_LOCAL) or not device.address
        if device.address != address and is_better and time >= device.last_seen - _RENEW:
            device.address = address
            self._touch(device)

    def _merge(self, before: Device, device: Device) -> None:
        """What was known as `before` is `device`."""
        device.first_seen = min(device.first_seen, before.first_seen)
        for piece in before.evidence.values():
            device.learn(piece.hint, piece.text)
        for name in before.names:
            device.named(name)
        device.unit = device.unit or before.unit
        for holding in self._holdings.values() if before.mac else filter(None, [self._holdings.get(before.address)]):
            if holding.device == before.id:
                holding.device = device.id
                self._moved[holding.address, holding.since] = holding
        self._devices.pop(before.id, None)
        self._changed[before.id] = replace(before, merged_into=device.id)
        self._touch(device)

    def _is_service(self, device: Device, port: str, client: str) -> bool:
        """Whether a port of a device is used by enough others to be called a service."""
        clients = device.serves.get(port)
        if clients is None:
            if len(device.serves) >= _MOST_PORTS:
                return False
            clients = device.serves[port] = set()
        if len(clients) < _CLIENTS:
            clients.add(client)
        return len(clients) >= _CLIENTS

    def _is_gateway(self, mac: str, forwarded: str) -> bool:
        """Whether a MAC has forwarded what came from, or went to, enough addresses elsewhere to be a router's."""
        behind = self._behind.get(mac)
        if behind is None:
            behind = self._behind[mac] = set()
            if len(self._behind) > _MOST_MACS:
                self._behind.popitem(last=False)
        if len(behind) < _BEHIND:
            behind.add(forwarded)
        return len(behind) >= _BEHIND

    def _touch(self, device: Device) -> None:
        self._changed[device.id] = device
