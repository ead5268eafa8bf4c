"""Files that grow, on a real file system: nothing is lost and nothing comes twice, whatever happens to them."""

import asyncio
import gzip
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from collectors import files
from collectors.file_records import PIECE, Reader
from collectors.listening import Listening
from pipeline.settings import FilesSource
from pipeline.state.tables import files as files_table
from tests.collectors.conftest import Bench, until

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def _watching(bench: Bench, pattern: Path | str, **more: Any) -> AsyncIterator[Listening]:
    source = FilesSource(name="logs", paths=[str(pattern)], poll_seconds=0.02, **more)
    async with bench.intake() as intake:
        listening = await files.listen(source, bench.settings, intake)
        try:
            yield listening
        finally:
            await listening.close()


async def _messages(bench: Bench, count: int) -> list[str]:
    """Wait for this many events and return what they say."""
    await until(lambda: len(bench.events()) >= count)
    await asyncio.sleep(0.1)
    return [event["event.original"] for event in bench.events()]


def _append(path: Path, text: str | bytes) -> None:
    with path.open("ab") as file:
        file.write(text.encode() if isinstance(text, str) else text)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LAST_LINE_SECONDS", 0.2)
    monkeypatch.setattr(files, "GONE_SECONDS", 0.5)
    monkeypatch.setattr(files, "_SETTLED_SECONDS", 0.1)


async def test_lines_come_as_the_file_grows_and_new_files_are_found(bench: Bench, tmp_path: Path) -> None:
    _append(tmp_path / "a.log", "one\ntwo\n")
    async with _watching(bench, tmp_path / "**" / "*.log"):
        assert await _messages(bench, 2) == ["one", "two"]
        _append(tmp_path / "a.log", "three\nfo")
        (tmp_path / "deep").mkdir()
        _append(tmp_path / "deep" / "b.log", "other\n")
        assert sorted(await _messages(bench, 4)) == ["one", "other", "three", "two"]
        _append(tmp_path / "a.log", "ur\r\n")
        await _messages(bench, 5)
    last = bench.events()[-1]
    assert (last["event.original"], last["log.offset"]) == ("four", 14)
    assert last["log.file.path"] == str(tmp_path / "a.log")


async def test_a_restart_goes_on_where_it_was(bench: Bench, tmp_path: Path) -> None:
    _append(tmp_path / "a.log", "one\n")
    async with _watching(bench, tmp_path / "*.log"):
        await _messages(bench, 1)
    _append(tmp_path / "a.log", "two\n")
    async with _watching(bench, tmp_path / "*.log"):
        assert await _messages(bench, 2) == ["one", "two"]


async def test_files_that_are_there_already_can_be_left_out(bench: Bench, tmp_path: Path) -> None:
    _append(tmp_path / "old.log", "old\n")
    async with _watching(bench, tmp_path / "*.log", from_start=False):
        await asyncio.sleep(0.1)
        _append(tmp_path / "old.log", "new\n")
        await _messages(bench, 1)
        _append(tmp_path / "later.log", "later\n")
        assert await _messages(bench, 2) == ["new", "later"]


async def test_a_renamed_file_is_read_to_its_end_and_its_successor_from_its_start(
    bench: Bench, tmp_path: Path, quick: None
) -> None:
    log = tmp_path / "a.log"
    _append(log, "one\n")
    async with _watching(bench, log):
        await _messages(bench, 1)
        writer = log.open("ab", buffering=0)
        log.rename(tmp_path / "a.log.1")
        _append(log, "three\n")
        await _messages(bench, 2)
        writer.write(b"two\n")  # by a program that was not told yet
        assert sorted(await _messages(bench, 3)) == ["one", "three", "two"]
        writer.close()
    assert len({event["event.id"] for event in bench.events()}) == 3


async def test_a_file_renamed_within_the_pattern_is_not_read_again(bench: Bench, tmp_path: Path) -> None:
    _append(tmp_path / "a.log", "one\n")
    async with _watching(bench, tmp_path / "a.log*"):
        await _messages(bench, 1)
        (tmp_path / "a.log").rename(tmp_path / "a.log.1")
        _append(tmp_path / "a.log", "two\n")
        assert await _messages(bench, 2) == ["one", "two"]


async def test_a_rotation_while_nobody_watched_loses_nothing(bench: Bench, tmp_path: Path, quick: None) -> None:
    log = tmp_path / "a.log"
    _append(log, "one\n")
    async with _watching(bench, log):
        await _messages(bench, 1)
    _append(log, "two\n")
    log.rename(tmp_path / "a.log.1")
    _append(log, "three\n")
    async with _watching(bench, log):
        assert sorted(await _messages(bench, 3)) == ["one", "three", "two"]


