"""The embedded store's parts on their own: documents, blocks, the filter of ids, names of indexes."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.event import TEXTS, encode, event_id, to_micros
from pipeline.store.blocks import BlockReader, BlockWriter
from pipeline.store.days import covers, index_name
from pipeline.store.document import Document, _cut, document, parsed
from pipeline.store.seen import Seen

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    ["message", "event.original", "alert.evidence", "@timestamp", "event.id", "a", 'x"y']
) | st.text(max_size=12)


def as_parts(made: Document) -> tuple[Any, ...]:
    return (made.micros, made.identifier, orjson.loads(made.all_fields()), orjson.loads(made.text), made.line)


@settings(max_examples=600, deadline=None)
@given(st.dictionaries(_NAMES, _VALUES, max_size=6), st.booleans())
def test_a_line_that_is_cut_gives_the_same_document_as_one_that_isparsed(fields: dict[str, Any], ours: bool) -> None:
    head = {"@timestamp": "2026-11-24T05:17:44.123Z", "event.id": event_id("t", 1)}
    rest = {name: value for name, value in fields.items() if name not in head}
    if ours:  # the layout of our own collectors
        rest = {name: value for name, value in rest.items() if name not in TEXTS} | {
            name: rest[name] for name in TEXTS if name in rest
        }
    line = encode({**head, **rest})
    cut = _cut(line)
    if cut is not None:
        assert as_parts(cut) == as_parts(parsed(orjson.loads(line), line))


@pytest.mark.parametrize("tail", [b'"n":1,"message":"hi"}', b'"n":1,"message":"hi","event.original":"<86>hi \\"x\\""}'])
def test_our_own_lines_are_cut(tail: bytes) -> None:
    line = b'{"@timestamp":"2026-11-24T05:17:44.123Z","event.id":"%b",' % event_id("t", 1).encode() + tail
    assert _cut(line) is not None
    assert as_parts(document(None, line)) == as_parts(parsed(orjson.loads(line), line))


@pytest.mark.parametrize(
    "rest",
    [
        {"message": "a", "x": "b", "event.original": "c"},
        {"message": "a\\", "x": "b\\", "event.original": "c"},
        {"x": {"a": "b", "event.kind": "event", "message": "m"}, "event.original": "z"},
        {"x": {"a": "b", "event.kind": "event", "message": "m\\"}, "event.original": "z"},
        {"x": {"a": "b", "event.kind": "event"}, "message": "m", "event.original": "z"},
        {"x": {"a": "b", "event.original": "m"}, "message": "z"},
    ],
)
def test_what_only_looks_like_our_layout_loses_nothing(rest: dict[str, Any]) -> None:
    event = {"@timestamp": "2026-11-24T05:17:44.123Z", "event.id": event_id("t", 1), "n": 1, **rest}
    made = document(None, encode(event))
    assert as_parts(made) == as_parts(parsed(event, encode(event)))


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"5", b"{}", b'{"@timestamp":"x","event.id":"y"}', b'{"@timestamp":5}', b"\xff"]
)
def test_what_is_no_event_is_refused(line: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        document(None, line)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=3000).map(lambda raw: raw.replace(b"\n", b" ")), min_size=1, max_size=200)
)
def test_blocks_give_every_line_back(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("blocks") / "blocks"
    writer = BlockWriter(path)
    places = [writer.add(line) for line in lines]
    writer.close()
    writer = BlockWriter(path)  # another run appends
    places.append(writer.add(b"last"))
    writer.sync()
    reader = BlockReader(path)
    assert [reader.line(place) for place in places] == [*lines, b"last"]
    writer.close()
    reader.close()


def test_a_block_that_was_cut_off_says_so(tmp_path: Path) -> None:
    path = tmp_path / "blocks"
    writer = BlockWriter(path)
    place = writer.add(b"x" * 10_000)
    writer.close()
    path.write_bytes(path.read_bytes()[:-3])
    reader = BlockReader(path)
    with pytest.raises(ValueError, match="no readable block at byte 0"):
        reader.line(place)
    reader.close()


def test_the_filter_never_forgets_and_seldom_errs() -> None:
    seen = Seen()
    known = [event_id("known", number) for number in range(50_000)]
    assert sum(seen.add(known)) < 100
    assert all(seen.add(known))
    assert sum(seen.add([event_id("new", number) for number in range(50_000)])) < 500


def test_the_filter_takes_ids_of_any_form() -> None:
    seen = Seen()
    assert seen.add(["", "zz", "ü" * 30]) == [False, False, False]
    assert seen.add(["zz", "other"]) == [True, False]


@pytest.mark.parametrize(
    ("time", "existing", "expected"),
    [
        ("2026-11-24T05:17:44.000Z", set(), "2026.11.24"),
        ("2026-11-01T00:00:00.000Z", set(), "2026.11.01"),
        ("2026-10-01T00:00:00.000Z", set(), "2026.10"),
        ("2026-10-01T00:00:00.000Z", {"2026.10.01"}, "2026.10.01"),
        ("1999-12-31T23:59:59.999Z", set(), "1999.12"),
    ],
)
def test_an_event_belongs_to_one_index(time: str, existing: set[str], expected: str) -> None:
    micros = to_micros(time)
    name = index_name(micros, datetime(2026, 11, 24, 12, tzinfo=UTC), existing)
    assert name == expected
    span = covers(name)
    assert span is not None
    assert span[0] <= micros < span[1]
