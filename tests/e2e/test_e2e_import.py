"""`haidang import`, beside a running pipeline and alone: every format by its content, a file twice, wrong files."""

import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.e2e.conftest import Site

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def still_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A data directory on which nothing runs."""
    site = Site(tmp_path_factory.mktemp("still"))
    yield site
    site.kill()


def _import(site: Site, *arguments: str | Path, status: int = 0) -> dict[str, Any]:
    done = site.run("import", "--json", *map(str, arguments), check=False)
    assert done.returncode == status, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _folder(folder: Path, word: str) -> int:
    """A folder of every format; returns how many records it has."""
    folder.mkdir()
    syslog = f"Nov 24 12:00:00 may sshd[7]: Accepted password for {word} from 203.0.113.9 port 4 ssh2\n"
    lines = "".join(json.dumps({"message": f"{word} {n}"}) + "\n" for n in range(10))
    (folder / "auth.log").write_text(syslog * 10)
    (folder / "lines.json").write_text(lines)
    (folder / "array.json").write_text(json.dumps([{"message": f"{word} array {n}"} for n in range(10)]))
    (folder / "text.log.gz").write_bytes(gzip.compress(f"{word} packed\n".encode() * 10))
    (folder / "deep").mkdir()
    (folder / "deep" / "text.zst").write_bytes(zstandard.compress(f"{word} zstd\n".encode() * 10))
    (folder / "wide.log").write_text(f"{word} wide\n" * 10, "utf-16")
    return 60


def test_alone_every_format_is_searchable_when_it_ends(still_site: Site, tmp_path: Path) -> None:
    count = _folder(tmp_path / "in", "aloneword")
    result = _import(still_site, tmp_path / "in")
    assert (result["files"], result["read"], result["stored"], result["unreadable"]) == (6, count, count, 0)
    assert still_site.count("aloneword") == count
    again = _import(still_site, tmp_path / "in")
    assert (again["read"], again["stored"], again["already_stored"]) == (count, 0, count)
    assert still_site.count("aloneword") == count


def test_beside_a_running_pipeline(site: Site, tmp_path: Path) -> None:
    count = _folder(tmp_path / "in", "besideword")
    result = _import(site, tmp_path / "in")
    assert (result["stored"], site.count("besideword")) == (count, count)
    with socket.create_connection(("127.0.0.1", site.port("tcp"))) as tcp:
        tcp.sendall(b"<13>stillrunning\n")
    site.await_count("stillrunning", 1)


def test_wrong_files_are_told_with_the_reason_and_the_others_are_taken(still_site: Site, tmp_path: Path) -> None:
    (tmp_path / "good.log").write_text("wrongword good\n")
    (tmp_path / "program").write_bytes(b"\x7fELF" + bytes(range(256)) * 50)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"wrongword cut\n" * 10_000)[:-20])
    result = _import(still_site, *sorted(tmp_path.iterdir()), status=1)
    assert (result["files"], result["failed"]) == (3, 2)
    reasons = " ".join(row["reason"] for row in result["reasons"])
    assert "program: neither text" in reasons
    assert "cut.gz: broken gzip" in reasons
    assert still_site.count("wrongword") == result["stored"] > 1
    missing = still_site.run("import", str(tmp_path / "missing"), check=False)
    assert (missing.returncode, "missing" in missing.stderr) == (2, True)


def test_windows_records_with_rules_of_ones_own_raise_alerts(still_site: Site, shared_data: Path) -> None:
    samples = shared_data / "evtx" / "EVTX-ATTACK-SAMPLES" / "Credential Access"
    if not samples.is_dir():
        samples = next(path for path in (shared_data / "evtx" / "EVTX-ATTACK-SAMPLES").iterdir() if path.is_dir())
    rules = shared_data / "sigma" / "rules" / "windows" / "process_access"
    result = _import(still_site, samples, "--rules", rules)
    assert result["read"] == result["stored"] + result["already_stored"] > 0
    assert result["alerts"] == sum(row["alerts"] for row in result["alerts_by_rule"]) > 0
    table = still_site.run("import", str(samples), "--rules", str(rules)).stdout
    assert str(result["alerts"]) in table
