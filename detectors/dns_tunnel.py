"""DNS tunnels: DNS questions enter, alerts on hosts that ask for very many, long names below one domain leave.

Over a day the names below one registered domain that a source asks for are counted (grades of RITA v5: 100, 500, 800,
1000), as far as they are long in the mean: a tunnel packs as much as it can into each. Within a minute it is enough
that ten different names are very long, or mostly ask for types of which answers can carry much; within an hour, that
twenty are as long as only data are. Names of a day are counted in a bitmap (linear counting; Whang, Vander-Zanden,
Taylor, ACM TODS 15(2), 1990): a kilobyte, off by a few percent at most.
"""

import math
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

from detectors.behaviour import DAY, HOUR, MINUTE, About, Behaviour, Keys, Seen, alert, listed, recents, text
from detectors.domains import NOT_DOMAINS, registered
from pipeline.event import Event
from pipeline.networks import Site
from pipeline.settings import Behaviours

DNS_TUNNEL = About(
    "dns_tunnel", "high", ("attack.command-and-control", "attack.t1071.004", "attack.exfiltration", "attack.t1048"),
    ("https://github.com/activecm/rita",),
)  # fmt: skip

#: Bits of the map that names are counted in.
_BITS = 8192
#: The mean length of the part below the domain from which the names of a day count, in characters.
_LONG = 20
#: The length of the part below the domain that only data have, in characters.
_DATA = 45
#: Types of which answers carry much, and the share of questions for them that makes a burst.
_WIDE_TYPES, _WIDE_SHARE = frozenset(("TXT", "NULL", "CNAME", "MX", "KEY", "PRIVATE")), 0.5


class Names:
    """The names below a domain in a day: since when, a bit for each, how many questions and characters."""

    __slots__ = ("bits", "characters", "graded", "questions", "since")

    def __init__(self, plain: tuple[int, str, int, int, int] = (0, "0", 0, 0, 0)) -> None:
        self.since, bits, self.characters, self.questions, self.graded = plain
        self.bits = int(bits, 16)

    def add(self, below: str) -> int:
        """Put a name in; return how many different ones there are, about."""
        place = int.from_bytes(blake2b(below.encode("utf-8", "replace"), digest_size=4).digest()) % _BITS
        self.bits |= 1 << place
        self.characters += len(below)
        self.questions += 1
        empty = _BITS - self.bits.bit_count()
        return round(-_BITS * math.log(max(empty, 1) / _BITS))

    def plain(self) -> tuple[int, str, int, int, int]:
        """Give it as JSON can write it."""
        return self.since, f"{self.bits:x}", self.characters, self.questions, self.graded


class DnsTunnel(Behaviour):
    """DNS tunnels."""

    name = "dns_tunnel"
    kinds = frozenset(("dns",))

    def __init__(self, settings: Behaviours, site: Site) -> None:
        super().__init__(settings, site)
        self._chosen = chosen = settings.dns_tunnel
        self._grades = [
            (chosen.names_informational, "informational"), (chosen.names_low, "low"), (chosen.names_medium, "medium"),
            (chosen.names_high, "high"),
        ]  # fmt: skip
        self._excepted = (*NOT_DOMAINS, *(name.lower().strip(".") for name in chosen.except_domains))
        self._endings = tuple(f".{name}" for name in self._excepted)
        self._days: Keys[Names] = Keys(self.most, DAY, Names, Names.plain)
        self._bursts = recents(self.most, MINUTE)
        self._hours = recents(self.most, HOUR)
        self.tables |= {"days": self._days, "bursts": self._bursts, "hours": self._hours}

    def take(self, seen: Seen) -> Iterable[Event]:
        name = text(seen.event, "dns.question.name").rstrip(".").lower()
        if not seen.source or "." not in name or name.endswith(self._endings) or name in self._excepted:
            return
        below, domain = registered(name)
        if not below or below.startswith("_") or _is_reversed_address(below):
            return
        key = (seen.source, domain)
        yield from self._burst(seen, key, below)
        if len(below) >= _DATA:
            yield from self._hour(seen, key, below)
        day = self._days.touch(key, seen.time)
        if day.since < seen.time - DAY:
            day = Names((seen.time, "0", 0, 0, 0))
            self._days.set(key, day, seen.time)
        count = day.add(below)
        length = day.characters / day.questions
        grade = sum(1 for names, _ in self._grades if count >= names)
        if grade <= day.graded or length < _LONG:
            return
        day.graded = grade
        if grade < len(self._grades) and self.told.look(("burst", *key), seen.time) is not None:
            return  # said already, and in a higher grade
        hours = round((seen.time - day.since) / (DAY / 24), 1)
        yield self._alert(seen, key, count, length, f"{hours} h", self._grades[grade - 1][1], None)

    def _burst(self, seen: Seen, key: tuple[str, str], below: str) -> Iterable[Event]:
        most = self._chosen.burst_names
        window = self._bursts.touch(key, seen.time)
        kind = text(seen.event, "dns.question.type").upper()
        if window.add((below, kind), seen.time, seen.id, MINUTE, 2 * most) < most:
            return
        names = {name for name, _ in window.values}
        if len(names) < most:
            return
        length = sum(map(len, names)) / len(names)
        wide = sum(1 for _, asked in window.values if asked in _WIDE_TYPES) / len(window.values)
        if (length >= self._chosen.burst_length or wide >= _WIDE_SHARE) and self.is_news(("burst", *key), seen.time):
            yield self._alert(seen, key, len(names), length, "60 s", "high", window, sorted(names)[:3])

    def _hour(self, seen: Seen, key: tuple[str, str], below: str) -> Iterable[Event]:
        most = self._chosen.hour_names
        window = self._hours.touch(key, seen.time)
        count = window.add(below, seen.time, seen.id, HOUR, most)
        if count < most or self.told.look(("burst", *key), seen.time) or not self.is_news(("hour", *key), seen.time):
            return
        length = sum(map(len, window.values)) / count
        yield self._alert(seen, key, count, length, "1 h", "medium", window, sorted(window.values)[:3])

    def _alert(
        self, seen: Seen, key: tuple[str, str], count: int, length: float, span: str, level: str, window: Any,
        examples: Iterable[str] = (),
    ) -> Event:  # fmt: skip
        source, domain = key
        values = {
            "source": source, "domain": domain, "count": count, "span": span, "length": round(length, 1),
            "examples": listed(examples) or text(seen.event, "dns.question.name"),
        }  # fmt: skip
        entities = {
            "source.ip": source, "destination.ip": seen.destination, "dns.question.registered_domain": domain,
        }  # fmt: skip
        return alert(DNS_TUNNEL, seen, (source, domain, level), entities, values, window, level, count)


def _is_reversed_address(below: str) -> bool:
    """Whether a name asks a list for an address (RFC 5782), as mail servers do: `4.3.2.1` below the list's domain."""
    digits = below.split(".")[:4]
    return len(digits) == 4 and all(part.isdigit() and len(part) <= 3 for part in digits)