async def test_a_file_cut_to_nothing_starts_anew(bench: Bench, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    _append(log, "one\ntwo\n")
    async with _watching(bench, log):
        await _messages(bench, 2)
        os.truncate(log, 0)
        await asyncio.sleep(0.1)
        _append(log, "one\n")
        assert await _messages(bench, 3) == ["one", "two", "one"]
        os.truncate(log, 0)
        _append(log, "longer than it was before\n")
        await _messages(bench, 4)
    assert len({event["event.id"] for event in bench.events()}) == 4
    with bench.stage.engine.connect() as connection:
        assert len(connection.execute(select(files_table)).all()) == 1


async def test_another_file_with_the_same_inode_is_another_file(bench: Bench, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    _append(log, "one\n")
    async with _watching(bench, log):
        await _messages(bench, 1)
    log.write_bytes(b"new content of the same inode, longer\n")
    async with _watching(bench, log):
        assert (await _messages(bench, 2))[1:] == ["new content of the same inode, longer"]


async def test_the_last_line_needs_no_end_when_the_file_rests(bench: Bench, tmp_path: Path, quick: None) -> None:
    _append(tmp_path / "a.log", "one\nlast")
    async with _watching(bench, tmp_path / "a.log"):
        assert await _messages(bench, 2) == ["one", "last"]
        _append(tmp_path / "a.log", " and more\nnext\n")
        assert (await _messages(bench, 4))[2:] == [" and more", "next"]


async def test_stack_traces_are_one_record(bench: Bench, tmp_path: Path, quick: None) -> None:
    trace = "2026-11-24 ERROR failed\njava.lang.X: oh\n\tat a.b(C.java:1)\n"
    _append(tmp_path / "a.log", f"{trace}2026-11-24 INFO fine\n{trace}")
    async with _watching(bench, tmp_path / "a.log", multiline=r"\d{4}-"):
        found = await _messages(bench, 3)
        assert found == [trace.rstrip("\n"), "2026-11-24 INFO fine", trace.rstrip("\n")]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
async def test_utf_16_is_read_line_by_line(bench: Bench, tmp_path: Path, encoding: str) -> None:
    log = tmp_path / "a.log"
    _append(log, "\ufeffMột dòng\r\n".encode(encoding) + "Hai đĩnh ਊ\r\nhalf".encode(encoding)[:-1])
    async with _watching(bench, log):
        assert await _messages(bench, 2) == ["Một dòng", "Hai đĩnh ਊ"]
        _append(log, "half".encode(encoding)[-1:] + "\r\n".encode(encoding))
        assert (await _messages(bench, 3))[2] == "half"


async def test_utf_16_without_a_mark_is_read_when_the_settings_say_so(bench: Bench, tmp_path: Path) -> None:
    _append(tmp_path / "a.log", "một\r\nhai\r\n".encode("utf-16-le"))
    async with _watching(bench, tmp_path / "a.log", encoding="utf-16"):
        assert await _messages(bench, 2) == ["một", "hai"]


async def test_a_line_longer_than_a_piece_is_one_event_that_says_it_was_cut(bench: Bench, tmp_path: Path) -> None:
    _append(tmp_path / "a.log", b"before\n" + b"x" * (3 * PIECE) + b"\nafter\n")
    async with _watching(bench, tmp_path / "a.log"):
        found = await _messages(bench, 3)
    assert [len(message) for message in found] == [6, 131_072, 5]
    assert "longer than 131072 bytes" in bench.events()[1]["error.message"]


async def test_an_endless_line_waits_for_its_end_without_being_kept(tmp_path: Path) -> None:
    path = tmp_path / "endless"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    with path.open("rb") as file:
        reader, started = Reader(1000), time.monotonic()
        assert reader.next(lambda size, at: os.pread(file.fileno(), size, at), 0, whole=False) is None
        assert reader.next(lambda size, at: os.pread(file.fileno(), size, at), 0, whole=True) is not None
    assert time.monotonic() - started < 5


async def test_a_record_of_long_lines_does_not_stop_the_file(bench: Bench, tmp_path: Path, quick: None) -> None:
    _append(tmp_path / "a.log", b"start\n" + (b"y" * 10_000 + b"\n") * 60 + b"start again\n")
    async with _watching(bench, tmp_path / "a.log", multiline="start"):
        await until(lambda: bench.events() and bench.events()[-1]["event.original"] == "start again")


async def test_a_file_that_cannot_be_read_is_told_and_the_others_are_read(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "broken.log").symlink_to("/proc/self/mem")  # reading its start is an error, also for root
    (tmp_path / "old.log").write_bytes(gzip.compress(b"rotated\n"))
    (tmp_path / "loop.log").symlink_to(tmp_path / "loop.log")
    os.mkfifo(tmp_path / "pipe.log")
    _append(tmp_path / "good.log", "good\n")
    async with _watching(bench, tmp_path / "*.log") as listening:
        assert await _messages(bench, 1) == ["good"]
        await until(lambda: len(listening.failures) == 2)
        await asyncio.sleep(0.1)
        assert "packed" in listening.failures[str(tmp_path / "old.log")]
        assert "Input/output error" in listening.failures[str(tmp_path / "broken.log")]
        (tmp_path / "old.log").write_text("plain now\n")
        await until(lambda: str(tmp_path / "old.log") not in listening.failures)


async def test_a_hundred_thousand_lines(bench: Bench, tmp_path: Path) -> None:
    _append(tmp_path / "a.log", "".join(f"line number {number}\n" for number in range(100_000)))
    async with _watching(bench, tmp_path / "a.log"):
        await until(lambda: bench.ledger("logs").get("out") == 100_000, 30)
    found = Counter(event["event.original"] for event in bench.events())
    assert len(found) == 100_000
    assert set(found.values()) == {1}
    assert bench.ledger("logs") == {"in": 100_000, "out": 100_000}


async def test_evtx_files_are_read_once_and_a_broken_one_is_told(
    bench: Bench, tmp_path: Path, shared_data: Path, quick: None
) -> None:
    small = min((shared_data / "evtx" / "EVTX-ATTACK-SAMPLES").rglob("*.evtx"), key=lambda path: path.stat().st_size)
    (tmp_path / "a.evtx").write_bytes(small.read_bytes())
    (tmp_path / "broken.evtx").write_bytes(small.read_bytes()[:3000])
    async with _watching(bench, tmp_path / "*.evtx") as listening:
        await until(lambda: bench.events() and listening.failures)
        count = len([event for event in bench.events() if event.get("event.kind") != "pipeline_error"])
        assert str(tmp_path / "broken.evtx") in listening.failures
        (tmp_path / "a.evtx").touch()
        await asyncio.sleep(0.5)
        assert len([event for event in bench.events() if event.get("event.kind") != "pipeline_error"]) == count
    assert bench.events()[0]["winlog.channel"]


async def test_names_of_any_bytes_are_taken(bench: Bench, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/nh\xe1t k\xfd.log"
    Path(os.fsdecode(path)).write_text("line\n")
    async with _watching(bench, tmp_path / "*.log") as listening:
        assert await _messages(bench, 1) == ["line"]
        assert not listening.failures


_ZEEK = (
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\t{log}\n#open\t2020-10-06-17-32-56\n"
    "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tconn_state\n"
    "#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\n"
)
_CONN = "160200000{n}.5\tC{n}\t10.0.0.5\t4000{n}\t10.0.0.9\t445\ttcp\tS0\n"


async def test_a_header_of_zeek_holds_after_a_restart_and_after_a_rotation(bench: Bench, tmp_path: Path) -> None:
    log = tmp_path / "conn.log"
    _append(log, _ZEEK.format(log="conn") + _CONN.format(n=1))
    async with _watching(bench, tmp_path / "*.log"):
        await until(lambda: len(bench.events()) == 1)
    _append(log, _CONN.format(n=2))
    async with _watching(bench, tmp_path / "*.log"):
        await until(lambda: len(bench.events()) == 2)
        _append(log, "#close\t2020-10-06-17-33-29\n")
        log.rename(tmp_path / "conn.2020-10-06.log")
        _append(log, _ZEEK.format(log="conn") + _CONN.format(n=3))
        await until(lambda: len(bench.events()) == 3)
        _append(log, '{"ts":1602000004.5,"uid":"C4","id.orig_h":"10.0.0.5","conn_state":"SF","proto":"tcp"}\n')
        await until(lambda: len(bench.events()) == 4)
    events = bench.events()
    assert [event["flow.id"] for event in events] == ["C1", "C2", "C3", "C4"]
    assert {event["event.dataset"] for event in events} == {"zeek.conn"}
    assert not any("error.message" in event for event in events)
    assert bench.ledger("logs") == {"in": 4, "out": 4}


async def test_a_file_that_is_new_from_its_end_still_has_its_header(bench: Bench, tmp_path: Path) -> None:
    log = tmp_path / "conn.log"
    _append(log, _ZEEK.format(log="conn") + _CONN.format(n=1))
    async with _watching(bench, tmp_path / "*.log", from_start=False):
        await asyncio.sleep(0.1)
        _append(log, _CONN.format(n=2))
        await until(lambda: len(bench.events()) == 1)
    assert bench.events()[0]["flow.id"] == "C2"
