"""Consumers' positions: where each one goes on reading, saved with the effects of what it has read."""

from sqlalchemy import Connection, Engine, func, select

from pipeline.bus import Positions
from pipeline.state import upsert
from pipeline.state.tables import positions


def load(engine: Engine, consumer: str, topic: str) -> dict[int, int]:
    """Return the next offset of each partition; a partition never read is left out (it starts at its first record)."""
    query = select(positions.c.partition, positions.c.offset).where(
        positions.c.consumer == consumer, positions.c.topic == topic
    )
    with engine.connect().execution_options(read_only=True) as connection:
        return dict(connection.execute(query).all())


def save(connection: Connection, consumer: str, topic: str, offsets: Positions) -> None:
    """Write the next offsets, in the caller's transaction."""
    rows = [
        {"consumer": consumer, "topic": topic, "partition": partition, "offset": offset}
        for partition, offset in offsets.items()
    ]
    upsert(connection, positions, rows, key=["consumer", "topic", "partition"])


def slowest(engine: Engine, topic: str, consumers: list[str]) -> dict[int, int]:
    """Return what all `consumers` have read: nothing before these offsets is needed any more."""
    query = (
        select(positions.c.partition, func.min(positions.c.offset), func.count())
        .where(positions.c.topic == topic, positions.c.consumer.in_(consumers))
        .group_by(positions.c.partition)
    )
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(query).all()
    return {partition: offset for partition, offset, count in rows if count == len(consumers)}
