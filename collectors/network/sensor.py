"""Packets enter, events leave: the flow table, whoever reads what flows say, and how both are told."""

from collections.abc import Callable, Iterable
from typing import Any

from collectors.network import events
from collectors.network.capture_files import Buffer, Place
from collectors.network.conversation import listen
from collectors.network.flows import Flow, FlowTable
from collectors.network.headers import Arp
from collectors.network.reading import Transaction

#: Fields of an event and what makes its id.
Emit = Callable[[dict[str, Any], tuple[str | int, ...]], None]


class Sensor:
    """One place where packets are seen. `emit` takes each event's fields and the parts of its id."""

    def __init__(self, emit: Emit, most_flows: int = 200_000) -> None:
        self.table = FlowTable(self._ended, self._told, self._began, self._arp, most_flows)
        self._emit = emit

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
        self._emit(events.of_flow(flow, ended=True), ("flow", events.name_of(flow), "end"))

    def _arp(self, message: Arp, time: int) -> None:
        self._emit(
            events.of_arp(message, time),
            ("arp", time, message.operation, message.sender.hex(), message.sender_mac.hex(), message.target.hex()),
        )
