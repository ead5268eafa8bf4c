"""Packets enter, events leave: the flow table, whoever reads what flows say, and how both are told."""

from collections.abc import Callable, Iterable
from typing import Any

from collectors.network import events
from collectors.network.capture_files import Buffer, Place
from collectors.network.conversation import listen
from collectors.network.flows import Flow, FlowTable
from collectors.network.headers import Arp
from collectors.network.reading import Transaction
from collectors.network.rules.alert_event import alert_fields
from collectors.network.rules.matching import Hit, Matcher
from collectors.network.rules.ruleset import RuleSet

#: Fields of an event and what makes its id.
Emit = Callable[[dict[str, Any], tuple[str | int, ...]], None]


class Sensor:
    """One place where packets are seen. `emit` takes each event's fields and the parts of its id.

    `rules` are the packet rules that are asked; others can be given at any time.
    """

    def __init__(self, emit: Emit, most_flows: int = 200_000, rules: RuleSet | None = None) -> None:
        self.table = FlowTable(self._ended, self._told, self._began, self._arp, most_flows)
        self.matcher = Matcher(rules, self._matched) if rules is not None else None
        self._emit = emit

    def use(self, rules: RuleSet) -> None:
        """Ask these packet rules from now on."""
        if self.matcher is None:
            self.matcher = Matcher(rules, self._matched)
        else:
            self.matcher.rules = rules

    def take(self, buffer: Buffer, packets: Iterable[Place]) -> None:
        """Take packets that lie in the buffer."""
        self.table.take(buffer, packets)

    def tick(self, time: int) -> None:
        """No packets came, and it is this time, in microseconds since 1970."""
        self.table.tick(time)

    def finish(self) -> None:
        """Nothing more comes: end what is going on."""
        self.table.finish()

    def _began(self, flow: Flow) -> None:
        listen(flow, self._said)
        if self.matcher is not None:
            self.matcher.began(flow)

    def _said(self, flow: Flow, transaction: Transaction) -> None:
        fields = events.of_transaction(flow, transaction.kind, transaction.time, transaction.fields)
        flow.service = str(transaction.fields.get("network.protocol", flow.service))
        flow.transactions += 1
        self._emit(fields, (transaction.kind, events.name_of(flow), flow.transactions))

    def _told(self, flow: Flow) -> None:
        self._emit(events.of_flow(flow, ended=False), ("flow", events.name_of(flow), flow.last))

    def _ended(self, flow: Flow) -> None:
        if flow.conversation is not None:
            flow.conversation.end()
        if self.matcher is not None:
            self.matcher.ended(flow)
        self._emit(events.of_flow(flow, ended=True), ("flow", events.name_of(flow), "end"))

    def _matched(self, flow: Flow, hit: Hit) -> None:
        flow.hits += 1
        self._emit(alert_fields(flow, hit), ("alert", events.name_of(flow), hit.rule.gid, hit.rule.sid, flow.hits))

    def _arp(self, message: Arp, time: int) -> None:
        self._emit(
            events.of_arp(message, time),
            ("arp", time, message.operation, message.sender.hex(), message.sender_mac.hex(), message.target.hex()),
        )
