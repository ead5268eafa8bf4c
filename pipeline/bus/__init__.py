"""The bus: frames enter a topic, records with a position leave it, in order, as often as somebody asks.

One contract (`Bus`), implementations beside it (`sqlite.py`, `kafka.py`), one contract suite (`tests/contract/bus.py`).
A consumer's position is not the bus's affair: a stage saves it in the state together with its effects and hands it back
when it starts (`pipeline/state/positions.py`), so that the two can never differ.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipeline.frame import Frame
from pipeline.instance import instance_of
from pipeline.settings import Bus as BusSettings

#: Decoded events, from the collectors to the detectors and the store.
EVENTS = "events"
#: Alerts, from the detectors to the response stage.
ALERTS = "alerts"
#: Alerts as the queue holds them now, from the response stage to the store.
ALERT_UPDATES = "alert-updates"
#: Events that rules of a correlation have matched, from the detectors to the one of them that evaluates correlations.
HITS = "hits"
TOPICS = (EVENTS, ALERTS, ALERT_UPDATES, HITS)
#: The source of frames that an import publishes, of files with times of their own.
IMPORT = "import"
#: The source of frames that an import with rules of its own publishes: the site's own rules leave them out.
OWN_RULES = "import.rules"
IMPORTS = frozenset((IMPORT, OWN_RULES))
#: The key of frames of dead letters that are tried again: they were received before.
RETRIED = "haidang.retried"


class SlowDown(Exception):
    """The bus holds as much as it may: keep what you have, slow your senders, try again."""


class BusAway(SlowDown):
    """The bus cannot be reached: keep what you have, try again. Some of the frames may have arrived."""


@dataclass(frozen=True, slots=True)
class Record:
    """One frame as it lies in a topic. `offset` grows by one or more within a partition."""

    topic: str
    partition: int
    offset: int
    source: str
    events: int
    payload: bytes
    by: str = ""  # which instance published it, on a bus that several share
    key: str = ""  # the frame's, or its source


#: The next offset to read, for each partition.
Positions = Mapping[int, int]


def is_imported(event: Mapping[str, Any]) -> bool:
    """Say whether an event, or the alert on it, is of a recording that somebody has imported, and not of now."""
    return event.get("labels.source") in IMPORTS


class Bus(Protocol):
    """At least once, in order within a partition, durable when `publish` returns.

    Frames with the same key (without one: of the same source) go to the same partition. While a bus on the network is
    away, `read` gives nothing and `fault` says why; `ends`, `backlog` and `partitions` answer what they last knew.
    """

    @property
    def fault(self) -> str:
        """Why the bus cannot be reached now; empty while it can."""

    def publish(self, topic: str, frames: Sequence[Frame]) -> None:
        """Append the frames; they are durable on return.

        After an exception a bus with one partition has appended none. One with several may have appended some, and
        the caller that tries again with the same frames appends them twice. Who reads finds the second one empty, as
        long as it has read the first one itself; beyond that the ids of events make a second one harmless.

        Raises:
            SlowDown: the topic holds more unread bytes than its limit.
            BusAway: it cannot be reached, after a few seconds of trying.
        """

    def partitions(self, topic: str) -> Sequence[int]:
        """Return the topic's partitions, in order; there may be more later, never fewer."""

    def read(
        self,
        topic: str,
        positions: Positions,
        limit_bytes: int = 4_000_000,
        partitions: Collection[int] | None = None,
    ) -> list[Record]:
        """Return the records from `positions` on: about `limit_bytes`, one at least if there is one.

        A partition that `positions` leaves out begins at its first record. With `partitions`, only from those: one
        copy of a stage reads its share. Never waits for records to be written.
        """

    def ends(self, topic: str) -> dict[int, int]:
        """Return for each partition the offset that the next frame gets; what others publish may show a second late."""

    def backlog(self, topic: str, positions: Positions, partitions: Collection[int] | None = None) -> tuple[int, int]:
        """Return how many events and bytes lie from `positions` on; an estimate where a bus does not know."""

    def trim(self, topic: str, positions: Positions) -> int:
        """Forget the records before `positions`; return how many frames went."""

    def close(self) -> None:
        """Release files and sockets."""


def open_bus(data_dir: Path, settings: BusSettings) -> Bus:
    """Open the bus that the settings name (embedded: SQLite files under `data_dir`).

    Raises:
        HaidangError: Kafka cannot be reached, or will not have us.
    """
    if settings.kind == "kafka":
        from pipeline.bus.kafka import KafkaBus

        return KafkaBus(settings, instance_of(data_dir))
    from pipeline.bus.sqlite import SqliteBus

    return SqliteBus(data_dir / "bus", settings.limit_mb * 1_000_000)
