"""An event enters, sightings leave: what it says of a device of ours. Pure.

Only what is said on the link itself (ARP, DHCP, agents) ties an address to a MAC: the MAC of a packet that a router
has forwarded is the router's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address

from detectors.behaviour import Seen, text, texts, whole
from pipeline.event import Event
from pipeline.networks import LOCAL, OUTSIDE, Site

#: Protocols in which a device says its own name.
_MULTICAST_DNS = frozenset(("mdns", "llmnr"))
#: Ports from here on are a client's.
_EPHEMERAL = 32_768
_NO_MAC = frozenset(("", "00-00-00-00-00-00", "FF-FF-FF-FF-FF-FF"))


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one event says of one device.

    `hints` are pairs of what is seen (`dhcp_vendor`, `user_agent` …, as in `kinds.toml`) and its text. `peer` is who
    talked to a port of it, `forwarded` an address from elsewhere behind its MAC.
    """

    mac: str = ""
    address: str = ""
    name: str = ""
    hints: tuple[tuple[str, str], ...] = ()
    peer: str = ""
    forwarded: str = ""


def sightings(seen: Seen, site: Site) -> Iterator[Sighting]:
    """Yield what an event says of devices of ours."""
    reader = _READERS.get(seen.kind)
    if reader is not None:
        yield from reader(seen, site)
    if "host.ip" in seen.event:
        yield from _of_agent(seen.event, site)


def _of_flow(seen: Seen, site: Site) -> Iterator[Sighting]:
    from_ours, to_ours = site.where(seen.source) == LOCAL, site.where(seen.destination) == LOCAL
    if from_ours:
        yield Sighting(mac=_embedded_mac(seen.source), address=seen.source)
    elif seen.source and site.where(seen.source) == OUTSIDE and (mac := mac_of(text(seen.event, "source.mac"))):
        yield Sighting(mac=mac, forwarded=seen.source)
    if to_ours:
        answered = seen.refused is False if seen.transport == "tcp" else _succeeded(seen.event)
        if answered and 0 < seen.port < _EPHEMERAL:
            service = f"{seen.transport}/{seen.port}"
            yield Sighting(address=seen.destination, hints=(("serves", service),), peer=seen.source)
    elif from_ours and site.where(seen.destination) == OUTSIDE and (mac := mac_of(text(seen.event, "destination.mac"))):
        yield Sighting(mac=mac, forwarded=seen.destination)


def _succeeded(event: Event) -> bool:
    return text(event, "event.outcome") == "success"


def _of_arp(seen: Seen, site: Site) -> Iterator[Sighting]:
    mac = mac_of(text(seen.event, "source.mac"))
    if mac and site.where(seen.source) == LOCAL:
        yield Sighting(mac=mac, address=seen.source)


def _of_dhcp(seen: Seen, site: Site) -> Iterator[Sighting]:
    event = seen.event
    messages = set(texts(event, "dhcp.message"))
    mac = mac_of(text(event, "dhcp.mac"))
    asked = not messages <= {"OFFER", "ACK", "NAK"}
    address = text(event, "dhcp.assigned_ip") if "ACK" in messages else ""
    if "INFORM" in messages and not address:
        address = seen.source
    name = text(event, "dhcp.host_name")
    hints = _hints(event, (("dhcp_vendor", "dhcp.vendor_class"), ("dhcp_options", "dhcp.options"))) if asked else ()
    if mac:
        yield Sighting(mac, address if site.where(address) == LOCAL else "", name, (*hints, *_named(name)))
    server = text(event, "dhcp.server_ip")
    if messages & {"OFFER", "ACK"} and site.where(server) == LOCAL:
        yield Sighting(address=server, hints=(("role", "dhcp_server"),))


def _of_dns(seen: Seen, site: Site) -> Iterator[Sighting]:
    if site.where(seen.source) != LOCAL:
        return
    event = seen.event
    if seen.protocol in _MULTICAST_DNS:
        if "dns.response_code" in event:
            said = [text(event, "dns.question.name"), *texts(event, "dns.answers.data")]
            hints = tuple(("mdns", name.lower()) for name in said if name)
            hosts = [name.partition(".local")[0] for name in said if ".local:" in name or name.endswith(".local")]
            name = next((host for host in hosts if host and "." not in host and "_" not in host), "")
            yield Sighting(address=seen.source, name=name, hints=(*hints, *_named(name)))
    elif (name := text(event, "dns.question.name")) and seen.port == 53:
        yield Sighting(address=seen.source, hints=(("asks", name),))


