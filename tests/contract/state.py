"""What the state must do on every database. A subclass gives the fixture `place`: a data directory and its settings."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, func, select

from pipeline import canaries, clocks, habits, ledger, shares
from pipeline.balance import by_minute
from pipeline.ledger import IN, OUT, Tally
from pipeline.messages import HaidangError
from pipeline.settings import Canary, State
from pipeline.state import insert_new, open_state, positions, upsert
from pipeline.state.tables import alerts, metadata, silences
from pipeline.state.tables import positions as position_rows

Place = tuple[Path, State]
_KEY = ["consumer", "topic", "partition"]
_OPEN = """
import sys
from pathlib import Path
from pipeline.settings import State
from pipeline.state import open_state
open_state(Path(sys.argv[1]), State(url=sys.argv[2])).dispose()
"""


def opening(place: Place) -> "subprocess.Popen[bytes]":
    """A process that opens a state."""
    folder, settings = place
    arguments = [sys.executable, "-c", _OPEN, str(folder), settings.url.get_secret_value()]
    return subprocess.Popen(arguments, stderr=subprocess.PIPE)


class StateContract:
    """The suite."""

    @pytest.fixture
    def engine(self, place: Place) -> Iterator[Engine]:
        """The state, opened."""
        opened = open_state(*place)
        yield opened
        opened.dispose()

    def test_migrations_on_an_empty_database_make_the_tables_of_the_code(self, engine: Engine) -> None:
        with engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []

    def test_many_processes_may_open_a_new_state_at_once(self, place: Place) -> None:
        running = [opening(place) for _ in range(5)]
        said = [process.communicate(timeout=60)[1].decode() for process in running]
        assert [process.returncode for process in running] == [0] * 5, said
        engine = open_state(*place)
        with engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        engine.dispose()

    def test_a_state_of_a_newer_version_is_left_alone(self, place: Place) -> None:
        engine = open_state(*place)
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        engine.dispose()
        with pytest.raises(HaidangError) as caught:
            open_state(*place)
        assert "newer" in str(caught.value)
        assert "9999" in str(caught.value)

    def test_insert_new_keeps_what_is_there_and_upsert_replaces_or_adds(self, engine: Engine) -> None:
        row = {"consumer": "a", "topic": "t", "partition": 0, "offset": 5}
        with engine.begin() as connection:
            insert_new(connection, position_rows, [row, {**row, "partition": 1}], _KEY)
            insert_new(connection, position_rows, [{**row, "offset": 9}], _KEY)
            insert_new(connection, position_rows, [], ["consumer"])
        assert positions.load(engine, "a", "t") == {0: 5, 1: 5}
        with engine.begin() as connection:
            upsert(connection, position_rows, [{**row, "offset": 7}], _KEY)
            upsert(connection, position_rows, [{**row, "partition": 1}], _KEY, add=("offset",))
        assert positions.load(engine, "a", "t") == {0: 7, 1: 10}

    def test_what_fails_half_way_changes_nothing(self, engine: Engine) -> None:
        with pytest.raises(ZeroDivisionError), engine.begin() as connection:
            positions.save(connection, "store", "events", {0: 5})
            raise ZeroDivisionError
        assert positions.load(engine, "store", "events") == {}

    def test_the_slowest_position_counts_only_where_every_consumer_has_one(self, engine: Engine) -> None:
        with engine.begin() as connection:
            positions.save(connection, "store", "events", {0: 5, 1: 3})
            positions.save(connection, "detectors", "events", {0: 9})
            positions.save(connection, "import-1", "events", {0: 1})
        assert positions.slowest(engine, "events", ["store", "detectors"]) == {0: 5}
        assert positions.slowest(engine, "events", ["store", "other"]) == {}

    def test_a_position_may_be_as_large_as_kafka_makes_it(self, engine: Engine) -> None:
        with engine.begin() as connection:
            positions.save(connection, "store", "events", {0: 2**62})
        assert positions.load(engine, "store", "events") == {0: 2**62}

    def test_counts_of_stages_that_save_at_once_all_arrive(self, engine: Engine) -> None:
        sources = [f"source-{number}" for number in range(20)]

        def save(names: list[str]) -> None:
            for _ in range(10):
                tally = Tally()
                for name in names:
                    tally.add(name, IN, 3)
                    tally.add(name, OUT, 2)
                with engine.begin() as connection:
                    tally.save(connection, "collectors")

        threads = [threading.Thread(target=save, args=(names,)) for names in (sources, sources[::-1], sources)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {(line.source, line.outcome): line.events for line in ledger.sums(engine)} == {
            (name, outcome): events for name in sources for outcome, events in ((IN, 90), (OUT, 60))
        }

    def test_rolling_up_the_ledger_changes_no_sum(self, engine: Engine) -> None:
        with engine.begin() as connection:
            for minute in (1000, 1001, 1002):
                row = {"minute": minute, "stage": "store", "source": "a", "outcome": IN, "reason": "", "events": minute}
                connection.execute(ledger.ledger.insert(), row)
        before = ledger.sums(engine)
        assert all(type(line.events) is int for line in before)
        assert ledger.roll_up(engine) == 2
        assert ledger.sums(engine) == before

    def test_a_document_comes_back_as_it_was(self, engine: Engine, alert_row: Callable[..., dict[str, object]]) -> None:
        document = {"user.name": "Nguyễn Văn Đức", "nothing": None, "list": [1, 2.5, "\u0000", "😀"], "deep": {"a": {}}}
        with engine.begin() as connection:
            insert_new(connection, alerts, [alert_row(document=document)], ["id"])
        with engine.connect() as connection:
            assert connection.scalar(select(alerts.c.document)) == document
            assert connection.scalar(select(func.count()).where(alerts.c.id == "a")) == 1

    @pytest.fixture
    def alert_row(self) -> Callable[..., dict[str, object]]:
        """What makes a row of the alerts."""

        def make(**values: object) -> dict[str, object]:
            base = {"id": "a", "time": 1, "created": 1.0, "rule_id": "r", "rule_name": "R", "level": "low"}
            return {**base, "status": "new", "source": "s", "document": {}, **values}

        return make

    def test_what_watches_the_corridor_is_kept(self, engine: Engine) -> None:
        flown = {"source": "syslog", "kind": "udp", "id": "1" * 32, "text": "x"}
        row = {"source": "syslog", "host": "may", "behind": 90.0, "steady": True, "seen": time.time()}
        minute = ledger.this_minute() - 1
        looked = (minute + 1) * 60.0 + habits.COUNTED_SECONDS
        tally = Tally()
        tally.add("syslog", IN, 7)
        with engine.begin() as connection:
            tally.save(connection, "collectors", minute)
            clocks.save(connection, [row])
            shares.take_turns(connection, "response", "watch")
            assert [alert["rule.id"] for alert in clocks.judge(connection, 60, "may-thu")] == ["haidang.clock_off"]
            assert clocks.judge(connection, 60, "may-thu") == []
            for _ in range(2):
                canaries.expect(connection, "a", [flown])
            for step in canaries.STEPS:
                canaries.note(connection, step, {flown["id"]})
            assert canaries.judge(connection, Canary(), 0.0, "may-thu") == []
            assert habits.Watcher().look(connection, looked, "may-thu") == []
            habits.forget_old(connection, time.time())
            clocks.forget_old(connection, time.time())
        assert [each["state"] for each in canaries.standing(engine)] == ["good"]
        before, minutes = by_minute(engine, "syslog", 2)
        assert (before.received, minutes[0].received, minutes[-1].held) == (0, 7, 7)
        assert by_minute(engine, "syslog", 1)[0].received == 7
        with engine.connect() as connection:
            assert connection.scalar(select(silences.c.source)) == "syslog"
