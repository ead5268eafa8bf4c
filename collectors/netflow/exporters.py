"""Datagrams of NetFlow enter, event fields leave, with what was lost on the way: all that is known of the exporters.

Pure: no socket, no clock. A set whose template has not come yet waits, bounded in time and bytes. Every number of what
is held is bounded: exporters may be made up by anybody who can send a datagram.
"""

import hashlib
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from collectors.decoders.contract import Fields
from collectors.netflow.flows import event_fields, flow_of
from collectors.netflow.packets import IPFIX, V5, Header, Malformed, Set, parse
from collectors.netflow.pairing import Pair, Pairing
from collectors.netflow.sequence import RecordNumbers, Sequence
from collectors.netflow.templates import Domain, Template, Templates

#: Observation domains of all exporters of a source.
MOST_DOMAINS = 2_000
#: Samplers of one domain.
_MOST_SAMPLERS = 256
#: Sets that wait for their template, in all and in bytes.
MOST_WAITING, MOST_WAITING_BYTES = 20_000, 16_000_000
#: A greater rate is a fault.
_GREATEST_RATE = 1_000_000
#: A missing datagram counts as lost after this long, in seconds: networks and our own disk change the order.
LATE_SECONDS = 30.0
#: Reasons of the ledger.
MALFORMED, NO_TEMPLATE, LOST = "netflow_malformed", "netflow_no_template", "netflow_lost"

Position = tuple[str | bytes | int, ...]


class Ready(NamedTuple):
    """One event: its fields, what makes its id, the exporter, and when it was received (nanoseconds since 1970)."""

    fields: Fields
    position: Position
    exporter: str
    received: int


class _Waiting(NamedTuple):
    domain: Domain
    header: Header
    found: Set
    position: Position
    received: int
    until: float


@dataclass(slots=True)
class _State:
    """One observation domain of an exporter."""

    sequence: Sequence = field(default_factory=Sequence)
    boot: int | None = None
    numbers: RecordNumbers = field(default_factory=RecordNumbers)
    started: int | None = None
    rates: dict[int | None, int] = field(default_factory=dict)
    waits: int = 0


