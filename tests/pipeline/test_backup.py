"""Backup and restore of a site that does not run: everything is there again, or nothing was touched."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, select, text

from pipeline import bus, store
from pipeline.backup import archive, make, of_state
from pipeline.backup.make import back_up
from pipeline.backup.of_state import back_up_state
from pipeline.backup.restore import NOT_IN_BACKUP, check, restore
from pipeline.balance import accounts
from pipeline.bus import open_bus
from pipeline.event import encode, event_id
from pipeline.frame import pack
from pipeline.instance import instance_of
from pipeline.ledger import IN, OUT, Tally, sums
from pipeline.messages import HaidangError
from pipeline.settings import NetworkSource, Settings, State, UnixSource, load_settings
from pipeline.stage import only_one
from pipeline.state import RESTORING, insert_new, open_engine, open_state, positions, upsert
from pipeline.state.revisions import migrate, newest, revision_of
from pipeline.state.tables import alerts, dead_letters, files, outbox, share_profiles, stages, users
from pipeline.store.document import document
from pipeline.store.tantivy_snapshot import snapshot
from tests.services.postgres import Postgres

_TOML = """# của xã
observer = "may-thu"
[tls]
certificate = "{outside}/cert.pem"
key = "{outside}/key.pem"
[detectors]
rules = ['{outside}/luật của ta/', "{data}/rules"]
"""


def _events(first: int, count: int) -> list[bytes]:
    return [
        encode({"@timestamp": "2026-11-24T02:00:00.000Z", "event.id": event_id("b", number), "message": f"so {number}"})
        for number in range(first, first + count)
    ]


class Source:
    """A site that was stopped in the middle: 50 events stored, 30 more on the bus, 10 of them in the index already."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, state: str = "") -> None:
        self.data_dir = folder / "data"
        self.outside = folder / "etc"
        (self.outside / "luật của ta" / "sub").mkdir(parents=True)
        (self.outside / "luật của ta" / "sub" / "a.yml").write_text("title: a")
        (self.outside / "luật của ta" / "README").write_text("not a rule")
        for name in ("cert.pem", "key.pem"):
            (self.outside / name).write_text(name)
        (self.data_dir / "rules").mkdir(parents=True)
        (self.data_dir / "rules" / "b.yml").write_text("title: b")
        (self.data_dir / "tls").mkdir()
        (self.data_dir / "tls" / "key.pem").write_text("own key")
        (self.data_dir / "haidang.toml").write_text(_TOML.format(outside=self.outside, data=self.data_dir), "utf-8")
        monkeypatch.setenv("HAIDANG_DATA_DIR", str(self.data_dir))
        if state:
            monkeypatch.setenv("HAIDANG_STATE__URL", state)
        self.settings = load_settings()
        self.engine = open_state(self.data_dir, self.settings.state)
        self._fill()

    def _fill(self) -> None:
        queue = open_bus(self.data_dir, self.settings.bus)
        queue.publish(bus.EVENTS, list(pack("syslog", _events(0, 50))))
        queue.publish(bus.EVENTS, list(pack("syslog", _events(50, 30))))
        queue.publish(bus.ALERTS, list(pack("syslog", [b'{"rule.id":"waits"}'])))
        queue.trim(bus.EVENTS, {0: 2})
        queue.close()
        writer = store.open_writer(self.data_dir, self.settings.store)
        writer.add(store.EVENTS, [document(None, line) for line in _events(0, 60)])
        writer.commit()
        writer.close()
        collected, stored = Tally(), Tally()
        for outcome in (IN, OUT):
            collected.add("syslog", outcome, 70)  # the last ten were brought to the bus and not counted yet
            stored.add("syslog", outcome, 50)
        row = {"id": "a", "time": 1, "created": 1.0, "rule_id": "r", "rule_name": "R", "level": "low", "source": "s"}
        letter = {"id": "l", "time": 1.0, "stage": "store", "topic": "events", "source": "s", "reason": "r"}
        with self.engine.begin() as connection:
            collected.save(connection, "collectors")
            stored.save(connection, "store")
            positions.save(connection, "collectors", bus.EVENTS, {0: 2})
            positions.save(connection, "store", bus.EVENTS, {0: 2})
            positions.save(connection, "detectors", bus.EVENTS, {0: 2})
            positions.save(connection, "detectors:1a2b", bus.EVENTS, {0: 3})
            insert_new(connection, alerts, [{**row, "status": "new", "document": {"tên": "Đức", "n": None}}], ["id"])
            connection.execute(dead_letters.insert(), {**letter, "detail": "d", "line": b"\x00\xff", "size": 2})
            said = {"pid": 1, "started": 1.0, "seen": 1.0, "backlog_events": 0, "detail": {}}
            upsert(connection, stages, [{"stage": "api", "instance": "x", **said}], key=["stage", "instance"])

    def close(self) -> None:
        self.engine.dispose()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    made = Source(tmp_path, monkeypatch)
    yield made
    made.close()


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another machine's data directory; set `HAIDANG_DATA_DIR` to it with `moved`."""
    return tmp_path / "elsewhere" / "data"


