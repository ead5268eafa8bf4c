"""Frames: what is packed is unpacked; what is no frame is poison, and costs no memory."""

import subprocess
import sys

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pipeline.frame import MAX_FRAME_BYTES, MAX_UNPACKED_BYTES, PoisonFrame, pack, unpack

lines = st.lists(st.binary(min_size=1, max_size=300).map(lambda raw: raw.replace(b"\n", b" ")), max_size=50)


@given(lines)
def test_what_is_packed_is_unpacked(given_lines: list[bytes]) -> None:
    frames = list(pack("test", given_lines))
    assert [line for frame in frames for line in unpack(frame.payload)] == given_lines
    assert sum(frame.events for frame in frames) == len(given_lines)


@given(st.lists(st.integers(1, MAX_FRAME_BYTES), max_size=6))
def test_no_frame_is_above_the_cap_and_none_could_take_the_next_line(sizes: list[int]) -> None:
    frames = [unpack(frame.payload) for frame in pack("test", [b"x" * size for size in sizes])]
    totals = [sum(len(line) + 1 for line in frame) for frame in frames]
    assert all(total <= MAX_FRAME_BYTES + 1 for total in totals)
    for total, following in zip(totals, frames[1:], strict=False):
        assert total + len(following[0]) + 1 > MAX_FRAME_BYTES


@given(st.binary(max_size=400))
def test_any_bytes_are_lines_or_poison(payload: bytes) -> None:
    for candidate in (payload, b"\x28\xb5\x2f\xfd" + payload):
        try:
            assert b"\n" not in b"".join(unpack(candidate))
        except PoisonFrame as error:
            assert "zstd" in str(error) or "unpacks to" in str(error)


def test_a_cut_frame_is_poison_also_when_it_does_not_tell_its_size() -> None:
    compressor = zstandard.ZstdCompressor().compressobj()
    payload = compressor.compress(b"line\n" * 1000) + compressor.flush()
    assert len(unpack(payload)) == 1000
    with pytest.raises(PoisonFrame):
        unpack(payload[:-3])


def test_a_second_frame_behind_the_first_is_not_dropped_in_silence() -> None:
    compressor = zstandard.ZstdCompressor()
    with pytest.raises(PoisonFrame):
        unpack(compressor.compress(b"a") + compressor.compress(b"b"))


def test_plain_lines_are_a_frame_whatever_their_line_ends() -> None:
    assert unpack(b'{"a":1}\n\n{"b":2}') == [b'{"a":1}', b'{"b":2}']


@pytest.mark.parametrize("told", [True, False], ids=["size in the header", "no size"])
def test_a_bomb_takes_no_memory(told: bool) -> None:
    code = f"""
import resource, zstandard
from pipeline.frame import PoisonFrame, unpack
if {told}:
    bomb = zstandard.ZstdCompressor().compress(bytes(300_000_000))
else:
    squeeze = zstandard.ZstdCompressor().compressobj()
    bomb = b"".join(squeeze.compress(bytes(1_000_000)) for _ in range(300)) + squeeze.flush()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open("/proc/self/clear_refs", "w") as file: file.write("5")
try:
    unpack(bomb)
except PoisonFrame:
    peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(peak * 1000)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20 * MAX_UNPACKED_BYTES
