"""Another program fills the disk, to the reserve and then to the last byte: senders are held, nothing breaks or is lost."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import eventually, need
from tests.e2e.conftest import Site
from tests.e2e.test_e2e_failures import FILES, Writer, check_all_there

pytestmark = pytest.mark.slow

_DISK_MB, _RESERVE_MB, _FULL_SECONDS = 400, 60, 12.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, gone with the test."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "none", str(folder)], check=False)
    need(mounted.returncode == 0, "the right to mount a file system (run the tests as root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(folder: Path, leave: int) -> None:
    """Write a file until only `leave` bytes are free."""
    block = b"\xff" * 65_536
    with (folder / "other-program").open("ab", buffering=0) as file, suppress(OSError):
        while os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize > leave:
            file.write(block)


@pytest.fixture
def site(small_disk: Path, tmp_path: Path, make_site: Callable[..., Site]) -> Site:
    """A site on the small disk that reads files from another one."""
    watched = tmp_path / "watched"
    watched.mkdir()
    limits = f"[limits]\ndisk_reserve_mb = {_RESERVE_MB}\n"
    return make_site(str(small_disk.relative_to(tmp_path) / "data"), sources=FILES.format(folder=watched) + limits)


def test_intake_is_held_before_the_disk_is_full_and_goes_on_by_itself(
    site: Site, small_disk: Path, tmp_path: Path
) -> None:
    with Writer(tmp_path / "watched" / "a.log", "fulldisk").writing() as writer:
        eventually(lambda: writer.written > 500)
        _fill(small_disk, leave=(_RESERVE_MB - 10) * 1_000_000)
        eventually(lambda: "disk_reserve_mb" in site.stages()["collectors"]["detail"].get("held", ""), 20)
        eventually(lambda: "haidang.full" in {alert["rule.id"] for alert in site.alerts()}, 20)
        held = site.sources()["logs"]["received"]
        seen = writer.written
        eventually(lambda: writer.written > seen + 2_000, 30)
        assert site.sources()["logs"]["received"] == held
        _make_room(site, small_disk, writer)
    _check(site, writer)


def test_a_disk_that_another_program_fills_to_the_last_byte_costs_nothing(
    site: Site, small_disk: Path, tmp_path: Path
) -> None:
    with Writer(tmp_path / "watched" / "a.log", "lastbyte").writing() as writer:
        eventually(lambda: writer.written > 500)
        deadline = time.monotonic() + _FULL_SECONDS
        while time.monotonic() < deadline:  # what we delete ourselves is taken, too
            _fill(small_disk, leave=0)
            time.sleep(0.01)
        _make_room(site, small_disk, writer)
    _check(site, writer)


def _make_room(site: Site, disk: Path, writer: Writer) -> None:
    (disk / "other-program").unlink()
    eventually(lambda: not site.stages()["collectors"]["detail"].get("held"), 30)
    seen = writer.written
    eventually(lambda: writer.written > seen + 500)


def _check(site: Site, writer: Writer) -> None:
    check_all_there(site, writer)
    assert "All sources add up" in site.run("sources", "--check").stdout
    assert site.run("deadletter", "list", "--json").stdout == ""
