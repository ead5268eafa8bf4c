"""Files read whole: every format by its content, packed or not; the same content gives the same ids."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard

from collectors.decoders import Hints
from collectors.envelope import Origin
from collectors.reading import Unreadable, read_file
from pipeline.event import MAX_EVENT_BYTES

_SYSLOG = "Nov 24 12:00:00 may-chu sshd[7]: Failed password for root from 203.0.113.9 port 4 ssh2\n"


def _read(path: Path, encoding: str = "auto", limit: int = 131_072) -> list[dict[str, Any]]:
    origin = Origin("import", "may-thu", "vn", Hints(), encoding)
    return [orjson.loads(line) for lines, _ in read_file(path, origin, limit) for line in lines]


def _write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "dataset", "count"),
    [
        (_SYSLOG * 3, "linux.auth", 3),
        ('{"n": 1}\n{"n": 2}\n', "json", 2),
        ('[{"n": 1},\n {"n": 2}, 3]', "json", 3),
        ('{\n "n": 1\n}', "json", 1),
        ("CEF:0|Hãng|Tường lửa|1|100|Chặn|5|src=203.0.113.9\n", "cef", 1),
        ("một dòng\nhai dòng", "text", 2),
        ("[2026-11-24] không phải JSON\n", "text", 1),
    ],
)
def test_each_format_is_known_by_its_content(tmp_path: Path, content: str, dataset: str, count: int) -> None:
    events = _read(_write(tmp_path / "file", content))
    assert len(events) == count
    assert events[0]["event.dataset"] == dataset
    for name, packed in (("gz", gzip.compress), ("zst", zstandard.compress)):
        same = _read(_write(tmp_path / f"file.{name}", packed(content.encode())))
        assert [event["event.id"] for event in same] == [event["event.id"] for event in events]
    with_mark = _read(_write(tmp_path / "mark", b"\xef\xbb\xbf" + content.encode()))
    assert [event["event.dataset"] for event in with_mark] == [event["event.dataset"] for event in events]
    wide = _read(_write(tmp_path / "wide", "\ufeff".encode("utf-16-le") + content.encode("utf-16-le")))
    assert [event.get("message") for event in wide] == [event.get("message") for event in events]


_INDENTED = [json.dumps({"n": n, "Event": {"x": ["{", "\u1ec7"]}}, indent=2, ensure_ascii=False) for n in range(3)]


@pytest.mark.parametrize(
    ("content", "numbers"),
    [
        (_INDENTED[0], [0]),
        ("\n".join(_INDENTED), [0, 1, 2]),
        ("\n\n  ".join(_INDENTED) + "\n\n", [0, 1, 2]),
        ("\r\n".join(_INDENTED).replace("\n", "\r\n"), [0, 1, 2]),
        ("".join(_INDENTED), [0, 1, 2]),
        (",\n".join(_INDENTED), [0, 1, 2]),
        ('{"n": 0} {"n": 1}\n{"n": 2}', [0, 1, 2]),
        ("[\n" + ",\n".join(_INDENTED) + "\n]\n", [0, 1, 2]),
        ("[\n" + _INDENTED[0] + "\n]\n[\n" + _INDENTED[1] + "\n]\n", [0, 1]),
        (_INDENTED[0] + '\n{\n "n": ]\n}\n' + _INDENTED[2], [0, None, 2]),
        (_INDENTED[0] + "\n" + _INDENTED[1][:20], [0, None]),
        ('{\n"n": 0}\n' + '{"a":' * 20_000 + "1" + "}" * 20_000, [0, None]),
        ('{"n": \n{"n": 1}\n{"n": 2}\n', [None, 1, 2]),
        ("[1] một\n[2] hai\n", [None, None]),
    ],
)
def test_json_over_several_lines_is_one_event_an_object(
    tmp_path: Path, content: str, numbers: list[int | None]
) -> None:
    events = _read(_write(tmp_path / "a.json", content))
    assert [event.get("n") for event in events] == numbers
    assert [event["event.sequence"] for event in events] == list(range(1, len(numbers) + 1))
    assert all("n" in event or "error.message" in event or content[0] == "[" for event in events)


def test_indented_json_that_is_too_large_is_read_by_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collectors.reading._MAX_ARRAY_BYTES", 50)
    assert len(_read(_write(tmp_path / "a", "\n".join(_INDENTED)))) > 3


def test_a_file_of_text_and_binary_mixed_is_refused_as_a_whole(tmp_path: Path) -> None:
    parts = [b"%PDF-1.5"]
    for number in range(50):
        parts += [b"%d 0 obj" % number, b"<< /Length 300 >>", b"stream", os.urandom(300), b"endstream", b"endobj"]
    with pytest.raises(Unreadable, match="neither text nor a format that is known"):
        _read(_write(tmp_path / "a.pdf", b"\n".join(parts)))


def test_a_few_binary_lines_among_text_are_events_that_say_so(tmp_path: Path) -> None:
    events = _read(_write(tmp_path / "a", (_SYSLOG * 3).encode() + b"\x00\x01\x02\xff" * 9 + b"\n" + _SYSLOG.encode()))
    assert [event["event.dataset"] for event in events] == [*["linux.auth"] * 3, "binary", "linux.auth"]


def test_the_same_content_under_another_name_gives_the_same_ids(tmp_path: Path) -> None:
    first, second = (_read(_write(tmp_path / name, _SYSLOG * 2)) for name in ("a", "b"))
    assert [event["event.id"] for event in first] == [event["event.id"] for event in second]
    assert len({event["event.id"] for event in first}) == 2


def test_utf_16_without_a_mark_is_read_when_told(tmp_path: Path) -> None:
    events = _read(_write(tmp_path / "a", "một\r\nhai\r\n".encode("utf-16-be")), encoding="utf-16-be")
    assert [event["message"] for event in events] == ["một", "hai"]


def test_windows_records_are_read_packed_too(tmp_path: Path, shared_data: Path) -> None:
    small = min((shared_data / "evtx" / "EVTX-ATTACK-SAMPLES").rglob("*.evtx"), key=lambda path: path.stat().st_size)
    events = _read(small)
    packed = _read(_write(tmp_path / "a.evtx.gz", gzip.compress(small.read_bytes())))
    assert events
    assert [event["event.id"] for event in packed] == [event["event.id"] for event in events]
    assert packed[0]["log.file.path"] == str(tmp_path / "a.evtx.gz")


def test_what_came_before_the_break_is_taken(tmp_path: Path) -> None:
    packed = gzip.compress("".join(f"line {number}\n" for number in range(50_000)).encode())
    path = _write(tmp_path / "a.gz", packed[: len(packed) // 2])
    found = []
    with pytest.raises(Unreadable, match=r"ends in the middle; what came before is taken in"):
        for lines, _ in read_file(path, Origin("import", "m", "vn"), 1000):
            found += lines
    assert 10_000 < len(found) < 50_000


def test_a_broken_line_says_so_and_a_long_one_too(tmp_path: Path) -> None:
    events = _read(_write(tmp_path / "a", b'{"n": 1}\n{"n": \n' + b"x" * 5000 + b"\nend\n"), limit=1000)
    assert "no JSON object" in events[1]["error.message"]
    assert (len(events[2]["message"]), events[3]["message"]) == (1000, "end")
    assert "longer than 1000 bytes" in events[2]["error.message"]


def test_a_json_line_longer_than_an_event_may_be_says_that(tmp_path: Path) -> None:
    first, second = _read(_write(tmp_path / "a", b'{"n": "' + b"x" * MAX_EVENT_BYTES + b'"}\n{"n": 2}\n'))
    assert f"JSON line longer than {MAX_EVENT_BYTES} bytes" in first["error.message"]
    assert second["n"] == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bytes(range(256)) * 100, "neither text nor a format that is known"),
        (b"\x7fELF" + bytes(1000), "neither text"),
        (b"ElfFile\0" + b"broken" * 100, r"."),
        (b"\x1f\x8bnot gzip after all", "broken gzip"),
        (b"\x28\xb5\x2f\xfdnot zstd after all", "broken zstd"),
    ],
)
def test_a_file_of_no_known_kind_is_refused_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        _read(_write(tmp_path / "a", content))


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collectors.reading._MAX_SMALL", 1_000_000)
    with pytest.raises(Unreadable, match="bomb"):
        _read(_write(tmp_path / "a.gz", gzip.compress(bytes(10_000_000))))


def test_a_pipe_and_a_device_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(Unreadable, match="not a regular file"):
            _read(path)


def test_what_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"^No such file or directory$"):
        _read(tmp_path / "missing")


def test_an_evtx_that_is_cut_off_says_how_much_is_missing(tmp_path: Path, shared_data: Path) -> None:
    whole = max((shared_data / "evtx" / "DeepBlueCLI").glob("*.evtx"), key=lambda path: path.stat().st_size)
    cut = tmp_path / "cut.evtx"
    cut.write_bytes(whole.read_bytes()[: 4096 + 65_536 + 30_000])
    events: list[bytes] = []
    with pytest.raises(Unreadable, match=r"its last \d+ chunks are missing; what came before is taken in"):
        for lines, _ in read_file(cut, Origin("import", "may-thu", "vn", Hints(), "auto"), 131_072):
            events += lines
    assert events


def test_an_empty_file_has_no_events(tmp_path: Path) -> None:
    assert _read(_write(tmp_path / "a", "")) == []
    assert _read(_write(tmp_path / "b", "\n\n  \n")) == []
    assert _read(_write(tmp_path / "c.gz", gzip.compress(b""))) == []
    assert _read(_write(tmp_path / "d", json.dumps([]))) == []
