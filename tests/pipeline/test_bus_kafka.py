"""The bus on a real Kafka broker: the contract, and what is its own."""

import argparse
import json
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from pipeline.bus import ALERTS, EVENTS, BusAway, open_bus
from pipeline.bus.kafka import RECORD_BYTES, KafkaBus
from pipeline.command import bench
from pipeline.frame import Frame, pack, unpack
from pipeline.messages import HaidangError
from tests.conftest import eventually
from tests.contract.bus import LIMIT, BusContract, frames, read_all
from tests.services.kafka import PASSWORD, PLAIN_PASSWORD, USER, Kafka, running, unknown_ca


class TestKafkaBus(BusContract):
    @pytest.fixture
    def bus(self, kafka: Kafka) -> Iterator[KafkaBus]:
        opened = KafkaBus(kafka.settings())
        opened._limit = LIMIT  # the settings' smallest is more
        yield opened
        opened.close()


@pytest.fixture
def bus(kafka: Kafka) -> Iterator[KafkaBus]:
    opened = KafkaBus(kafka.settings())
    yield opened
    opened.close()


def _numbers(bus: KafkaBus, positions: dict[int, int] | None = None) -> list[str]:
    positions = {} if positions is None else positions
    lines: list[str] = []
    while records := bus.read(EVENTS, positions, limit_bytes=100_000):
        for record in records:
            positions[record.partition] = record.offset + 1
            lines += [line.decode() for line in unpack(record.payload)]
    return lines


def test_the_settings_choose_this_bus(kafka: Kafka, tmp_path: Path) -> None:
    opened = open_bus(tmp_path, kafka.settings())
    assert isinstance(opened, KafkaBus)
    opened.close()


def test_the_order_within_a_source_holds_over_several_partitions(bus: KafkaBus) -> None:
    for number in range(30):
        bus.publish(EVENTS, [frame for each in range(12) for frame in frames(f"{each} {number}", source=f"s{each}")])
    positions: dict[int, int] = {}
    found = [line.split() for line in _numbers(bus, positions)]
    assert len(positions) == 3
    assert len(found) == 12 * 30
    for each in range(12):
        assert [number for source, number in found if source == str(each)] == [str(number) for number in range(30)]


def test_a_key_spreads_the_frames_of_one_source(bus: KafkaBus) -> None:
    for number in range(30):
        bus.publish(EVENTS, list(pack("syslog", [b"x"], key=f"198.51.100.{number}")))
    assert {record.partition for record in bus.read(EVENTS, {})} == {0, 1, 2}


def test_another_bus_reads_what_this_one_publishes_and_goes_on_where_it_was(kafka: Kafka) -> None:
    settings = kafka.settings()
    writer, reader = KafkaBus(settings), KafkaBus(settings)
    positions: dict[int, int] = {}
    for number in range(20):
        writer.publish(EVENTS, frames(f"{number}", source=f"s{number % 5}"))
    found = _numbers(reader, positions)
    reader.close()
    for number in range(20, 40):
        writer.publish(EVENTS, frames(f"{number}", source=f"s{number % 5}"))
    again = KafkaBus(settings)
    assert again.backlog(EVENTS, positions)[0] == 20
    found += _numbers(again, positions)
    assert sorted(found, key=int) == [str(number) for number in range(40)]
    writer.publish(EVENTS, frames("40"))
    assert eventually(lambda: _numbers(again, positions)) == ["40"]
    writer.close()
    again.close()


def test_a_foreign_producer_may_send_one_event_a_record(kafka: Kafka) -> None:
    settings = kafka.settings()
    bus = KafkaBus(settings)
    name = f"{settings.topic_prefix}{EVENTS}"
    for compression in (None, "gzip", "zstd", "lz4", "snappy"):
        producer = KafkaProducer(bootstrap_servers=kafka.servers, compression_type=compression)
        producer.send(name, b'{"message": "one"}')
        producer.send(name, b'{"message": "two"}\n{"message": "three"}\n', headers=[("events", b"many")])
        producer.send(name, None, key=b"deleted")
        producer.close()
    records = bus.read(EVENTS, {})
    assert {record.source for record in records} == {"kafka"}
    assert sorted(record.events for record in records) == [0] * 5 + [1] * 5 + [2] * 5
    assert sum(len(unpack(record.payload)) for record in records) == 15
    bus.close()


def test_a_frame_that_is_published_again_is_read_once(kafka: Kafka) -> None:
    bus = KafkaBus(kafka.settings())
    first, other = (next(pack("s", [b'{"n":1}'])) for _ in range(2))  # the same lines, but another frame
    bus.publish(EVENTS, [first, other])
    bus.publish(EVENTS, [first])
    found = bus.read(EVENTS, {})
    assert [record.events for record in found] == [1, 1, 0]
    assert unpack(found[-1].payload) == []
    again = bus.read(EVENTS, {found[0].partition: found[0].offset})  # the first one is no repetition of itself
    assert [record.events for record in again] == [1, 1, 0]
    bus.close()


