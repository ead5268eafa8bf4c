"""What every bus must do (`pipeline.bus.Bus`). A subclass gives the fixture `bus`, empty, with a limit of `LIMIT` bytes."""

import threading

import pytest

from pipeline.bus import ALERTS, EVENTS, Bus, SlowDown
from pipeline.frame import Frame, pack, unpack

LIMIT = 2_000_000


def frames(*texts: str, source: str = "test") -> list[Frame]:
    """Return one frame for each text."""
    return [frame for text in texts for frame in pack(source, [text.encode()])]


def read_all(bus: Bus, topic: str = EVENTS) -> list[str]:
    """Return every line of a topic in order, read from the start in steps."""
    lines: list[str] = []
    positions: dict[int, int] = {}
    while records := bus.read(topic, positions):
        for record in records:
            positions[record.partition] = record.offset + 1
            lines += [line.decode() for line in unpack(record.payload)]
    return lines


class BusContract:
    """The suite."""

    def test_what_is_published_is_read_in_order(self, bus: Bus) -> None:
        bus.publish(EVENTS, frames("1", "2"))
        bus.publish(EVENTS, frames("3"))
        assert read_all(bus) == ["1", "2", "3"]

    def test_topics_are_apart(self, bus: Bus) -> None:
        bus.publish(EVENTS, frames("event"))
        bus.publish(ALERTS, frames("alert"))
        assert (read_all(bus, EVENTS), read_all(bus, ALERTS)) == (["event"], ["alert"])

    def test_an_empty_topic_gives_nothing_and_does_not_wait(self, bus: Bus) -> None:
        assert bus.read(EVENTS, {}) == []

    def test_reading_moves_nothing(self, bus: Bus) -> None:
        bus.publish(EVENTS, frames("1"))
        assert bus.read(EVENTS, {}) == bus.read(EVENTS, {}) != []

    def test_reading_goes_on_from_a_position(self, bus: Bus) -> None:
        bus.publish(EVENTS, frames("1", "2", "3"))
        first = bus.read(EVENTS, {})[0]
        rest = bus.read(EVENTS, {first.partition: first.offset + 1})
        assert [unpack(record.payload) for record in rest] == [[b"2"], [b"3"]]

    def test_a_record_tells_its_source_and_how_many_events_it_holds(self, bus: Bus) -> None:
        bus.publish(EVENTS, list(pack("mail", [b"a", b"b"])))
        (record,) = bus.read(EVENTS, {})
        assert (record.source, record.events, record.topic) == ("mail", 2, EVENTS)

    def test_a_frame_larger_than_the_reading_limit_is_read_alone(self, bus: Bus) -> None:
        bus.publish(EVENTS, frames("x" * 5000, "y"))
        assert len(bus.read(EVENTS, {}, limit_bytes=1)) == 1

    def test_ends_is_where_the_next_frame_goes(self, bus: Bus) -> None:
        bus.publish(EVENTS, frames("1"))
        ends = bus.ends(EVENTS)
        assert bus.read(EVENTS, ends) == []
        bus.publish(EVENTS, frames("2"))
        (record,) = bus.read(EVENTS, ends)
        assert unpack(record.payload) == [b"2"]

    def test_backlog_counts_what_is_left(self, bus: Bus) -> None:
        bus.publish(EVENTS, list(pack("test", [b"a", b"b"])))
        bus.publish(EVENTS, frames("c"))
        first = bus.read(EVENTS, {})[0]
        assert bus.backlog(EVENTS, {})[0] == 3
        assert bus.backlog(EVENTS, {first.partition: first.offset + 1})[0] == 1

    def test_trim_forgets_only_what_lies_before(self, bus: Bus) -> None:
        bus.publish(EVENTS, frames("1", "2", "3"))
        second = bus.read(EVENTS, {})[1]
        assert bus.trim(EVENTS, {second.partition: second.offset}) == 1
        assert read_all(bus) == ["2", "3"]

    def test_offsets_grow_on_after_everything_was_trimmed(self, bus: Bus) -> None:
        bus.publish(EVENTS, frames("1"))
        ends = bus.ends(EVENTS)
        bus.trim(EVENTS, ends)
        bus.publish(EVENTS, frames("2"))
        assert read_all(bus) == ["2"]
        grown = [bus.ends(EVENTS)[partition] - end for partition, end in ends.items()]
        assert sum(grown) > 0 <= min(grown)

    def test_a_full_topic_says_slow_down_and_loses_nothing(self, bus: Bus) -> None:
        block = Frame("test", 1, b"\x00" * 600_000)
        with pytest.raises(SlowDown):
            for _ in range(20):
                bus.publish(EVENTS, [block])
        held = len(bus.read(EVENTS, {}, limit_bytes=10**9))
        assert LIMIT / 600_000 <= held < 20
        bus.trim(EVENTS, bus.ends(EVENTS))
        bus.publish(EVENTS, [block])

    def test_many_writers_lose_nothing(self, bus: Bus) -> None:
        def write(name: str) -> None:
            for number in range(20):
                bus.publish(EVENTS, frames(f"{name}-{number}"))

        writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        found = read_all(bus)
        assert sorted(found) == sorted(f"{name}-{number}" for name in "abcd" for number in range(20))
        assert [line for line in found if line.startswith("a")] == [f"a-{number}" for number in range(20)]

    def test_a_copy_of_a_stage_reads_only_its_share(self, bus: Bus) -> None:
        for number in range(40):
            bus.publish(EVENTS, frames(f"{number}", source=f"source-{number}"))
        shares = [bus.read(EVENTS, {}, partitions=[partition]) for partition in bus.partitions(EVENTS)]
        assert all(share for share in shares)
        assert [{record.partition for record in share} for share in shares] == [
            {each} for each in bus.partitions(EVENTS)
        ]
        assert sum(len(share) for share in shares) == 40
        assert bus.read(EVENTS, {}, partitions=[]) == []
        counts = [bus.backlog(EVENTS, {}, partitions=[partition])[0] for partition in bus.partitions(EVENTS)]
        assert counts == [len(share) for share in shares]

    def test_a_bus_that_is_there_has_no_fault(self, bus: Bus) -> None:
        assert bus.fault == ""

    def test_a_foreign_record_that_is_plain_text_is_a_frame(self, bus: Bus) -> None:
        bus.publish(EVENTS, [Frame("foreign", 1, b'{"message": "x"}')])
        (record,) = bus.read(EVENTS, {})
        assert unpack(record.payload) == [b'{"message": "x"}']
