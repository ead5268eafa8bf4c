"""Syslog framing: whatever the pieces, the messages are the same; counts that lie and endless lines stay bounded."""

import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.syslog_framing import Framing

_LIMIT = 40


def _all(pieces: list[bytes], limit: int = _LIMIT) -> list[bytes]:
    framing = Framing(limit)
    messages = [message for piece in pieces for message in framing.feed(piece)]
    return messages + framing.end()


@pytest.mark.parametrize(
    ("stream", "messages"),
    [
        (b"<13>one\n<13>two\n", [b"<13>one", b"<13>two"]),
        (b"<13>one\r\n<13>two\r\n", [b"<13>one", b"<13>two"]),
        (b"<13>one\0<13>two\0", [b"<13>one", b"<13>two"]),
        (b"<13>one\n\n\r\n\n<13>two\n", [b"<13>one", b"<13>two"]),
        (b"7 <13>one7 <13>two", [b"<13>one", b"<13>two"]),
        (b"8 <13>one\n7 <13>two", [b"<13>one", b"<13>two"]),
        (b"9 <13>a\nb\nc7 <13>two", [b"<13>a\nb\nc", b"<13>two"]),
        (b"7 <13>one<13>two\n7 <13>six", [b"<13>one", b"<13>two", b"<13>six"]),
        (b"2026-11-24 no priority\n12 monkeys\n", [b"2026-11-24 no priority", b"12 monkeys"]),
        (b"0 foo\n0 <13>a\n", [b"0 foo", b"<13>a"]),
        (b"12345678 <13>a\n", [b"12345678 <13>a"]),
        (b"<13>unfinished", [b"<13>unfinished"]),
        (b"30 <13>less than its count", [b"<13>less than its count"]),
        (b"<13>" + b"x" * 100 + b"\n<13>next\n", [b"<13>" + b"x" * 37, b"<13>next"]),
        (b"104 <13>" + b"x" * 100 + b"7 <13>two", [b"<13>" + b"x" * 37, b"<13>two"]),
        (b"", []),
        (b"\n\r\n\0", []),
    ],
)
def test_messages_of_a_stream(stream: bytes, messages: list[bytes]) -> None:
    assert _all([stream]) == messages
    assert _all([stream[at : at + 1] for at in range(len(stream))]) == messages


_PARTS = st.sampled_from(
    [b"<13>one", b"<13>" + b"y" * 50, b"\n", b"\r\n", b"\0", b"\r", b"7 <13>one", b"0 ", b"9999999 <1>", b"12345678 ",
     b"5 ", b"<", b"3", b" ", b"\xff\xfe", "thử".encode()]
)  # fmt: skip


@given(st.lists(_PARTS | st.binary(max_size=12), max_size=25).map(b"".join), st.lists(st.integers(0, 400), max_size=12))
def test_any_split_of_any_stream_gives_the_same_messages(stream: bytes, cuts: list[int]) -> None:
    places = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    pieces = [stream[begin:end] for begin, end in itertools.pairwise(places)]
    assert _all(pieces) == _all([stream])
    assert all(len(message) <= _LIMIT + 1 for message in _all(pieces))


@pytest.mark.parametrize("start", [b"", b"<13>", b"9999999 <13>"])
def test_a_line_of_100_megabytes_takes_the_memory_of_its_beginning(start: bytes) -> None:
    framing = Framing(131_072)
    piece = b"a" * 65_536
    tracemalloc.start()
    messages = framing.feed(start)
    for _ in range(100_000_000 // len(piece)):
        messages += framing.feed(piece)
    messages += framing.feed(b"\n<13>next\n")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000
    assert len(messages[0]) == 131_073
    assert messages[-1] == b"<13>next"
