"""Traffic for the benchmarks of behaviours: a number or a span of time enters, lines of events leave."""

import random
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.event import Event, encode, event_id, from_micros

#: Hosts of ours, addresses outside that they talk to, and events a second.
_HOSTS, _PLACES, _RATE = 2_000, 20_000, 1_000
#: What share of the events is DNS, a log-in; how many connections nobody answers, or come up to so many seconds late.
_DNS_SHARE, _LOGIN_SHARE, _FAILED_SHARE = 0.3, 0.02, 0.05
_LATE_SECONDS = 30
_START = 1_795_000_000
_SECOND = 1_000_000
#: In real time: how many questions of DNS and beginnings of TLS come with a connection, how many connections nobody
#: answers, and up to how many seconds late events come.
_DNS_EACH, _TLS_EACH, _LIVE_FAILED, _LIVE_LATE = 0.3, 0.4, 0.01, 1.0


class Traffic:
    """A site at work in real time: connections at a steady rate, with the names and TLS that belong to them."""

    def __init__(self, rate: int) -> None:
        """`rate`: connections a second."""
        self._rate = rate
        self._chance = random.Random(20261128)  # noqa: S311 - test input, the same each time
        self._number = 0
        self._owed = 0.0

    def between(self, before: float, now: float) -> Iterator[bytes]:
        """Yield what came between two moments (seconds since 1970)."""
        self._owed += (now - before) * self._rate
        received = from_micros(round(now * _SECOND))
        while self._owed >= 1:
            self._owed -= 1
            yield from self._connection(now, received)

    def _connection(self, now: float, received: str) -> Iterator[bytes]:
        chance = self._chance
        self._number += 1
        number = 4 * self._number
        micros = round((now - chance.random() * _LIVE_LATE) * _SECOND)
        host = f"10.1.{chance.randrange(_HOSTS) >> 8}.{chance.randrange(250)}"
        place = int(_PLACES * chance.random() ** 3)
        name = f"www{chance.randrange(3)}.site{place}.vn"
        more = {"event.ingested": received}
        if chance.random() < _DNS_EACH:
            asked = {"dns.question.name": name, "dns.question.type": "A", "dns.response_code": "NOERROR", **more}
            yield _line(number + 1, micros, "network.dns", host, asked)
        address = f"198.51.{place >> 8}.{place & 255}"
        if chance.random() < _TLS_EACH:
            began = {
                "destination.ip": address, "destination.port": 443, "network.transport": "tcp",
                "tls.client.server_name": name, "tls.client.ja4": "t13d1516h2_8daaf6152771_e5627efa2ab1", **more,
            }  # fmt: skip
            yield _line(number + 2, micros, "network.tls", host, began)
        yield _flow(number, micros, host, address, chance.random() < _LIVE_FAILED, chance, more)


def busy(count: int) -> Iterator[bytes]:
    """A site at work: connections, names, log-ins, some of them late."""
    chance = random.Random(20261129)  # noqa: S311 - test input, the same each time
    for number in range(count):
        host = f"10.1.{chance.randrange(_HOSTS) >> 8}.{chance.randrange(250)}"
        late = chance.randrange(_LATE_SECONDS * _SECOND)
        micros = _START * _SECOND + number * _SECOND // _RATE - late
        kind = chance.random()
        if kind < _DNS_SHARE:
            name = f"www{chance.randrange(3)}.site{int(_PLACES * chance.random() ** 3)}.vn"
            yield _line(number, micros, "network.dns", host, {"dns.question.name": name, "dns.question.type": "A"})
        elif kind < _DNS_SHARE + _LOGIN_SHARE:
            yield _login(number, micros, host)
        else:
            place = int(_PLACES * chance.random() ** 3)
            is_refused = chance.random() < _FAILED_SHARE
            yield _flow(number, micros, host, f"198.51.{place >> 8}.{place & 255}", is_refused, chance)


def crowd(count: int) -> Iterator[bytes]:
    """As many sources as events, each refused."""
    chance = random.Random(20261130)  # noqa: S311 - test input, the same each time
    for number in range(count):
        source = f"{100 + (number >> 16)}.7.{number >> 8 & 255}.{number & 255}"
        yield _flow(number, _START * _SECOND + number * 100, source, f"10.0.0.{number % 250}", True, chance)


def _flow(
    number: int,
    micros: int,
    source: str,
    destination: str,
    refused: bool,
    chance: random.Random,
    more: Mapping[str, Any] | None = None,
) -> bytes:
    fields = {
        "event.action": "network_flow", "event.type": ["connection", "end"], "event.start": from_micros(micros - 900),
        "event.duration": 900_000, "event.outcome": "failure" if refused else "success",
        "source.port": 1024 + number % 60_000, "destination.ip": destination,
        "destination.port": chance.choice((80, 443, 443, 443, 22, 445)), "network.transport": "tcp",
        "network.protocol": "tls", "flow.state": "S0" if refused else "SF", "flow.id": f"C{number}",
        "source.bytes": chance.randrange(200, 90_000), "destination.bytes": chance.randrange(200, 900_000),
        "source.packets": 9, "destination.packets": 12,
        "network.community_id": "1:d/FP5EW3wiY1vCndhwleRRKHowQ=", **(more or {}),
    }  # fmt: skip
    return _line(number, micros, "network.flow", source, fields)


def _login(number: int, micros: int, source: str) -> bytes:
    fields = {
        "event.category": ["authentication"], "event.action": "ssh_login", "event.outcome": "success",
        "network.protocol": "ssh", "user.name": f"user{number % 97}", "host.name": "may-chu",
        "source.port": 1024 + number % 60_000,
    }  # fmt: skip
    return _line(number, micros, "linux.auth", source, fields)


def _line(number: int, micros: int, dataset: str, source: str, fields: dict[str, Any]) -> bytes:
    return line_of(event_id("bench", number), micros, {"event.dataset": dataset, "source.ip": source, **fields})


def line_of(identifier: str, micros: int, fields: Mapping[str, Any]) -> bytes:
    """Return the line of an event of the sensor with these fields."""
    event: Event = {
        "@timestamp": from_micros(micros), "event.id": identifier, "event.kind": "event",
        "event.category": ["network"], "labels.source": "sensor",
        "organization.id": "vn", "observer.name": "may-chu", **fields,
    }  # fmt: skip
    return bytes(memoryview(encode(event)))
