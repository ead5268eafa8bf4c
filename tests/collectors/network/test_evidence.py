"""Packets as evidence: what is recorded of flows, what of it an alert takes, and what happens to disks and files."""

import io
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.all import IP, TCP, UDP, Dot1Q, Ether, IPv6, PcapReader, Raw, rdpcap, wrpcap
from sqlalchemy import Engine, select

from collectors.network.bench import made_up
from collectors.network.capture_files import packets
from collectors.network.evidence import CUT, Recorder, Wanted, files_of, packets_of
from collectors.network.evidence_keeper import EvidenceKeeper, wanted_of
from pipeline.command import main
from pipeline.event import Event, from_micros, to_micros
from pipeline.evidence import captures_of
from pipeline.state import open_state
from pipeline.state.tables import alerts, evidence
from response.queue import row, save

START = 1_790_000_000
MACS = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
MADE = made_up(50)
A, B = bytes((10, 0, 0, 5)), bytes((203, 0, 113, 9))


def recorded(folder: Path, frames: list[Any], megabytes: int = 8) -> list[Any]:
    """Record frames, and read what was kept with scapy."""
    capture = folder / "in.pcap"
    for number, frame in enumerate(frames):
        frame.time = START + number / 100
    wrpcap(str(capture), frames)
    data = capture.read_bytes()
    recorder = Recorder(folder / "kept", megabytes)
    places = list(packets(data))
    for at in range(0, len(places), 100):
        recorder.take(data, places[at : at + 100])
    recorder.close()
    return [bytes(packet) for path in files_of(folder / "kept") for packet in rdpcap(str(path))]


def read(capture: bytes) -> list[Any]:
    """Read a capture with scapy."""
    with PcapReader(io.BytesIO(capture)) as found:
        return list(found)


def frame(source: str, destination: str, port: int, size: int, number: int = 0) -> Any:
    head = IPv6(src=source, dst=destination) if ":" in source else IP(src=source, dst=destination, id=number)
    return MACS / head / TCP(sport=port, dport=443, seq=number, flags="A") / Raw(b"x" * size)


@pytest.mark.parametrize("sides", [("10.0.0.5", "203.0.113.9"), ("fd00::5", "2001:db8::9")])
def test_of_each_direction_the_beginning_is_kept(tmp_path: Path, sides: tuple[str, str]) -> None:
    source, destination = sides
    frames = []
    for number in range(300):
        frames += [frame(source, destination, 5000, 1000, number), frame(destination, source, 5000, 10, number)]
        frames += [frame(source, destination, 6000 + number, 100, number)]
    kept = recorded(tmp_path, frames)
    counts = {
        size: sum(1000 + size < len(each) + 1000 <= 1000 + size + 90 for each in kept) for size in (1000, 10, 100)
    }
    assert CUT // 1100 <= counts[1000] <= CUT // 1000 + 100  # a block of a hundred packets is judged at once
    assert counts[1000] < 150
    assert counts[10] == counts[100] == 300


def test_a_tagged_flow_is_one_flow_and_what_is_no_ip_is_kept(tmp_path: Path) -> None:
    tagged = [
        MACS / Dot1Q(vlan=7) / IP(src="10.0.0.5", dst="10.0.0.6", id=n) / UDP() / Raw(b"x" * 1000) for n in range(300)
    ]
    others = [
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x88CC) / Raw(b"y" * 100) for _ in range(300)
    ]
    kept = recorded(tmp_path, [each for pair in zip(tagged, others, strict=True) for each in pair])
    assert sum(b"xxxx" in each for each in kept) < 150
    assert sum(b"yyyy" in each for each in kept) in range(30, 301)  # as one flow: nobody knows what it is


def test_the_folder_is_bounded_and_the_newest_stays(tmp_path: Path) -> None:
    data = made_up(60_000)
    recorder = Recorder(tmp_path, 8)
    places = list(packets(data))
    for at in range(0, len(places), 2000):
        recorder.take(data, places[at : at + 2000])
    recorder.close()
    assert sum(path.stat().st_size for path in files_of(tmp_path)) <= 8_100_000
    last = places[-1][0]
    found, count, full = packets_of(tmp_path, Wanted(last - 1_000, last, ()), 1_000_000)
    assert (count > 0, full) == (True, False)
    assert len(read(found)) == count


def test_a_full_disk_costs_only_the_evidence(tmp_path: Path) -> None:
    data = made_up(100)
    recorder = Recorder(tmp_path / "here", 8)
    (tmp_path / "here").rmdir()
    recorder.take(data, list(packets(data)))
    assert recorder.fault
    (tmp_path / "here").mkdir()
    recorder.take(data, list(packets(data)))
    assert not recorder.fault
    recorder.close()
    assert files_of(tmp_path / "here")


