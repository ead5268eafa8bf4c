"""The embedded store: the contract, and what is its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.event import encode
from pipeline.store import EVENTS, Reader, Writer
from pipeline.store.document import Document, document
from pipeline.store.tantivy_reader import TantivyReader
from pipeline.store.tantivy_writer import TantivyWriter
from tests.contract.store import StoreContract, event, numbers, put

_MEMORY = 20_000_000


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[TantivyWriter]:
    opened = TantivyWriter(tmp_path, _MEMORY)
    yield opened
    opened.close()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[TantivyReader]:
    opened = TantivyReader(tmp_path)
    yield opened
    opened.close()


class TestTantivyStore(StoreContract):
    pass


def test_ids_are_known_again_after_a_restart(tmp_path: Path) -> None:
    first = TantivyWriter(tmp_path, _MEMORY)
    put(first, *(event(number, n=number) for number in range(500)))
    first.close()
    second = TantivyWriter(tmp_path, _MEMORY)
    assert put(second, *(event(number, n=number) for number in range(490, 510))) == 10
    second.close()


def test_ids_of_another_form_are_known_again(writer: Writer, reader: Reader) -> None:
    foreign = {**event(1, n=1), "event.id": "of/another form"}
    assert [put(writer, foreign), put(writer, foreign)] == [0, 1]
    assert reader.get(EVENTS, "of/another form") == foreign


def test_an_index_is_as_old_as_its_last_receipt(writer: Writer, tmp_path: Path) -> None:
    put(writer, {**event(1, n=1), "@timestamp": "2019-04-27T21:04:32.000Z"})
    (index,) = writer.indexes()
    assert (index.name, index.size > 1000) == ("2019.04", True)
    assert abs(index.latest / 1e6 - time.time()) < 60
    for path in (tmp_path / EVENTS).glob("*/meta.json"):
        os.utime(path, (0, 0))
    assert writer.indexes()[0].latest == 1_556_668_800_000_000  # the end of its month


def test_a_removed_index_is_gone_for_open_readers(writer: Writer, reader: Reader, tmp_path: Path) -> None:
    put(writer, {**event(1, n=1), "@timestamp": "2019-04-27T21:04:32.000Z"}, event(2, n=2))
    assert numbers(reader, {"match_all": {}}) == {1, 2}
    writer.remove("2019.04")
    assert numbers(reader, {"match_all": {}}) == {2}
    assert [path.name for path in (tmp_path / EVENTS).iterdir()] == ["2026.11.24"]
    assert put(writer, {**event(1, n=1), "@timestamp": "2019-04-27T21:04:32.000Z"}) == 0


def test_many_months_at_once_stay_one_store(writer: Writer, reader: Reader) -> None:
    months = [
        {**event(n, n=n), "@timestamp": f"20{10 + n // 12:02}-{n % 12 + 1:02}-01T00:00:00.000Z"} for n in range(30)
    ]
    put(writer, *months, *months)
    assert numbers(reader, {"match_all": {}}) == set(range(30))


def test_a_line_that_is_no_json_is_refused_alone(writer: Writer, reader: Reader) -> None:
    good = event(1, n=1)
    bad = Document(good_micros(), "f" * 24, b'{"n":1,}', b'"x"', b'{"n":1,}')
    added = writer.add(EVENTS, [document(good, encode(good)), bad])
    writer.commit()
    assert len(added.refused) == 1
    assert numbers(reader, {"match_all": {}}) == {1}


def test_a_line_that_only_looks_like_one_of_ours_is_parsed(writer: Writer, reader: Reader) -> None:
    good = event(1, n=1, message="z")
    made = document(None, encode(good))._replace(fields=b'{"n":{"a":1}')
    assert writer.add(EVENTS, [made]).refused == ()
    writer.commit()
    assert numbers(reader, {"match": {"message": "z"}}) == {1}


def good_micros() -> int:
    return 1_795_521_600_000_000


@pytest.mark.slow
def test_a_kill_between_add_and_commit_leaves_the_last_commit(tmp_path: Path) -> None:
    program = """
import sys, time
from pathlib import Path
from pipeline.store.tantivy_writer import TantivyWriter
from tests.contract.store import event, put
from pipeline.store.document import document
from pipeline.event import encode
writer = TantivyWriter(Path(sys.argv[1]), 20_000_000)
put(writer, *(event(n, n=n) for n in range(20)))
writer.add("events", [document(item, encode(item)) for item in (event(n, n=n) for n in range(20, 40))])
print("added", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"added\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    reader = TantivyReader(tmp_path)
    assert numbers(reader, {"match_all": {}}) == set(range(20))
    writer = TantivyWriter(tmp_path, _MEMORY)
    assert put(writer, *(event(n, n=n) for n in range(40))) == 20
    assert numbers(reader, {"match_all": {}}) == set(range(40))
    writer.close()
    reader.close()