def test_what_is_trimmed_is_really_deleted_and_counts_no_more(bus: KafkaBus) -> None:
    bus.publish(EVENTS, [Frame("test", 1, b"\x00" * 900_000, key=str(number)) for number in range(6)])
    assert bus._unread(EVENTS) > 5_000_000
    ends = bus.ends(EVENTS)
    assert bus.trim(EVENTS, ends) == 6
    assert bus._unread(EVENTS) == 0
    assert bus.backlog(EVENTS, {}) == (0, 0)
    assert bus.read(EVENTS, dict.fromkeys(ends, 0)) == []


def test_a_full_topic_is_full_for_another_bus_too(kafka: Kafka) -> None:
    settings = kafka.settings()
    one, other = KafkaBus(settings), KafkaBus(settings)
    one._limit = other._limit = LIMIT
    block = Frame("test", 1, b"\x00" * 900_000)
    one.publish(EVENTS, [block] * 5)
    other.publish(EVENTS, [block])  # it does not know yet how large a record is
    with pytest.raises(Exception, match="its limit is 2000000"):
        other.publish(EVENTS, [block])
    one.close()
    other.close()


def test_a_large_frame_passes(bus: KafkaBus) -> None:
    payload = uuid.uuid4().bytes * 62_600  # with what zstd adds to a frame that cannot be packed
    bus.publish(EVENTS, [Frame("x" * 60, 1, payload, key="y" * 300)])
    (record,) = bus.read(EVENTS, {})
    assert record.payload == payload


def test_a_topic_that_takes_no_frame_of_ours_is_refused_by_name_and_value(kafka: Kafka) -> None:
    settings = kafka.settings()
    name = f"{settings.topic_prefix}{ALERTS}"
    with KafkaAdminClient(bootstrap_servers=kafka.servers) as admin:
        admin.create_topics({name: {"num_partitions": 1, "configs": {"max.message.bytes": "500000"}}})
        admin.wait_for_topics([name])
    with pytest.raises(HaidangError) as refused:
        KafkaBus(settings)
    assert all(part in str(refused.value) for part in (name, "500000", str(RECORD_BYTES), "max.message.bytes"))


def test_a_topic_that_is_there_is_used_as_it_is(kafka: Kafka) -> None:
    settings = kafka.settings(partitions=4)
    name = f"{settings.topic_prefix}{EVENTS}"
    with KafkaAdminClient(bootstrap_servers=kafka.servers) as admin:
        admin.create_topics({name: {"num_partitions": 2, "replication_factor": 1}})
        admin.wait_for_topics([name])
    bus = KafkaBus(settings)
    assert (bus.partitions(EVENTS), bus.partitions(ALERTS)) == ((0, 1), (0, 1, 2, 3))
    bus.publish(EVENTS, frames("1"))
    assert read_all(bus) == ["1"]
    bus.close()


