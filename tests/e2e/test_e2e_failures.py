"""Processes are killed while events flow: nothing is lost, nothing comes twice, the others go on."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import eventually
from tests.e2e.conftest import Site, is_ours

pytestmark = pytest.mark.slow

FILES = """
[[sources]]
name = "logs"
kind = "files"
paths = ["{folder}/*.log"]
poll_seconds = 0.1
"""


class Writer:
    """A program that writes a numbered line every few milliseconds."""

    def __init__(self, log: Path, word: str) -> None:
        self.log, self.word, self.written = log, word, 0
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._write)

    @contextmanager
    def writing(self) -> Iterator["Writer"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._enough.set()
            self._thread.join()

    def _write(self) -> None:
        with self.log.open("a") as file:
            while not self._enough.wait(0.002):
                for _ in range(5):
                    file.write(f"2026-11-24T05:17:44Z {self.word} line {self.written}\n")
                    self.written += 1
                file.flush()


def check_all_there(site: Site, writer: Writer) -> None:
    site.await_count(f"message:{writer.word}", writer.written, 40)
    balance = eventually(lambda: _adds_up(site.sources()["logs"]))
    assert balance["stored"] >= writer.written
    assert balance["dropped"] == 0


def _adds_up(row: dict[str, Any]) -> dict[str, Any] | None:
    return row if row["received"] == row["stored"] + row["already_stored"] == row["examined"] else None


@pytest.fixture(scope="module")
def files_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("watched")
    site = Site(tmp_path_factory.mktemp("files-site"), sources=FILES.format(folder=folder))
    site.folder = folder  # type: ignore[attr-defined]
    try:
        site.start()
        yield site
        assert site.stop() == 0
    finally:
        site.kill()


@pytest.mark.parametrize("stage", ["collectors", "detectors", "response", "store", "api"])
def test_a_stage_that_is_killed_comes_back_and_nothing_is_lost(files_site: Site, stage: str) -> None:
    log: Path = files_site.folder / f"{stage}.log"  # type: ignore[attr-defined]
    before = files_site.stages()
    with Writer(log, f"killed{stage}").writing() as writer:
        eventually(lambda: writer.written > 500)
        os.kill(before[stage]["pid"], signal.SIGKILL)
        seen = writer.written
        eventually(
            lambda: (row := files_site.stages()[stage])["pid"] != before[stage]["pid"] and row["detail"].get("ready"),
            30,
        )
        eventually(lambda: writer.written > seen + 500)
    check_all_there(files_site, writer)
    after = files_site.stages()
    for name, row in before.items():
        assert (after[name]["pid"] == row["pid"]) == (name != stage), name


def test_a_supervisor_that_is_killed_takes_its_stages_along_and_the_next_run_works(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    (tmp_path / "watched").mkdir()
    site = make_site(sources=FILES.format(folder=tmp_path / "watched"))
    pids = [row["pid"] for row in site.stages().values()]
    with Writer(tmp_path / "watched" / "a.log", "orphan").writing() as writer:
        eventually(lambda: writer.written > 500)
        assert site.process is not None
        site.process.kill()
        site.process.wait()
        eventually(lambda: not any(is_ours(pid, site.data_dir) for pid in pids), 12)
        (site.data_dir / "run.out").unlink()
        site.start()
        seen = writer.written
        eventually(lambda: writer.written > seen + 200)
    check_all_there(site, writer)


def test_a_clean_stop_loses_nothing(make_site: Callable[..., Site]) -> None:
    site = make_site()
    with (
        socket.create_connection(("127.0.0.1", site.port("tcp"))) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        tcp.sendall(b"".join(b"<13>stopword line %d\n" % number for number in range(20_000)))
        for number in range(200):
            udp.sendto(b"<13>stopword datagram %d" % number, ("127.0.0.1", site.port("udp")))
        assert site.stop() == 0
    site.start()
    site.await_count("message:stopword", 20_200, 40)
    balance = site.sources()["syslog"]
    assert (balance["received"], balance["stored"], balance["dropped"]) == (20_200, 20_200, 0)
    assert balance["examined"] == 20_200


def test_two_data_directories_never_meet(make_site: Callable[..., Site]) -> None:
    one, two = make_site("one"), make_site("two")
    for site, word in ((one, "onlyone"), (two, "onlytwo")):
        with socket.create_connection(("127.0.0.1", site.port("tcp"))) as tcp:
            tcp.sendall(f"<13>{word}\n".encode())
        site.await_count(word, 1)
    assert (one.count("onlytwo"), two.count("onlyone")) == (0, 0)
    second = one.run("run", check=False)
    assert second.returncode == 2
    assert str(one.data_dir) in second.stderr
