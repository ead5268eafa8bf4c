"""Hostile input: nothing raises, and time grows with length only."""

import time
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.decoders import DECODERS, Fields, Hints, decode, decode_object, decode_windows
from collectors.decoders.text import to_text

NOW = datetime(2026, 11, 24, 5, 17, 44, tzinfo=UTC)
MEGABYTE = 1_000_000
SECONDS_FOR_A_MEGABYTE = 1.0
"""A wide margin for a busy machine: linear decoders need some 20 ms."""

DATASETS = [
    None,
    *sorted({name for decoder in DECODERS for name in decoder.datasets}),
    "linux.auth",
]

HEADS = [
    "",
    "<13>Nov 24 05:17:44 h sshd[1]: ",
    "<13>Nov 24 05:17:44 h sudo: ",
    "<13>Nov 24 05:17:44 h kernel: ",
    "<13>Nov 24 05:17:44 h CRON[1]: ",
    "<13>Nov 24 05:17:44 h systemd[1]: ",
    "<13>1 2026-11-24T05:17:44Z h a 1 - [",
    "CEF:0|",
    "CEF:0|a|b|c|d|e|1|",
    "LEEF:2.0|a|b|c|d|^|",
    '203.0.113.5 - - [24/Nov/2026:12:17:44 +0700] "',
    "[Sun Dec 04 04:47:44 2005] [error] ",
    "2026/11/24 05:17:44 [error] 1#1: *1 ",
    "type=EXECVE msg=audit(1364481363.243:24287): ",
    "a=1 b=2 c=",
    "IN=eth0 OUT= SRC=10.0.0.1 ",
    "<13>Nov 24 05:17:44 h sshd[1]: Failed password for x",
    "<13>Nov 24 05:17:44 h sshd[1]: Connection closed by invalid user ",
    "<13>Nov 24 05:17:44 h sshd[1]: Disconnecting ",
    "<13>Nov 24 05:17:44 h sshd[1]: error: PAM: x for ",
    "<13>Nov 24 05:17:44 h sshd[1]: Bad protocol version identification ",
    "<13>Nov 24 05:17:44 h sshd[1]: message repeated 2 times: [ ",
    "<13>Nov 24 05:17:44 h app: pam_unix(sshd:auth): authentication failure; ",
    '{"a":"',
]
FILLS = [
    "a",
    " ",
    "\\",
    '"',
    "|",
    "=",
    "a=",
    " a=b",
    " from x",
    " for x from",
    "\\x",
    "[",
    "(",
    "-",
    ":",
    ' a="',
    " [a",
    "0",
    "é",
    "a b=\\=c ",
    " user a port ",
    ", client: ",
    "; ",
    " : ",
]


@pytest.mark.parametrize("head", HEADS)
def test_a_megabyte_of_anything_is_read_in_linear_time(head: str) -> None:
    for fill in FILLS:
        text = head + fill * (MEGABYTE // len(fill))
        started = time.process_time()
        fields = decode(text, Hints(syslog=True), NOW)
        spent = time.process_time() - started
        assert spent < SECONDS_FOR_A_MEGABYTE, (head, fill, spent)
        assert "decoder failed" not in fields.get("error.message", "")
        assert isinstance(fields["message"], str)


@pytest.mark.parametrize("dataset", DATASETS)
def test_named_decoders_are_linear_too(dataset: str | None) -> None:
    for fill in FILLS:
        started = time.process_time()
        decode(fill * (MEGABYTE // len(fill)), Hints(dataset=dataset), NOW)
        assert time.process_time() - started < SECONDS_FOR_A_MEGABYTE, (dataset, fill)


@pytest.mark.parametrize("fill", [b"\xe1", b"\xc3\xa1\xff", b"a\x00", b"\xd0 ", b"\x81", b"o\xf9 "])
def test_encoding_guess_is_linear(fill: bytes) -> None:
    started = time.process_time()
    to_text(fill * (MEGABYTE // len(fill)))
    assert time.process_time() - started < SECONDS_FOR_A_MEGABYTE


def test_what_is_behind_the_parsed_part_stays_in_the_message() -> None:
    text = "<13>Nov 24 05:17:44 h sshd[1]: Failed password for " + "x" * 200_000 + " end"
    assert decode(text, Hints(), NOW)["message"].endswith("xxx end")


def test_large_json_is_read_whole() -> None:
    fields = decode('{"msg":"' + "x" * 200_000 + '","user":{"name":"nam"}}', Hints(), NOW)
    assert fields["user.name"] == "nam"


PIECES = st.sampled_from([head.strip() for head in HEADS] + FILLS)
LINES = st.one_of(
    st.text(max_size=300),
    st.lists(st.one_of(PIECES, st.text(max_size=20)), max_size=8).map("".join),
)
HINTS = st.builds(Hints, dataset=st.sampled_from([*DATASETS, "text", "no.such"]), syslog=st.booleans())
NAME_TEXT = """
Event System EventData UserData winlog channel EventID Channel @timestamp host Keywords Provider
#attributes #text Data event_data Image message
"""
NAMES = NAME_TEXT.split()
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(
                st.text(max_size=10),
                st.sampled_from(NAMES),
            ),
            inner,
            max_size=6,
        ),
    ),
    max_leaves=25,
)


PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _is_event(fields: Fields) -> None:
    assert isinstance(fields["event.dataset"], str)
    assert isinstance(fields["message"], str)
    assert "decoder failed" not in str(fields.get("error.message", ""))
    assert orjson.dumps(fields)


@PATIENT
@given(LINES, HINTS)
def test_no_text_raises(text: str, hints: Hints) -> None:
    _is_event(decode(text, hints, NOW))


@PATIENT
@given(st.dictionaries(st.text(max_size=10), JSON, max_size=6))
def test_no_object_raises(obj: dict[str, Any]) -> None:
    _is_event(decode_object(obj, Hints(), NOW))


@PATIENT
@given(JSON, JSON, JSON)
def test_no_windows_record_raises(system: Any, data: Any, user_data: Any) -> None:
    record = {"Event": {"System": system, "EventData": data, "UserData": user_data}}
    _is_event(decode_windows(record))
    _is_event(decode_object(record, Hints(), NOW))


@PATIENT
@given(st.dictionaries(st.sampled_from(["Channel", "EventID", "Image", "Keywords", "Level"]), JSON))
def test_no_flat_windows_event_raises(obj: dict[str, Any]) -> None:
    _is_event(decode_object({"EventID": 1, **obj}, Hints(), NOW))
    _is_event(decode_object({"winlog.channel": "Security", **obj}, Hints(), NOW))
