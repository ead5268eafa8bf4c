"""Attacks as events: each has as many as its behaviour needs to be told, and not one more.

`beacon` and `regular_contacts` are missing: they look at a day, and at twenty minutes.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Fields = Mapping[str, Any]


class Attack(NamedTuple):
    """The rule that finds it, the number of its round, and its events in their order, without times and ids."""

    rule: str
    number: int
    events: Sequence[Fields]


def attacks(number: int) -> Iterator[Attack]:
    """Yield one of each kind, from addresses of its own for each `number` below 10,000."""
    dice = random.Random(number)  # noqa: S311 - test input, the same each time
    for place, (rule, made) in enumerate(_KINDS.items()):
        source = f"10.{150 + place}.{number >> 8}.{number & 255}"
        yield Attack(f"behaviour.{rule}", number, tuple(made(source, number, dice)))


def flow(source: str, destination: str, port: int, state: str, **more: Any) -> Fields:
    """Return the fields of a connection; of UDP and ICMP without a state."""
    return {
        "event.dataset": "network.flow", "event.action": "network_flow", "event.type": ["connection", "end"],
        "event.outcome": "failure" if state in ("S0", "REJ") else "success", "source.ip": source,
        "source.port": 40_000 + port % 20_000, "destination.ip": destination, "destination.port": port,
        "network.transport": "tcp", "flow.state": state, "source.bytes": 600, "destination.bytes": 900,
        "source.packets": 3, "destination.packets": 3, **more,
    }  # fmt: skip


def _port_scan(source: str, _number: int, _dice: random.Random) -> Iterator[Fields]:
    return (flow(source, "198.51.100.7", 1000 + n, "REJ") for n in range(15))


def _host_sweep(source: str, _number: int, _dice: random.Random) -> Iterator[Fields]:
    return (flow(source, f"203.0.113.{n}", 445, "S0") for n in range(1, 26))


def _slow_scan(source: str, _number: int, _dice: random.Random) -> Iterator[Fields]:
    outside = source.replace("10.", "100.", 1)
    return (flow(outside, f"203.0.113.{n // 3 + 1}", 7000 + n, "S0") for n in range(25))


def _udp_scan(source: str, _number: int, _dice: random.Random) -> Iterator[Fields]:
    silent = {"network.transport": "udp", "flow.state": "", "event.outcome": "unknown", "source.packets": 1}
    return (flow(source, "198.51.100.8", 100 + n, "", **silent, **{"destination.packets": 0}) for n in range(15))


def _icmp_sweep(source: str, _number: int, _dice: random.Random) -> Iterator[Fields]:
    ping = {"network.transport": "icmp", "flow.state": "", "icmp.type": 8, "icmp.code": 0}
    return (flow(source, f"203.0.113.{n}", 0, "", **ping) for n in range(1, 26))


def _login(source: str, user: str) -> Fields:
    return {
        "event.dataset": "linux.auth", "event.category": ["authentication"], "event.action": "ssh_login",
        "event.outcome": "failure", "network.protocol": "ssh", "user.name": user, "host.name": "may-chu",
        "source.ip": source,
    }  # fmt: skip


def _brute_force(source: str, _number: int, _dice: random.Random) -> Iterator[Fields]:
    return (_login(source, "root") for _ in range(30))


def _password_spraying(source: str, _number: int, _dice: random.Random) -> Iterator[Fields]:
    return (_login(source, f"canbo{n}") for n in range(10))


def _login_connections(source: str, _number: int, _dice: random.Random) -> Iterator[Fields]:
    return (flow(source, "10.0.0.22", 22, "SF", **{"event.duration": 1_000_000_000}) for _ in range(100))


def _dns(source: str, name: str, code: str) -> Fields:
    return {
        "event.dataset": "network.dns", "source.ip": source, "destination.ip": "10.0.0.53", "destination.port": 53,
        "network.transport": "udp", "dns.question.name": name, "dns.question.type": "A", "dns.response_code": code,
    }  # fmt: skip


def _dns_tunnel(source: str, number: int, dice: random.Random) -> Iterator[Fields]:
    return (_dns(source, f"{_letters(dice, 40)}.t{number}.example.vn", "NOERROR") for _ in range(10))


def _dga(source: str, _number: int, dice: random.Random) -> Iterator[Fields]:
    return (_dns(source, f"{_letters(dice, 14)}.com", "NXDOMAIN") for _ in range(10))


def _letters(dice: random.Random, length: int) -> str:
    return "".join(dice.choices("abcdefghijklmnopqrstuvwxyz234567", k=length))


def _exfiltration(source: str, _number: int, _dice: random.Random) -> Iterator[Fields]:
    yield flow(source, "198.51.100.9", 443, "SF", **{"source.bytes": 150_000_000})


def _long_connection(source: str, _number: int, _dice: random.Random) -> Iterator[Fields]:
    yield flow(source, "198.51.100.10", 443, "SF", **{"event.duration": 7_200_000_000_000})


def _icmp_tunnel(source: str, _number: int, _dice: random.Random) -> Iterator[Fields]:
    echo = {"event.dataset": "network.icmp", "source.ip": source, "destination.ip": "198.51.100.11", "icmp.type": 8}
    return ({**echo, "icmp.code": 0, "icmp.bytes": 500 + n} for n in range(20))


def _arp(operation: str, mac: str, source: str, target: str) -> Fields:
    return {
        "event.dataset": "network.arp", "source.mac": mac, "source.ip": source, "destination.ip": target,
        "arp.operation": operation,
    }  # fmt: skip


def _arp_spoofing(source: str, number: int, _dice: random.Random) -> Iterator[Fields]:
    macs = f"AA-AA-AA-00-{number >> 8:02X}-{number & 255:02X}", f"BB-BB-BB-00-{number >> 8:02X}-{number & 255:02X}"
    return (_arp("reply", macs[n % 2], source, "10.0.0.7") for n in range(3))


def _arp_sweep(source: str, number: int, _dice: random.Random) -> Iterator[Fields]:
    mac = f"CC-CC-CC-00-{number >> 8:02X}-{number & 255:02X}"
    return (_arp("request", mac, source, f"10.{200 + (number >> 8)}.{number & 255}.{n}") for n in range(1, 6))


def _rogue_dhcp(source: str, number: int, _dice: random.Random) -> Iterator[Fields]:
    offer = {"event.dataset": "network.dhcp", "dhcp.message": ["DISCOVER", "OFFER"], "network.vlan.id": str(number + 1)}
    return ({**offer, "dhcp.server_ip": server, "dhcp.mac": "AA-BB-CC-00-11-22"} for server in ("10.0.0.1", source))


def _write(source: str, share: str, command: str, host: str) -> Fields:
    return {
        "event.dataset": "network.smb", "source.ip": source, "destination.ip": host, "smb.share": share,
        "smb.command": command, "file.path": "x.exe",
    }  # fmt: skip


def _remote_execution(source: str, _number: int, _dice: random.Random) -> Iterator[Fields]:
    yield _write(source, r"\\10.0.0.5\ADMIN$", "SMB::FILE_WRITE", "10.0.0.5")
    yield {
        "event.dataset": "network.dce_rpc", "source.ip": source, "destination.ip": "10.0.0.5",
        "dce_rpc.endpoint": "svcctl", "dce_rpc.operation": "CreateServiceW",
    }  # fmt: skip


def _admin_shares(source: str, _number: int, _dice: random.Random) -> Iterator[Fields]:
    return (_write(source, "C$", "SMB::FILE_OPEN", f"10.0.0.{n}") for n in range(1, 6))


_KINDS = {
    "port_scan": _port_scan, "host_sweep": _host_sweep, "slow_scan": _slow_scan, "udp_scan": _udp_scan,
    "icmp_sweep": _icmp_sweep, "brute_force": _brute_force, "password_spraying": _password_spraying,
    "login_connections": _login_connections, "dns_tunnel": _dns_tunnel, "dga": _dga, "exfiltration": _exfiltration,
    "long_connection": _long_connection, "icmp_tunnel": _icmp_tunnel, "arp_spoofing": _arp_spoofing,
    "arp_sweep": _arp_sweep, "rogue_dhcp": _rogue_dhcp, "remote_execution": _remote_execution,
    "admin_shares": _admin_shares,
}  # fmt: skip
