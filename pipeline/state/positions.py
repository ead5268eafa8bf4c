"""Consumers' positions: where each one goes on reading, saved with the effects of what it has read."""

import time
from collections.abc import Sequence

from sqlalchemy import Connection, Engine, delete, select

from pipeline.bus import Positions
from pipeline.state import upsert
from pipeline.state.tables import positions, stages

#: A consumer that was not heard of for this long is gone, in seconds.
LIVING_SECONDS = 60.0


def load(engine: Engine, consumer: str, topic: str) -> dict[int, int]:
    """Return the next offset of each partition; a partition never read is left out (it starts at its first record)."""
    with engine.connect().execution_options(read_only=True) as connection:
        return load_in(connection, consumer, topic)


def load_in(connection: Connection, consumer: str, topic: str) -> dict[int, int]:
    """Return the same, as the transaction sees it."""
    query = select(positions.c.partition, positions.c.offset).where(
        positions.c.consumer == consumer, positions.c.topic == topic
    )
    return dict(connection.execute(query).all())


def save(connection: Connection, consumer: str, topic: str, offsets: Positions) -> None:
    """Write the next offsets, in the caller's transaction."""
    rows = [
        {"consumer": consumer, "topic": topic, "partition": partition, "offset": offset}
        for partition, offset in offsets.items()
    ]
    upsert(connection, positions, rows, key=["consumer", "topic", "partition"])


def slowest(engine: Engine, topic: str, consumers: list[str], also: Sequence[str] = ()) -> dict[int, int]:
    """Return what all `consumers`, and all others that live, have read: nothing before is needed any more.

    Of `also` those count that have a position.

    Others are the detectors of an import; one that has not been heard of for a minute is gone.
    """
    heard = stages.c.seen > time.time() - LIVING_SECONDS
    living = select(stages.c.stage).where(heard).union(select(stages.c.stage + "@" + stages.c.instance).where(heard))
    query = select(positions.c.consumer, positions.c.partition, positions.c.offset).where(
        positions.c.topic == topic, positions.c.consumer.in_([*consumers, *also]) | positions.c.consumer.in_(living)
    )
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(query).all()
    least: dict[int, int] = {}
    for partition in {row.partition for row in rows}:
        offsets = {row.consumer: row.offset for row in rows if row.partition == partition}
        if offsets.keys() >= set(consumers):
            least[partition] = min(offsets.values())
    return least


def forget(connection: Connection, consumer: str) -> None:
    """Delete what a consumer that will not come again has left."""
    connection.execute(delete(positions).where(positions.c.consumer == consumer))
    connection.execute(delete(stages).where(stages.c.stage == consumer))