def _of_http(seen: Seen, site: Site) -> Iterator[Sighting]:
    agent = text(seen.event, "user_agent.original")
    if agent and site.where(seen.source) == LOCAL:
        yield Sighting(address=seen.source, hints=(("user_agent", agent),))


def _of_ssh(seen: Seen, site: Site) -> Iterator[Sighting]:
    for side, address in (("client", seen.source), ("server", seen.destination)):
        version = text(seen.event, f"ssh.{side}.version")
        if version and site.where(address) == LOCAL:
            yield Sighting(address=address, hints=((f"ssh_{side}", version),))


def _of_kerberos(seen: Seen, site: Site) -> Iterator[Sighting]:
    client = text(seen.event, "kerberos.client").partition("/")[0]
    if client.endswith("$") and site.where(seen.source) == LOCAL:  # a machine's account, by its own name
        yield Sighting(address=seen.source, name=client[:-1], hints=(("role", "domain_member"), *_named(client[:-1])))


def _of_ssdp(seen: Seen, site: Site) -> Iterator[Sighting]:
    method = text(seen.event, "ssdp.method")
    answers = method == "RESPONSE" and whole(seen.event, "destination.port") == _SSDP_PORT  # to who asked it alone
    address = seen.destination if answers else seen.source
    # what a device searches for is no sign of what it is itself
    hints = _hints(seen.event, _OF_SSDP_SEARCH if method == "M-SEARCH" else _OF_SSDP)
    if hints and site.where(address) == LOCAL:
        yield Sighting(address=address, hints=hints)


def _of_netbios(seen: Seen, site: Site) -> Iterator[Sighting]:
    name = text(seen.event, "source.domain")
    if name and site.where(seen.source) == LOCAL:
        yield Sighting(address=seen.source, name=name, hints=(("role", "netbios"), *_named(name)))


def _of_agent(event: Event, site: Site) -> Iterator[Sighting]:
    """What an agent on the device says of it."""
    addresses = [address for address in texts(event, "host.ip")[:16] if site.where(address) == LOCAL]
    macs = [mac for mac in map(mac_of, texts(event, "host.mac")[:16]) if mac]
    name = text(event, "host.name") or text(event, "host.hostname")
    hints = _hints(event, (("os", "host.os.full"), ("os", "host.os.name"), ("type", "host.type")))
    for number, address in enumerate(addresses or [""]):
        mac = macs[number] if len(macs) == len(addresses) else macs[0] if len(macs) == 1 else ""
        if mac or address:
            yield Sighting(mac, address, name, (*hints, *_named(name)))


_SSDP_PORT = 1900
_OF_SSDP_SEARCH = (("user_agent", "user_agent.original"),)
_OF_SSDP = (("ssdp", "ssdp.server"), ("ssdp", "ssdp.target"), *_OF_SSDP_SEARCH)
_READERS: dict[str, Callable[[Seen, Site], Iterator[Sighting]]] = {
    "flow": _of_flow, "arp": _of_arp, "dhcp": _of_dhcp, "dns": _of_dns, "http": _of_http, "ssh": _of_ssh,
    "kerberos": _of_kerberos, "ssdp": _of_ssdp, "netbios": _of_netbios,
}  # fmt: skip


def mac_of(written: str) -> str:
    """Return a MAC as `AA-BB-CC-00-11-22`; "" where it is none, or one of many devices."""
    digits = "".join(letter for letter in written.upper() if letter in "0123456789ABCDEF")
    mac = "-".join(digits[at : at + 2] for at in range(0, 12, 2)) if len(digits) == 12 else ""
    return "" if mac in _NO_MAC or (mac and int(digits[:2], 16) & 1) else mac


def is_random(mac: str) -> bool:
    """Whether a MAC was made up by its device (the bit "locally administered", IEEE 802): it names no maker."""
    return bool(mac) and bool(int(mac[:2], 16) & 2)


def _embedded_mac(address: str) -> str:
    """Return the MAC in an IPv6 address that was made of it (RFC 4291, appendix A)."""
    if ":" not in address or "ff:fe" not in address:
        return ""
    raw = IPv6Address(address).packed[8:]
    if raw[3:5] != b"\xff\xfe":
        return ""
    return mac_of(bytes((raw[0] ^ 2, raw[1], raw[2], *raw[5:])).hex())


def _hints(event: Event, fields: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((hint, found) for hint, name in fields if (found := text(event, name)))


def _named(name: str) -> tuple[tuple[str, str], ...]:
    return (("name", name),) if name else ()