def test_several_stages_make_the_topics_at_once(kafka: Kafka) -> None:
    settings = kafka.settings()
    opened: list[KafkaBus] = []
    starters = [threading.Thread(target=lambda: opened.append(KafkaBus(settings))) for _ in range(4)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert [bus.partitions(EVENTS) for bus in opened] == [(0, 1, 2)] * 4
    for bus in opened:
        bus.close()


def _secured(kafka: Kafka) -> dict[str, dict[str, Any]]:
    scram = {
        "security": "sasl_tls",
        "servers": kafka.scram_servers,
        "ca": kafka.ca,
        "username": USER,
        "password": PASSWORD,
    }
    return {
        "tls": {"security": "tls", "servers": kafka.tls_servers, "ca": kafka.ca},
        "scram-512": scram,
        "scram-256": {**scram, "mechanism": "SCRAM-SHA-256"},
        "plain": {
            "security": "sasl_plaintext", "servers": kafka.password_servers, "mechanism": "PLAIN",
            "username": USER, "password": PLAIN_PASSWORD,
        },
    }  # fmt: skip


@pytest.mark.parametrize("way", ["tls", "scram-512", "scram-256", "plain"])
def test_tls_and_passwords_work(kafka: Kafka, way: str) -> None:
    bus = KafkaBus(kafka.settings(**_secured(kafka)[way]))
    bus.publish(EVENTS, frames("1", "2"))
    assert read_all(bus) == ["1", "2"]
    bus.close()


@pytest.mark.slow  # it is tried for seconds
@pytest.mark.parametrize(
    ("way", "changed", "said"),
    [
        ("scram-512", {"password": "wrong secret"}, "refuse the user haidang with the mechanism SCRAM-SHA-512"),
        ("plain", {"password": "wrong secret"}, "refuse the user haidang"),
        ("plain", {"mechanism": "SCRAM-SHA-256"}, "do not offer the SASL mechanism SCRAM-SHA-256"),
        ("tls", {"ca": "other"}, "Set `ca` to the PEM file"),
        ("tls", {"ca": None}, "Set `ca` to the PEM file"),
        ("tls", {"ca": Path("/nowhere/ca.pem")}, "/nowhere/ca.pem cannot be used for TLS"),
        ("tls", {"servers": "clear"}, "There is no TLS"),
        ("tls", {"security": "plaintext"}, "speak TLS, and `security` is plaintext"),
        ("tls", {"security": "plaintext", "servers": ["127.0.0.1:1"]}, "No Kafka broker at 127.0.0.1:1"),
    ],
)
def test_what_is_wrong_with_the_connection_is_said_with_what_to_do(
    kafka: Kafka, tmp_path: Path, way: str, changed: dict[str, Any], said: str
) -> None:
    settings = {**_secured(kafka)[way], **changed}
    if settings.get("ca") == "other":
        settings["ca"] = unknown_ca(tmp_path)
    if settings["servers"] == "clear":
        settings["servers"] = kafka.servers
    for _ in range(4):  # on a loaded machine the broker may not answer at all in time
        with pytest.raises(HaidangError) as refused:
            KafkaBus(kafka.settings(**settings))
        if refused.value.key != "kafka.unreachable" or said in str(refused.value):
            break
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


def test_more_copies_than_brokers_are_refused(kafka: Kafka) -> None:
    with pytest.raises(HaidangError, match="replicas"):
        KafkaBus(kafka.settings(replicas=3))


@pytest.mark.slow
def test_brokers_that_are_away_for_a_while_cost_nothing(tmp_path: Path) -> None:
    """One publishes, one reads, and the only broker is killed twice in the middle."""
    with running(tmp_path) as broker:
        settings = broker.settings()
        writer, reader = KafkaBus(settings), KafkaBus(settings)
        sent: list[str] = []
        found: list[str] = []
        faults: set[str] = set()
        enough, all_sent = threading.Event(), threading.Event()

        def publish() -> None:
            while not enough.is_set():
                batch = [f"{len(sent) + number}" for number in range(5)]
                try:
                    writer.publish(EVENTS, [frame for text in batch for frame in frames(text, source=f"s{text[-1]}")])
                except BusAway as error:
                    faults.add(str(error))
                    time.sleep(0.2)
                    continue
                sent.extend(batch)
                time.sleep(0.01)

        def read() -> None:
            positions: dict[int, int] = {}
            while not all_sent.is_set() or len(set(found)) < len(sent):
                got = reader.read(EVENTS, positions)
                for record in got:
                    positions[record.partition] = record.offset + 1
                    found.extend(line.decode() for line in unpack(record.payload))
                if not got:
                    reader.backlog(EVENTS, positions)
                    reader.trim(EVENTS, positions)
                    reader.ends(EVENTS)
                    time.sleep(0.03)

        threads = [threading.Thread(target=work, daemon=True) for work in (publish, read)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            before = len(sent)
            eventually(lambda before=before: len(sent) > before + 200, 60)
            broker.stop()
            eventually(lambda: writer.fault, 30)
            eventually(lambda: reader.fault, 30)
            broker.start()
            eventually(lambda: not writer.fault and not reader.fault, 60)
        before = len(sent)
        eventually(lambda: len(sent) > before + 200, 60)
        for thread, no_more in zip(threads, (enough, all_sent), strict=True):  # one after the other
            no_more.set()
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        assert set(found) == set(sent)
        assert faults
        writer.close()
        reader.close()
        names = [thread.name.lower() for thread in threading.enumerate()]
        assert not [name for name in names if "kafka" in name and not name.startswith("pytest_timeout")]


@pytest.mark.slow
def test_a_bus_reads_on_from_saved_positions_after_the_broker_came_back(tmp_path: Path) -> None:
    with running(tmp_path) as broker:
        settings = broker.settings()
        first = KafkaBus(settings)
        first.publish(EVENTS, frames(*map(str, range(10))))
        positions = {0: 0, 1: 0, 2: 0}
        records = first.read(EVENTS, positions, limit_bytes=1)
        positions[records[0].partition] = records[0].offset + 1
        broker.stop()
        with pytest.raises(BusAway):
            first.publish(EVENTS, frames("lost?"))
        assert first.read(EVENTS, positions) == [] or first.fault
        first.close()
        broker.start()
        second = KafkaBus(settings)
        assert [text for text in _numbers(second, positions) if text != "lost?"] == list(map(str, range(1, 10)))
        second.close()


def test_the_benchmark_measures_a_broker_and_leaves_nothing(
    kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path))
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    words = ["bus", "--kind", "kafka", "--servers", *kafka.servers, "--events", "20000", "--json"]
    assert bench.run(parser.parse_args(words)) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["events"], figures["events_per_second"] > 0) == (20_000, True)
    with KafkaAdminClient(bootstrap_servers=kafka.servers) as admin:
        assert eventually(lambda: not [name for name in admin.list_topics() if name.startswith("haidang-bench")])
