"""The list of fields of an embedded index: read where Tantivy keeps it, refused where it is no such list."""

import random
from pathlib import Path

import pytest

from pipeline.messages import HaidangError
from pipeline.store import EVENTS
from pipeline.store.tantivy_fields import FieldNames
from pipeline.store.tantivy_reader import TantivyReader
from pipeline.store.tantivy_writer import TantivyWriter
from tests.contract.store import event, put


def test_a_list_that_is_damaged_is_refused_and_never_hangs(tmp_path: Path) -> None:
    writer = TantivyWriter(tmp_path, 20_000_000)
    put(writer, event(1, **{f"name_{number}": number for number in range(300)}))
    writer.close()
    (fast,) = tmp_path.rglob("*.fast")
    whole, chance = fast.read_bytes(), random.Random(7)
    refused = 0
    for _ in range(300):
        broken = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            broken[-chance.randrange(1, 1500)] = chance.randrange(256)
        fast.write_bytes(bytes(broken) if chance.random() < 0.8 else whole[: chance.randrange(len(whole))])
        try:
            FieldNames().of(tmp_path / EVENTS)
        except HaidangError as error:
            refused += 1
            assert str(fast) in str(error)
    assert refused > 100
    fast.write_bytes(whole)
    assert len(FieldNames().of(tmp_path / EVENTS)) == 300


def test_what_is_written_later_is_known_and_what_expires_is_not(tmp_path: Path) -> None:
    writer, reader = TantivyWriter(tmp_path, 20_000_000), TantivyReader(tmp_path)
    known = len(reader.fields(EVENTS))
    for number in range(12):  # as many segments: some are merged
        put(writer, event(number, **{f"later_{number}": "x"}))
        assert len(reader.fields(EVENTS)) == known + number + 1
    put(writer, {**event(99, old="x"), "@timestamp": "2019-01-01T00:00:00Z"})
    assert "old" in {field.name for field in reader.fields(EVENTS)}
    writer.remove("2019.01")
    assert "old" not in {field.name for field in reader.fields(EVENTS)}
    writer.close()
    reader.close()


def test_an_index_without_anything_has_no_fields(tmp_path: Path) -> None:
    assert FieldNames().of(tmp_path / EVENTS) == {}
    (tmp_path / EVENTS / "2026.01.01").mkdir(parents=True)
    assert FieldNames().of(tmp_path / EVENTS) == {}
    with pytest.raises(HaidangError):
        (tmp_path / EVENTS / "2026.01.01" / "meta.json").write_text('{"segments": [{"segment_id": "a"}]}')
        (tmp_path / EVENTS / "2026.01.01" / "a.fast").write_bytes(b"")
        FieldNames().of(tmp_path / EVENTS)