def _moved(monkeypatch: pytest.MonkeyPatch, file: Path, other: Path) -> tuple[Settings, Engine]:
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(other))
    restore(file, other)
    settings = load_settings()
    return settings, open_state(other, settings.state)


def _rows(engine: Engine, table: Any) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def test_a_site_is_there_again_elsewhere(
    source: Source, tmp_path: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = back_up(source.settings, source.engine, tmp_path, events=True)
    settings, engine = _moved(monkeypatch, made.file, other)
    assert instance_of(other) != instance_of(source.data_dir)
    for table in (alerts, dead_letters, users):
        assert _rows(engine, table) == _rows(source.engine, table)
    assert _rows(engine, stages) == []
    queue = open_bus(other, settings.bus)
    (account,) = accounts(engine, queue)
    assert account.adds_up
    assert (account.received, account.held, account.taken) == (80, 30, 50)
    records = queue.read(bus.EVENTS, positions.load(engine, "store", bus.EVENTS))
    assert [(record.offset, record.events) for record in records] == [(2, 30)]
    assert len(queue.read(bus.ALERTS, {})) == 1
    assert queue.ends(bus.EVENTS) == {0: 3}
    queue.publish(bus.EVENTS, list(pack("syslog", _events(80, 1))))
    assert queue.read(bus.EVENTS, {0: 3})[0].offset == 3
    queue.close()
    reader = store.open_reader(other, settings.store)
    assert reader.search(store.EVENTS, {"size": 0})["hits"]["total"]["value"] == 60
    reader.close()
    assert positions.load(engine, "detectors:1a2b", bus.EVENTS) == {}
    engine.dispose()


def test_what_the_settings_name_comes_along_and_is_named_anew(
    source: Source, tmp_path: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = back_up(source.settings, source.engine, tmp_path / "b", events=False)
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(other))
    restored = restore(made.file, other)
    assert restored.unchanged == []
    settings = load_settings()
    first, second = settings.detectors.rules
    assert (first / "sub" / "a.yml").read_text() == "title: a"
    assert not (first / "README").exists()
    assert (second / "b.yml").read_text() == "title: b"
    assert settings.tls.key is not None
    assert settings.tls.key.read_text() == "key.pem"
    assert all(path.is_relative_to(other) for path in (first, second, settings.tls.key))
    assert (other / "haidang.toml").read_text("utf-8").startswith("# của xã\n")
    assert (other / "tls" / "key.pem").read_text() == "own key"
    assert settings.observer == "may-thu"


def test_packet_rules_and_lists_of_indicators_come_along(
    source: Source, tmp_path: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("folder/deep/a.rules", "pattern/b.rules", "pattern/b.txt", "lists/anything.csv", "haidang/c.rules"):
        (source.outside / name).parent.mkdir(parents=True, exist_ok=True)
        (source.outside / name).write_text(name)
    with socket.socket(socket.AF_UNIX) as eve:
        eve.bind(str(source.outside / "eve.sock"))
    with (source.data_dir / "haidang.toml").open("a", encoding="utf-8") as toml:
        toml.write(f"""
[[sources]]
kind = "network"
interfaces = ["lo"]
rules = ["haidang", "{source.outside}/folder", "{source.outside}/pattern/*.rules", "{source.outside}/none"]
[[sources]]
name = "suricata"
kind = "unix"
path = "{source.outside}/eve.sock"
[[indicators.feeds]]
name = "usb"
kind = "directory"
path = "{source.outside}/lists"
""")
    monkeypatch.chdir(source.outside)  # where a folder is called as our own rules are
    made = back_up(load_settings(), source.engine, tmp_path / "b", events=False)
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(other))
    assert restore(made.file, other).unchanged == []
    settings = load_settings()
    network, unix = settings.sources
    assert isinstance(network, NetworkSource)
    assert isinstance(unix, UnixSource)
    ours, folder, pattern, none = network.rules
    assert (ours, none, unix.path) == (Path("haidang"), source.outside / "none", source.outside / "eve.sock")
    assert (folder / "deep" / "a.rules").read_text() == "folder/deep/a.rules"
    assert [file.name for file in pattern.parent.iterdir()] == ["b.rules"]
    assert pattern.name == "*.rules"
    [feed] = settings.indicators.feeds
    assert feed.path is not None
    assert (feed.path / "anything.csv").read_text() == "lists/anything.csv"
    assert all(path.is_relative_to(other) for path in (folder, pattern, feed.path))


def test_a_path_that_is_not_found_in_the_settings_is_told(
    source: Source, tmp_path: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = source.data_dir / "haidang.toml"
    toml.write_text(toml.read_text("utf-8").replace("cert.pem", "\\u0063ert.pem"), "utf-8")
    made = back_up(load_settings(), source.engine, tmp_path / "b", events=False)
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(other))
    told = restore(made.file, other).unchanged
    assert str(source.outside / "cert.pem") in [old for old, _ in told]


def test_without_events_what_waited_is_counted_as_dropped_and_alerts_are_copied_anew(
    source: Source, tmp_path: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = back_up(source.settings, source.engine, tmp_path / "b", events=False)
    settings, engine = _moved(monkeypatch, made.file, other)
    queue = open_bus(other, settings.bus)
    (account,) = accounts(engine, queue)
    assert account.adds_up
    assert (account.received, account.held, account.taken, account.dropped) == (80, 0, 80, 30)
    assert [line.events for line in sums(engine) if line.reason == NOT_IN_BACKUP] == [30]
    assert queue.backlog(bus.EVENTS, {}) == (0, 0)
    assert len(queue.read(bus.ALERTS, {})) == 1
    queue.close()
    assert [row["body"] for row in _rows(engine, outbox)] == ["a"]
    assert not (other / "index").exists()
    engine.dispose()


def test_a_backup_says_which_variables_it_lacks_and_not_what_is_in_them(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAIDANG_STORE__PASSWORD", "geheim-123")
    made = back_up(load_settings(), source.engine, tmp_path / "b", events=False)
    assert made.header.variables == ["HAIDANG_STORE__PASSWORD"]
    assert b"geheim-123" not in b"".join(part.whole() for part in archive.read(made.file))


def test_a_folder_gets_a_file_with_a_name_of_its_own(source: Source, tmp_path: Path) -> None:
    files = {back_up(source.settings, source.engine, target, events=False).file for target in (tmp_path, None, None)}
    assert len(files) == 3
    assert {file.parent for file in files} == {tmp_path, source.data_dir / "backups"}


def test_the_events_of_a_cluster_are_refused(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAIDANG_STORE__KIND", "elasticsearch")
    with pytest.raises(HaidangError, match="Elasticsearch's own snapshots"):
        back_up(load_settings(), source.engine, tmp_path / "b", events=True)
    monkeypatch.setenv("HAIDANG_BUS__KIND", "kafka")
    monkeypatch.setenv("HAIDANG_BUS__SERVERS", '["kafka:9092"]')
    made = back_up(load_settings(), source.engine, tmp_path / "b", events=False)
    assert (made.header.bus, made.header.held) == ({}, None)


def test_positions_in_kafka_stay_as_they_were_and_frames_of_an_embedded_bus_are_refused(
    source: Source, tmp_path: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded = back_up(source.settings, source.engine, tmp_path / "embedded", events=False)
    monkeypatch.setenv("HAIDANG_BUS__KIND", "kafka")
    with pytest.raises(HaidangError, match="frames of an embedded bus"):
        restore(embedded.file, other)
    assert list(other.iterdir()) == []
    cluster = back_up(load_settings(), source.engine, tmp_path / "cluster", events=False)
    _, engine = _moved(monkeypatch, cluster.file, other)
    assert positions.load(engine, "store", bus.EVENTS) == {0: 2}
    assert positions.load(engine, "detectors:1a2b", bus.EVENTS) == {0: 3}
    engine.dispose()


def test_a_second_backup_at_once_is_refused(source: Source, tmp_path: Path) -> None:
    with only_one(source.data_dir, "backup"), pytest.raises(HaidangError, match="is using"):
        back_up(source.settings, source.engine, tmp_path / "b", events=False)


def test_a_needed_frame_that_was_deleted_meanwhile_is_not_left_out(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = open_bus(source.data_dir, source.settings.bus)
    looked = []
    whole = make._freeze_bus

    def trimmed(*arguments: Any) -> None:
        if not looked:  # all has been read between the look at the state and the one at the bus
            with source.engine.begin() as connection:
                for reader in ("store", "detectors", "collectors"):
                    positions.save(connection, reader, bus.EVENTS, {0: 3})
            queue.trim(bus.EVENTS, {0: 3})
        looked.append(1)
        whole(*arguments)

    monkeypatch.setattr(make, "_freeze_bus", trimmed)
    made = back_up(source.settings, source.engine, tmp_path / "b", events=True)
    assert len(looked) == 2
    assert made.header.held == {}
    queue.close()


def test_an_index_that_is_being_written_is_copied_as_of_one_commit(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", store={"memory_mb": 20})
    writer = store.open_writer(settings.data_dir, settings.store)
    enough = threading.Event()

    def write() -> None:
        number = 0
        while not enough.is_set():
            writer.add(store.EVENTS, [document(None, line) for line in _events(number, 20)])
            writer.commit()
            number += 20

    thread = threading.Thread(target=write)
    thread.start()
    try:
        time.sleep(0.3)
        for round_ in range(8):
            copy = tmp_path / f"copy-{round_}"
            with snapshot(settings.data_dir / "index") as pieces:
                time.sleep(0.1)  # the writer goes on, merges and deletes
                for piece in pieces:
                    to = copy / "index" / piece.name
                    to.parent.mkdir(parents=True, exist_ok=True)
                    to.write_bytes(piece.path.read_bytes()[: piece.size])
            reader = store.open_reader(copy, settings.store)
            found = reader.search(store.EVENTS, {"size": 10_000})["hits"]
            reader.close()
            numbers = sorted(int(hit["_source"]["message"].split()[1]) for hit in found["hits"])
            assert numbers == list(range(len(numbers)))
            assert found["total"]["value"] % 20 == 0
            assert numbers
            again = store.open_writer(copy, settings.store)  # and it can be written on
            assert again.add(store.EVENTS, [document(None, line) for line in _events(0, 21)]).repeated >= 20
            again.close()
    finally:
        enough.set()
        thread.join()
        writer.close()
    assert [path.name for path in (settings.data_dir / "index").iterdir()] == ["events"]


def test_an_index_that_is_just_being_made_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "index" / "events" / "2026.11.24").mkdir(parents=True)
    (tmp_path / "index" / ".snapshot-left").mkdir()
    with snapshot(tmp_path / "index") as pieces:
        assert pieces == []
    assert [path.name for path in (tmp_path / "index").iterdir()] == ["events"]


def test_a_data_directory_that_is_not_empty_or_in_use_is_left_alone(source: Source, tmp_path: Path) -> None:
    made = back_up(source.settings, source.engine, tmp_path / "b", events=False)
    before = sorted(path.name for path in source.data_dir.iterdir())
    with pytest.raises(HaidangError, match="is not empty"):
        restore(made.file, source.data_dir)
    with only_one(source.data_dir, "run"), pytest.raises(HaidangError, match="is using"):
        restore(made.file, source.data_dir)
    assert sorted(path.name for path in source.data_dir.iterdir()) == before


def test_nothing_is_left_of_a_restore_of_a_damaged_file(source: Source, tmp_path: Path, other: Path) -> None:
    made = back_up(source.settings, source.engine, tmp_path / "b", events=True)
    data = bytearray(made.file.read_bytes())
    data[len(data) // 2] ^= 4
    made.file.write_bytes(data)
    with pytest.raises(HaidangError, match="damaged"):
        restore(made.file, other)
    assert not other.exists()


def test_a_newer_state_is_told(source: Source, tmp_path: Path, other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_state, "revision_of", lambda _connection: "9999")
    made = back_up(source.settings, source.engine, tmp_path / "b", events=False)
    with pytest.raises(HaidangError, match="newer Hải Đăng"):
        check(made.file, other)


@pytest.mark.parametrize("place", ["../haidang.toml", "/etc/passwd", "", "a/../../b", ".restore/x"])
def test_a_place_outside_of_the_data_directory_is_refused(
    source: Source, tmp_path: Path, other: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(make, "own_files", lambda _data_dir: [(place, source.data_dir / "haidang.toml")])
    made = back_up(source.settings, source.engine, tmp_path / "b", events=False)
    with pytest.raises(HaidangError, match="no backup of ours"):
        restore(made.file, other)
    assert not other.exists()


_RESTORE = """
import resource, sys, time
from pathlib import Path
from pipeline.backup import restore
from pipeline.messages import HaidangError
limit = int(sys.argv[3])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
else:
    restore._make_durable = lambda scratch: (print("there", flush=True), time.sleep(60))
try:
    restore.restore(Path(sys.argv[1]), Path(sys.argv[2]))
except HaidangError as error:
    sys.exit(str(error))
"""


def _restoring(file: Path, to: Path, limit: int = 0) -> "subprocess.Popen[str]":
    arguments = [sys.executable, "-c", _RESTORE, str(file), str(to), str(limit)]
    # Nor does the measurement of coverage find room on a full disk.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_a_restore_that_is_killed_leaves_nothing_that_is_taken_for_a_site(
    source: Source, tmp_path: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = back_up(source.settings, source.engine, tmp_path / "b", events=True)
    process = _restoring(made.file, other)
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    with pytest.raises(HaidangError, match="is using"):
        restore(made.file, other)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert [path.name for path in other.iterdir()] == [RESTORING]
    with pytest.raises(HaidangError, match="broken off"):
        open_state(other)
    _, engine = _moved(monkeypatch, made.file, other)
    assert len(_rows(engine, alerts)) == 1
    assert not (other / RESTORING).exists()
    engine.dispose()


def test_a_restore_that_was_killed_while_it_moved_is_told(source: Source, tmp_path: Path, other: Path) -> None:
    made = back_up(source.settings, source.engine, tmp_path / "b", events=False)
    (other / RESTORING).mkdir(parents=True)
    (other / "index").mkdir()
    with pytest.raises(HaidangError, match="broken off"):
        restore(made.file, other)


def test_a_full_disk_is_told_and_nothing_is_left(source: Source, tmp_path: Path, other: Path) -> None:
    made = back_up(source.settings, source.engine, tmp_path / "b", events=True)
    process = _restoring(made.file, other, limit=30_000)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "cannot be written" in said
    assert "Traceback" not in said
    assert list(other.iterdir()) == []


def test_a_database_moves_from_sqlite_to_postgresql_and_back(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres: Postgres
) -> None:
    row = {
        "source": "logs", "file_id": "f", "path": "/var/log/a", "device": 1, "inode": 2**40, "offset": 7,
        "fingerprint": "", "fingerprint_bytes": 0, "seen": 1.0,
    }  # fmt: skip
    with source.engine.begin() as connection:
        connection.execute(files.insert(), row)
    first = back_up(source.settings, source.engine, tmp_path / "first", events=True)
    middle, last = tmp_path / "middle", tmp_path / "last"
    monkeypatch.setenv("HAIDANG_STATE__URL", postgres.new_database())
    settings, engine = _moved(monkeypatch, first.file, middle)
    assert engine.dialect.name == "postgresql"
    assert not (middle / "state.db").exists()
    for table in (alerts, dead_letters):
        assert _rows(engine, table) == _rows(source.engine, table)
    assert [each["source"] for each in _rows(engine, files)] == [f"logs@{instance_of(middle)}"]
    with engine.begin() as connection:  # new rows are numbered behind the old ones
        connection.execute(outbox.insert(), {"kind": "index", "body": "b"})
    with pytest.raises(HaidangError, match="is not empty"):
        restore(first.file, tmp_path / "again")
    second = back_up(settings, engine, tmp_path / "second", events=True)
    engine.dispose()
    monkeypatch.delenv("HAIDANG_STATE__URL")
    _, engine = _moved(monkeypatch, second.file, last)
    assert engine.dialect.name == "sqlite"
    assert _rows(engine, files) == [row]
    for table in (alerts, dead_letters):
        assert _rows(engine, table) == _rows(source.engine, table)
    engine.dispose()


class OldState:
    """A state as an earlier version left it."""

    def __init__(self, folder: Path, settings: State, revision: str = "0002") -> None:
        self.folder, self.settings = folder, settings
        folder.mkdir(parents=True, exist_ok=True)
        engine = open_engine(folder, settings)
        with engine.begin() as connection:
            migrate(connection, revision)
            connection.execute(
                text("INSERT INTO users VALUES ('an', 'x', 'viewer', 1.0, 0, 0, :disabled)"), {"disabled": False}
            )
            connection.execute(text("INSERT INTO stages VALUES ('api', 1, 1.0, 1.0, 0, '{}')"))
        engine.dispose()

    def revision(self) -> str | None:
        engine = open_engine(self.folder, self.settings)
        with engine.connect() as connection:
            found = revision_of(connection)
        engine.dispose()
        return found


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_older_state_is_backed_up_before_it_is_migrated(
    tmp_path: Path, other: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, kind: str
) -> None:
    url = request.getfixturevalue("postgres").new_database() if kind == "postgresql" else ""
    old = OldState(tmp_path / "data", State(url=url))
    engine = open_state(old.folder, old.settings)
    assert [row["name"] for row in _rows(engine, users)] == ["an"]
    engine.dispose()
    assert old.revision() == newest()
    (file,) = (old.folder / "backups").iterdir()
    assert (file.name[:10], file.stat().st_mode & 0o777) == ("state-0002", 0o600)
    assert check(file, other).header.revision == "0002"
    _, engine = _moved(monkeypatch, file, other)  # and what was saved is an older state, which is migrated
    assert [row["name"] for row in _rows(engine, users)] == ["an"]
    with engine.connect() as connection:
        assert revision_of(connection) == newest()
        assert "dead_letters" in inspect(connection).get_table_names()
    engine.dispose()
    open_state(old.folder, old.settings).dispose()
    assert len(list((old.folder / "backups").iterdir())) == 1  # nothing to migrate, nothing to save


_OPEN = """
import resource, sys
from pathlib import Path
from pipeline.messages import HaidangError
from pipeline.state import open_state
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    open_state(Path(sys.argv[1]))
except HaidangError as error:
    sys.exit(str(error))
"""


def test_a_state_that_cannot_be_backed_up_is_not_migrated(tmp_path: Path) -> None:
    old = OldState(tmp_path / "data", State())
    (old.folder / "tls").mkdir()
    (old.folder / "tls" / "key.pem").write_bytes(os.urandom(200_000))
    done = subprocess.run(
        [sys.executable, "-c", _OPEN, str(old.folder), "100000"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "could not be backed up before" in done.stderr
    assert "was not changed" in done.stderr
    assert old.revision() == "0002"
    assert list((old.folder / "backups").iterdir()) == []
    open_state(old.folder).dispose()
    assert old.revision() == newest()


def test_only_the_last_backups_before_migrations_are_kept(tmp_path: Path) -> None:
    engine = open_state(tmp_path)
    made = []
    for number in range(7):
        made.append(back_up_state(engine, tmp_path))
        os.utime(made[-1], (number, number))
    engine.dispose()
    assert sorted((tmp_path / "backups").iterdir()) == sorted(made[-5:])


def test_the_commands_say_what_they_did(source: Source, tmp_path: Path, other: Path) -> None:
    def run(*arguments: str, to: Path = source.data_dir) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "HAIDANG_DATA_DIR": str(to), "HAIDANG_LANGUAGE": "en"}
        program = "from pipeline.command import main; raise SystemExit(main())"
        return subprocess.run(
            [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True, check=False
        )

    file = tmp_path / "b.tar.zst"
    told = json.loads(run("backup", str(file), "--events", "--json").stdout)
    assert (told["file"], told["events"], told["bytes"]) == (str(file), True, file.stat().st_size)
    assert "is whole" in run("restore", str(file), "--check", to=other).stdout
    assert not other.exists()
    again = run("restore", str(file))
    assert (again.returncode, "is not empty" in again.stderr) == (2, True)


def test_profiles_of_sharing_come_along_and_nothing_leaves_before_it_is_confirmed_there(
    source: Source, tmp_path: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source.data_dir / "sharing").mkdir()
    (source.data_dir / "sharing" / "bo.toml").write_text("title = 'Bộ'")
    (source.data_dir / "sharing" / "bo.key").write_text("a key")
    row = {
        "name": "bo", "confirmed": "d" * 64, "confirmed_by": "an", "confirmed_at": 1.0, "pseudonym_key": b"\x00" * 32,
        "began": 1.0, "built_until": 2.0, "sent": 3, "succeeded": 0.0, "failed": 0.0, "failures": 0, "error": "",
        "position": "",
    }  # fmt: skip
    with source.engine.begin() as connection:
        insert_new(connection, share_profiles, [row], ["name"])
    made = back_up(source.settings, source.engine, tmp_path, events=False)
    _, engine = _moved(monkeypatch, made.file, other)
    assert (other / "sharing" / "bo.key").read_text() == "a key"
    with engine.connect() as connection:
        found = connection.execute(select(share_profiles)).one()
    engine.dispose()
    assert (found.confirmed, bytes(found.pseudonym_key), found.sent) == ("", b"\x00" * 32, 3)