@given(st.binary(max_size=400), st.integers(0, 300))
@settings(max_examples=50)
def test_files_that_are_cut_or_rubbish_are_read_as_far_as_they_go(rubbish: bytes, cut: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder), 8)
        recorder.take(MADE, list(packets(MADE)))
        recorder.close()
        (path,) = files_of(Path(folder))
        path.write_bytes(path.read_bytes()[: -cut or None])
        (Path(folder) / f"{START:020}.pcap").write_bytes(rubbish)
        found, count, _ = packets_of(Path(folder), Wanted(0, 2**62, ()), 1_000_000)
        assert len(read(found)) == count <= 50


# Alerts


def alert(number: int, at: float, **fields: Any) -> Event:
    return {
        "@timestamp": from_micros(round(at * 1e6)), "event.id": f"{number:024}", "rule.id": "r", "rule.name": "r",
        "rule.level": "high", "alert.evidence": [], **fields,
    }  # fmt: skip


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_state(tmp_path / "data")


def test_an_alert_names_its_packets() -> None:
    one = alert(1, START, **{"source.ip": "10.0.0.5", "destination.ip": "203.0.113.9"})
    one["alert.evidence"] = [
        {"event.start": from_micros((START - 60) * 1_000_000)},
        {"@timestamp": 5},
        {"event.start": "x"},
    ]
    wanted = wanted_of(one)
    assert wanted == Wanted((START - 70) * 1_000_000, (START + 10) * 1_000_000, (A, B))
    assert wanted_of(alert(1, START)) is None
    assert wanted_of(alert(1, START, **{"source.ip": "PC-7"})) is None


def test_the_packets_of_an_alert_are_kept_with_it(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectors.network.evidence_keeper._AFTER", 0.0)
    frames = [frame("10.0.0.5", "203.0.113.9", 5000, 10, n) for n in range(9)]
    frames += [frame("10.0.0.7", "203.0.113.9", 5000, 10, n) for n in range(9)]
    recorded(tmp_path, frames)
    keeper = EvidenceKeeper(engine, {"eth1": tmp_path / "kept"}, 10)
    both = {"source.ip": "10.0.0.5", "destination.ip": "203.0.113.9"}
    with engine.begin() as connection:
        found = [
            alert(1, START, **both),
            alert(2, START - 9000, **both),
            alert(3, START, **{"source.ip": "10.9.9.9"}),
            alert(4, START),
        ]
        save(connection, [row(each, "test") for each in found])
    time.sleep(0.01)
    keeper.look()
    keeper.look()
    assert (keeper.kept, list(captures_of(engine, f"{2:024}"))) == (1, [])
    (data,) = captures_of(engine, f"{1:024}").values()
    kept = read(data)
    assert [each[IP].src for each in kept] == ["10.0.0.5"] * 9
    assert [round(float(each.time) * 100) for each in kept] == [START * 100 + n for n in range(9)]


def test_the_command_says_what_it_leaves_out_and_what_it_cannot_write(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HAIDANG_LANGUAGE", "en")
    monkeypatch.setattr("collectors.network.evidence_keeper._AFTER", 0.0)
    recorded(tmp_path, [frame("10.0.0.5", "203.0.113.9", 5000, 10, n) for n in range(9)])
    keeper = EvidenceKeeper(engine, {"eth1": tmp_path / "kept"}, 10)
    with engine.begin() as connection:
        save(connection, [row(alert(1, START, **{"source.ip": "10.0.0.5"}), "test")])
    time.sleep(0.01)
    keeper.look()
    assert main(["evidence", f"{1:024}", "--limit", "4"]) == 0
    out = capsys.readouterr().out
    assert (out.count("IP / TCP"), "4 of 9 packets" in out) == (4, True)
    assert main(["evidence", f"{1:024}"]) == 0
    assert " of 9 packets" not in capsys.readouterr().out
    assert main(["evidence", f"{1:024}", "--output", str(tmp_path / "none" / "a.pcap")]) == 2
    assert "none/a.pcap cannot be written: No such file" in capsys.readouterr().err


def test_what_is_kept_is_bounded_and_the_oldest_goes(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectors.network.evidence_keeper._AFTER", 0.0)
    frames = [frame("10.0.0.5", "203.0.113.9", 5000, 10, n) for n in range(200)]
    recorded(tmp_path, frames)
    keeper = EvidenceKeeper(engine, {"eth1": tmp_path / "kept"}, 10)
    keeper._most = 10_000
    for number in range(120):
        with engine.begin() as connection:
            save(connection, [row(alert(number, START, **{"source.ip": "10.0.0.5"}), "test")])
        if number % 40 == 39:
            time.sleep(0.01)
            keeper.look()
    with engine.connect() as connection:
        rows = connection.execute(select(evidence.c.alert, evidence.c.size).order_by(evidence.c.alert)).all()
        assert connection.scalar(select(alerts.c.id).limit(1))
    assert 0 < sum(each.size for each in rows) <= 10_000
    assert rows[-1].alert == f"{119:024}"
    assert to_micros(from_micros(START)) == START