class Exporters:
    """The exporters of one source. Times are seconds of a clock that only goes forward; those of templates are real."""

    def __init__(
        self, template_seconds: float, wait_seconds: float, pair_seconds: float, sampling: int, now: float
    ) -> None:
        self.templates = Templates(template_seconds)
        self.pairing = Pairing(pair_seconds)
        self.lost: Counter[tuple[str, str]] = Counter()
        self._wait_seconds, self._sampling = wait_seconds, sampling
        self._domains: OrderedDict[Domain, _State] = OrderedDict()
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self.now = now

    @property
    def waiting(self) -> int:
        """How many sets wait for their template."""
        return len(self._waiting)

    def feed(self, host: str, data: bytes, received: int, now: float, live: bool = True) -> list[Ready]:
        """Take one datagram; return what is complete by it. What is wrong with it is counted in `lost`.

        `live`: it was received just now, and has not waited on the disk while later ones were taken.
        """
        self.now = now
        digest = hashlib.blake2b(data, digest_size=12).digest()
        try:
            header, sets = parse(data)
        except Malformed:
            self.lost[host, MALFORMED] += 1
            return []
        domain: Domain = (host, header.version, header.domain)
        state = self._state(domain)
        if header.version == V5:
            ready = self._v5(domain, header, sets, state, (host, digest), received)
            self._note(state, header, header.units, live)
            return ready
        ready = []
        counted: tuple[int, int] | None = (0, 0)
        for place, found in enumerate(sets):
            assert isinstance(found, Set)
            try:
                count = self._set(domain, header, found, state, (host, digest, place), received, ready)
            except Malformed:
                self.lost[host, MALFORMED] += 1
                count = None
            counted = (counted[0] + count[0], counted[1] + count[1]) if counted and count else None
        if header.version == IPFIX:
            self._note_records(state, header, counted, live)
        else:
            self._note(state, header, header.units, live)
        return ready

    def ripe(self, now: float) -> list[Ready]:
        """Return what waits no longer for its other direction; count what has waited too long for its template."""
        self.now = now
        while self._waiting and self._waiting[0].until <= now:
            self._give_up(self._waiting.popleft())
        return [ready for pair in self.pairing.ripe(now) for ready in self._done(pair)]

    def count_lost(self, now: float, settle: bool) -> None:
        """Count what the exporters have sent and never came. `settle`: nothing of it can still wait on our disk."""
        if settle:
            for (host, _, _), state in self._domains.items():
                if gone := state.sequence.lost(now - LATE_SECONDS):
                    self.lost[host, LOST] += gone

    def finish(self) -> list[Ready]:
        """Return what waits, alone: no more comes. What waits for its template is counted as dropped."""
        while self._waiting:
            self._give_up(self._waiting.popleft())
        for (host, _, _), state in self._domains.items():
            if gone := state.sequence.lost(float("inf")):
                self.lost[host, LOST] += gone
        return [ready for pair in self.pairing.all() for ready in self._done(pair)]

    def _state(self, domain: Domain) -> _State:
        state = self._domains.get(domain)
        if state is None:
            if len(self._domains) >= MOST_DOMAINS:
                (host, _, _), old = self._domains.popitem(last=False)
                if gone := old.sequence.lost(float("inf")):
                    self.lost[host, LOST] += gone
            state = self._domains[domain] = _State()
        else:
            self._domains.move_to_end(domain)
        return state

    def _note(self, state: _State, header: Header, units: int | None, live: bool) -> None:
        if not live:
            state.sequence.fill(header.sequence, units or 0)
            return
        if header.boot is not None:
            if state.boot is not None and header.boot > state.boot + 60_000:  # it has started anew
                state.sequence.expected = None
            state.boot = header.boot
        state.sequence.note(header.sequence, units, self.now)

    def _note_records(self, state: _State, header: Header, counted: tuple[int, int] | None, live: bool) -> None:
        if counted is None:
            state.numbers.forget()
            self._note(state, header, None, live)
            return
        start, count, changed = state.numbers.of(header.sequence, *counted)
        if changed and live:
            state.sequence.expected = start
        self._note(state, header._replace(sequence=start), count, live)

    def _v5(
        self, domain: Domain, header: Header, records: list[Any], state: _State, place: Position, received: int
    ) -> list[Ready]:
        rate = header.sampling or self._rate(state, {})
        ready: list[Ready] = []
        for number, record in enumerate(records):
            ready += self._flow(domain, header, record, rate, (*place, number), received)
        return ready

    def _set(
        self, domain: Domain, header: Header, found: Set, state: _State, place: Position, received: int,
        ready: list[Ready],
    ) -> tuple[int, int] | None:  # fmt: skip
        """Take one set; return how many records of flows and of options it has, None where its template is not known.

        Raises:
            Malformed: it is broken; what came before the fault is taken.
        """
        templates, options = (2, 3) if header.version == IPFIX else (0, 1)
        if found.number in (templates, options):
            learnt = self.templates.learn(domain, found.content, found.number == options, self._clock(received))
            if learnt and state.waits:
                ready += self._wake(domain, state)
            return 0, 0
        if found.number < 256:
            return 0, 0  # reserved numbers: to be passed over (RFC 7011 section 3.3.2)
        template = self.templates.get(domain, found.number, self._clock(received))
        if template is None:
            self._wait(_Waiting(domain, header, found, place, received, self.now + self._wait_seconds), state)
            return None
        count = self._records(domain, header, found, template, state, place, received, ready)
        return (0, count) if template.options else (count, 0)

    def _records(
        self, domain: Domain, header: Header, found: Set, template: Template, state: _State, place: Position,
        received: int, ready: list[Ready],
    ) -> int:  # fmt: skip
        count = 0
        if header.boot is None and state.started is not None:
            header = header._replace(boot=state.started)
        for record in template.records(found.content):
            position = (*place, count)
            count += 1
            if template.options:
                _learn(record, state)
                ready.append(self._ready(_other("netflow.options", record), domain, header, position, received))
            else:
                ready += self._flow(domain, header, record, self._rate(state, record), position, received)
        return count

    def _flow(
        self, domain: Domain, header: Header, record: dict[str, Any], rate: int, position: Position, received: int
    ) -> list[Ready]:
        flow = flow_of(record, header, rate, position)
        if flow is None:
            return [self._ready(_other("netflow.record", record), domain, header, position, received)]
        flow.fields["netflow.exporter"] = domain[0]
        flow.fields["netflow.version"] = header.version
        flow.fields["netflow.domain"] = header.domain
        flow.received = received
        return [
            ready for pair in self.pairing.add(domain[0], header.domain, flow, self.now) for ready in self._done(pair)
        ]

    def _done(self, pair: Pair) -> list[Ready]:
        flow, other = pair
        fields = event_fields(flow, other)
        return [Ready(fields, flow.position, fields["netflow.exporter"], flow.received)]

    def _ready(self, fields: Fields, domain: Domain, header: Header, position: Position, received: int) -> Ready:
        fields["netflow.exporter"] = domain[0]
        fields["netflow.version"] = header.version
        fields["netflow.domain"] = header.domain
        return Ready(fields, position, domain[0], received)

    def _rate(self, state: _State, record: dict[str, Any]) -> int:
        """One packet in so many was counted: by the record's own word, by its sampler's, by the settings."""
        own = _rate_of(record)
        if own is not None:
            return own
        sampler = record.get("sampler_id", record.get("selector_id"))
        found = state.rates.get(sampler) if isinstance(sampler, int) else None
        return found or state.rates.get(None) or max(self._sampling, 1)

    def _wait(self, waiting: _Waiting, state: _State) -> None:
        self._waiting.append(waiting)
        self._waiting_bytes += len(waiting.found.content)
        state.waits += 1
        while len(self._waiting) > MOST_WAITING or self._waiting_bytes > MOST_WAITING_BYTES:
            self._give_up(self._waiting.popleft())

    def _give_up(self, waiting: _Waiting) -> None:
        self._waiting_bytes -= len(waiting.found.content)
        if waiting.domain in self._domains:
            self._domains[waiting.domain].waits -= 1
        self.lost[waiting.domain[0], NO_TEMPLATE] += 1

    def _wake(self, domain: Domain, state: _State) -> list[Ready]:
        """Read what has waited for a template that came now."""
        ready: list[Ready] = []
        left: deque[_Waiting] = deque()
        for waiting in self._waiting:
            template = None
            if waiting.domain == domain:
                template = self.templates.get(domain, waiting.found.number, self._clock(waiting.received))
            if template is None:
                left.append(waiting)
                continue
            state.waits -= 1
            self._waiting_bytes -= len(waiting.found.content)
            try:
                self._records(
                    domain, waiting.header, waiting.found, template, state, waiting.position, waiting.received, ready
                )
            except Malformed:
                self.lost[domain[0], MALFORMED] += 1
        self._waiting = left
        return ready

    @staticmethod
    def _clock(received: int) -> float:
        return received / 1e9


