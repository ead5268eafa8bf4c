"""Compressed bodies and lines: bombs, joined members, streams cut off, lines that never end."""

import gzip
import itertools
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from collectors.unpacking import Lines, TooLarge, Unpacker

_PLAIN = b"".join(b"line %d of many\n" % number for number in range(3000))
_PACKED = {
    "gzip": gzip.compress(_PLAIN),
    "x-gzip": gzip.compress(_PLAIN),
    "deflate": zlib.compress(_PLAIN),
    "zstd": zstandard.compress(_PLAIN),
    "identity": _PLAIN,
    "": _PLAIN,
}


def _unpack(encoding: str, packed: bytes, limit: int = 10_000_000, step: int = 1000) -> bytes:
    unpacker = Unpacker(encoding, limit)
    plain = b"".join(piece for at in range(0, len(packed), step) for piece in unpacker.feed(packed[at : at + step]))
    unpacker.end()
    return plain


@pytest.mark.parametrize("encoding", _PACKED)
@pytest.mark.parametrize("step", [1, 1000, 10_000_000])
def test_each_encoding_unpacks_in_any_pieces(encoding: str, step: int) -> None:
    assert _unpack(encoding, _PACKED[encoding], step=step) == _PLAIN


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_joined_members_are_one_stream(encoding: str, step: int) -> None:
    packed = _PACKED[encoding] * 2 + (b"\0" * 5 if encoding == "gzip" else b"") + _PACKED[encoding]
    assert _unpack(encoding, packed, step=step) == _PLAIN * 3


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_a_stream_that_is_cut_off_or_broken_is_refused(encoding: str) -> None:
    with pytest.raises(ValueError, match=f"broken {encoding}"):
        _unpack(encoding, _PACKED[encoding][:-10])
    with pytest.raises(ValueError, match=f"broken {encoding}"):
        _unpack(encoding, _PACKED[encoding] + b"and more")
    with pytest.raises(ValueError, match=f"broken {encoding}"):
        _unpack(encoding, b"not at all packed")


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(ValueError, match="'br' is not one of"):
        Unpacker("br", 1000)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_stops_at_the_limit_and_stays_small(encoding: str) -> None:
    zeros = bytes(300_000_000)
    bomb = gzip.compress(zeros, 6) if encoding == "gzip" else zstandard.compress(zeros)
    del zeros
    unpacker = Unpacker(encoding, 64_000_000)
    tracemalloc.start()
    came = 0
    with pytest.raises(TooLarge):
        for piece in unpacker.feed(bomb):
            came += len(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert came <= 64_000_000
    assert peak < 40_000_000


@given(
    st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b" ", b"\xef\xbb\xbf", b"x" * 30]), max_size=30).map(b"".join),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_lines_do_not_depend_on_the_pieces(text: bytes, cuts: list[int]) -> None:
    def lines(pieces: list[bytes]) -> list[bytes]:
        reader = Lines(20)
        return [line for piece in pieces for line in reader.feed(piece)] + reader.end()

    places = sorted({0, *(cut for cut in cuts if cut < len(text)), len(text)})
    pieces = [text[begin:end] for begin, end in itertools.pairwise(places)]
    assert lines(pieces) == lines([text])
    assert all(len(line) <= 21 for line in lines(pieces))


def test_a_line_without_end_keeps_its_beginning_only() -> None:
    reader = Lines(1000)
    found = [line for _ in range(2000) for line in reader.feed(b"z" * 50_000)]
    assert [len(line) for line in found] == [1001]
    assert reader.feed(b"still the same\nnext\n") == [b"next"]
    assert reader.end() == []
