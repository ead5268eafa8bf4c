"""What a channel's sender is: messages enter, what became of each leaves, in their order."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from pipeline.delivery.book import Outcome
from pipeline.outward import reason
from response.delivery.message import Message


class Sender(Protocol):
    """Sends the messages of one channel; in the worker's thread alone."""

    def send(self, messages: Sequence[Message]) -> Iterator[Outcome]:
        """Send messages; yield what became of each, in order. May end early: what has no outcome was not tried.

        May raise OSError or `Stopped`: then the message at hand failed, and the channel is away.
        """

    def close(self) -> None:
        """Let go of connections."""


def failed(error: BaseException, away: bool = True) -> Outcome:
    """Return the outcome of a fault."""
    return Outcome("failed", reason(error), away=away)