def _other(dataset: str, record: dict[str, Any]) -> Fields:
    """A record that is no flow: what an exporter says of itself, of its interfaces, of its counters."""
    fields: Fields = {f"netflow.{name}": value for name, value in record.items()}
    fields["event.dataset"] = dataset
    fields["event.category"] = ["network"]
    fields["event.kind"] = "metric"
    said = record.get("application_description")
    if isinstance(said, str) and said and len(record) == 1:
        fields["message"] = fields["event.original"] = said
    return fields


def _rate_of(record: dict[str, Any]) -> int | None:
    for name in ("sampling_interval", "sampler_random_interval"):
        if isinstance(record.get(name), int) and record[name] > 0:
            return int(record[name])
    interval, space = record.get("sampling_packet_interval"), record.get("sampling_packet_space")
    if isinstance(interval, int) and isinstance(space, int) and interval > 0:
        return max((interval + space) // interval, 1)
    size, population = record.get("sampling_size"), record.get("sampling_population")
    if isinstance(size, int) and isinstance(population, int) and size > 0:
        return max(population // size, 1)
    chance = record.get("sampling_probability")
    if isinstance(chance, float) and 1 / _GREATEST_RATE <= chance <= 1:
        return round(1 / chance)
    return None


def _learn(record: dict[str, Any], state: _State) -> None:
    """Take from an options record how packets were sampled, and since when times of IPFIX count that count from it."""
    started = record.get("system_init_time_milliseconds")
    if isinstance(started, int):
        state.started = started
    rate = _rate_of(record)
    if rate is None or rate > _GREATEST_RATE:
        return
    sampler = record.get("sampler_id", record.get("selector_id"))
    key = sampler if isinstance(sampler, int) else None
    if key in state.rates or len(state.rates) < _MOST_SAMPLERS:
        state.rates[key] = rate
