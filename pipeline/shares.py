"""Shares: the copies of a consumer on several machines enter, to each its partitions of a topic leave.

A copy holds a partition by a lease in the state. It saves its positions, with their effects, in a transaction that also
extends the leases, and that fails where one is no longer its own: what two copies read is done by one of them, also
when one was only slow and not dead. All copies work out the same division for themselves; one that has more than its
share gives the rest back once what it has read there is saved. Times are the database's.
"""

import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from pipeline.messages import Unavailable
from pipeline.state import database_time, upsert
from pipeline.state.tables import leases, members

#: A copy that was not heard of for this long is gone, in seconds.
LEASE_SECONDS = 20.0
#: How long a copy may work on what it has read, in seconds.
_LONGEST_WORK_SECONDS = 600.0


class LeaseLost(Unavailable):
    """Another copy reads what we have read: nothing of it may be saved."""


def divide(partitions: Sequence[int], instances: Sequence[str], instance: str) -> set[int]:
    """Return the partitions of one of the living copies: the n-th copy has every n-th."""
    place, count = sorted(instances).index(instance), len(instances)
    return {partition for number, partition in enumerate(sorted(partitions)) if number % count == place}


def take_turns(connection: Connection, consumer: str, topic: str) -> None:
    """Let one copy at a time look at the division, until the transaction ends; SQLite's writers do so anyway.

    All lock leases in the order of the partitions, and only who looks at the division locks another one's: so no two
    copies wait for each other.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"haidang {consumer} {topic}"))))


def say_alive(connection: Connection, consumer: str, topic: str, instance: str) -> list[str]:
    """Say that this copy lives; return all that do."""
    now = database_time(connection)
    row = {"consumer": consumer, "topic": topic, "instance": instance, "until": now + LEASE_SECONDS}
    upsert(connection, members, [row], key=["consumer", "topic", "instance"])
    living = select(members.c.instance).where(
        members.c.consumer == consumer, members.c.topic == topic, members.c.until >= now
    )
    return list(connection.scalars(living))


def held(connection: Connection, consumer: str, topic: str, instance: str) -> set[int]:
    """Return the partitions that this copy holds."""
    return set(connection.scalars(select(leases.c.partition).where(*_own(consumer, topic, instance))))


def claim(connection: Connection, consumer: str, topic: str, instance: str, wanted: Collection[int]) -> None:
    """Take those of the wanted partitions that nobody holds, or only one who is gone."""
    now = database_time(connection)
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    taken = select(leases.c.partition).where(
        leases.c.consumer == consumer, leases.c.topic == topic, leases.c.until >= now
    )
    for partition in sorted(set(wanted) - set(connection.scalars(taken))):
        values = {"instance": instance, "until": now + LEASE_SECONDS}
        row = {"consumer": consumer, "topic": topic, "partition": partition, **values}
        connection.execute(
            dialect.insert(leases)
            .values(row)
            .on_conflict_do_update(
                index_elements=["consumer", "topic", "partition"], set_=values, where=leases.c.until < now
            )
        )


def extend(connection: Connection, consumer: str, topic: str, instance: str, partitions: Collection[int]) -> None:
    """Hold on to partitions, in the transaction that saves what was read of them.

    Raises:
        LeaseLost: one of them is another copy's by now.
    """
    own = (*_own(consumer, topic, instance), leases.c.partition.in_(partitions))
    connection.execute(select(leases.c.partition).where(*own).order_by(leases.c.partition).with_for_update())
    until = database_time(connection) + LEASE_SECONDS
    if connection.execute(update(leases).where(*own).values(until=until)).rowcount != len(partitions):
        raise LeaseLost("stage.lease_lost", topic=topic, consumer=consumer)


def give_back(connection: Connection, consumer: str, topic: str, instance: str, partitions: Collection[int]) -> None:
    """Let others have these partitions at once."""
    connection.execute(delete(leases).where(*_own(consumer, topic, instance), leases.c.partition.in_(partitions)))


def leave(connection: Connection, consumer: str, topic: str, instance: str) -> None:
    """Let others have everything, at once; in its turn, for who looks at the division locks the same rows."""
    take_turns(connection, consumer, topic)
    connection.execute(delete(leases).where(*_own(consumer, topic, instance)))
    connection.execute(
        delete(members).where(members.c.consumer == consumer, members.c.topic == topic, members.c.instance == instance)
    )


class Keeper(threading.Thread):
    """Keeps a copy's leases while the copy works on what it has read: a slow service is no reason to begin elsewhere.

    A copy that was not `heard` of for long hangs, and others may go on.
    """

    def __init__(self, engine: Engine, consumer: str, topic: str, instance: str) -> None:
        super().__init__(name=f"keeper-{topic}", daemon=True)
        self._engine, self._who = engine, (consumer, topic, instance)
        self._done = threading.Event()
        self.heard = time.monotonic()

    def run(self) -> None:
        """Extend, until `stop`."""
        while not self._done.wait(LEASE_SECONDS / 4):
            if time.monotonic() - self.heard < _LONGEST_WORK_SECONDS:
                with suppress(SQLAlchemyError, LeaseLost):  # whoever saves something will find out
                    self._extend()

    def stop(self) -> None:
        """Extend no more."""
        self._done.set()

    def _extend(self) -> None:
        with self._engine.begin() as connection:
            take_turns(connection, *self._who[:2])
            say_alive(connection, *self._who)
            extend(connection, *self._who, held(connection, *self._who))


def _own(consumer: str, topic: str, instance: str) -> tuple[ColumnElement[bool], ...]:
    return leases.c.consumer == consumer, leases.c.topic == topic, leases.c.instance == instance
