"""Events: ids and times that repeat, lines that are always JSON and never too long."""

import sys
from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.event import (
    CUT_TEXT_TO,
    MAX_EVENT_BYTES,
    decode,
    encode,
    event_id,
    format_time,
    from_micros,
    parse_time,
    to_micros,
)

parts = st.lists(st.one_of(st.text(), st.binary(), st.integers()), max_size=4)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=10,
)
moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001


@given(st.text(), parts, parts)
def test_ids_differ_exactly_where_their_parts_differ(source: str, one: list[str], other: list[str]) -> None:
    assert (event_id(source, *one) == event_id(source, *other)) == (list(map(repr, one)) == list(map(repr, other)))
    assert len(event_id(source, *one)) == 24


def test_ids_are_those_of_yesterday() -> None:
    assert event_id("syslog", "a", b"b", 3) == "8591de8a4de17901ae8fe416"


@given(moments)
def test_a_moment_is_read_as_it_was_written(moment: datetime) -> None:
    text = format_time(moment)
    assert parse_time(text) == moment
    assert from_micros(to_micros(text)) == text


@given(moments, st.integers(-14 * 60, 14 * 60))
def test_every_zone_is_the_same_moment(moment: datetime, minutes: int) -> None:
    there = moment.astimezone(timezone(timedelta(minutes=minutes)))
    assert to_micros(there.isoformat()) == to_micros(format_time(moment))


def test_nanoseconds_are_cut() -> None:
    assert to_micros("2026-11-24T05:17:44.123456789Z") == to_micros("2026-11-24T05:17:44.123456Z")
    assert to_micros("2026-11-24T12:17:44.123456789+07:00") == to_micros("2026-11-24T05:17:44.123456Z")


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z", "2026-11-24T05:17:44.²²²Z", "\x00"])
def test_what_is_no_time_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        to_micros(text)


@given(st.dictionaries(st.text(), values, max_size=5))
def test_any_event_is_one_line_of_json(event: dict[str, object]) -> None:
    line = encode(event)
    assert b"\n" not in line
    assert set(decode(line)) == {key.encode("utf-8", "replace").decode() for key in event}


@pytest.mark.parametrize("depth", [10, 300, 5000])
def test_deep_nesting_costs_the_depth_only(depth: int) -> None:
    value: object = "bottom"
    for _ in range(depth):
        value = [value]
    event = decode(encode({"message": "kept", "deep": value}))
    assert event["message"] == "kept"


def test_what_json_lacks_is_written_all_the_same() -> None:
    event = decode(encode({"message": "a\ud800b", "big": 2**70, "small": -(2**63)}))
    assert event == {"message": "a?b", "big": str(2**70), "small": -(2**63)}


@given(st.integers(1, 4), st.integers(MAX_EVENT_BYTES // 4, 2 * MAX_EVENT_BYTES))
def test_a_long_event_is_cut_where_it_is_longest_and_says_so(texts: int, size: int) -> None:
    event = {f"text.{number}": "ạ" * size for number in range(texts)} | {"event.id": "1", "host.name": "may"}
    line = encode(event)
    assert len(line) <= MAX_EVENT_BYTES
    read = decode(line)
    assert (read["event.id"], read["host.name"]) == ("1", "may")
    if len(orjson.dumps(event)) > MAX_EVENT_BYTES:
        assert "cut to fit" in read["error.message"]
        assert min(len(read[f"text.{number}"]) for number in range(texts)) <= CUT_TEXT_TO


def test_an_event_of_a_hundred_thousand_fields_keeps_what_it_is() -> None:
    event = {f"field.{number}": "x" * 20 for number in range(100_000)} | {
        "@timestamp": "2026-11-24T05:17:44Z", "event.id": "1", "event.dataset": "json",
    }  # fmt: skip
    read = decode(encode(event))
    assert read["event.id"] == "1"
    assert read["event.kind"] == "pipeline_error"


@pytest.mark.parametrize("line", [b"[]", b"1", b'"x"', b"{", b"\xff", b"[" * sys.getrecursionlimit() * 5])
def test_what_is_no_object_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode(line)
