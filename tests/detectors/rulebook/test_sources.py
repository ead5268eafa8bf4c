"""Packs out of folders, archives and https addresses: what is taken, what is left out, what is refused."""

import gzip
import io
import os
import ssl
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
import zstandard
from doors import rule
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.rulebook.sources import fetch, read_archive, read_source
from detectors.sigma.documents import MAX_FILE
from pipeline.messages import HaidangError

FILES = {
    "sigma-master/README.md": b"# nothing",
    "sigma-master/LICENSE": b"\n# Detection Rule License 1.1\nmore",
    "sigma-master/version.txt": b"r2026-11\n",
    "sigma-master/rules/windows/a.yml": rule(1, "A", "a").encode(),
    "sigma-master/rules-threat-hunting/b.yml": rule(2, "B", "b").encode(),
    "sigma-master/deprecated/c.yml": rule(3, "C", "c").encode(),
    "sigma-master/.github/workflow.yml": b"on: push",
}


def zipped(files: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return held.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w") -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode=mode) as archive:
        for name, data in files.items():
            item = tarfile.TarInfo(name)
            item.size = len(data)
            archive.addfile(item, io.BytesIO(data))
    return held.getvalue()


#: The same files in each kind of archive.
PACKED = {
    "zip": zipped(FILES),
    "tar": tarred(FILES),
    "tar.gz": tarred(FILES, "w:gz"),
    "tar.zst": zstandard.ZstdCompressor().compress(tarred(FILES)),
}


@pytest.mark.parametrize("kind", PACKED)
def test_of_sigmahq_the_rules_in_use_are_taken_with_version_and_licence(kind: str) -> None:
    found = read_archive(PACKED[kind], "sigma.zip")
    assert sorted(found.files) == ["rules-threat-hunting/b.yml", "rules/windows/a.yml"]
    assert (found.version, found.licence) == ("r2026-11", "Detection Rule License 1.1")


def test_a_folder_is_read_with_its_tables_and_vectors(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("title: A", "utf-8")
    (tmp_path / "a.test.yml").write_text("hits: []", "utf-8")
    (tmp_path / "fields.toml").write_text("", "utf-8")
    (tmp_path / "notes.txt").write_text("", "utf-8")
    assert sorted(read_source(str(tmp_path)).files) == ["a.test.yml", "a.yml", "fields.toml"]


def test_what_never_ends_is_no_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in ("/dev/zero", str(tmp_path / "pipe")):
        with pytest.raises(HaidangError, match="cannot be read"):
            read_source(place)
    monkeypatch.setattr("detectors.rulebook.sources.MAX_BYTES", 1_000)
    (tmp_path / "x.zip").write_bytes(b"x" * 1_001)
    with pytest.raises(HaidangError, match="too large"):
        read_source(str(tmp_path / "x.zip"))
    monkeypatch.setattr("detectors.rulebook.sources._MAX_ENTRIES", 1)
    with pytest.raises(HaidangError, match="too many"):
        read_source(str(tmp_path))


def test_what_cannot_be_a_rule_is_left_out_by_name() -> None:
    files = {
        "good.yml": b"title: A",
        "../../etc/cron.d/evil.yml": b"title: B",
        "/etc/evil.yml": b"title: C",
        "large.yml": b"x" * (MAX_FILE + 1),
        "latin.yml": b"title: \xff",
        "good.yml/under.yml": b"title: D",
        f"{'x' * 252}.yml": b"title: E",
    }
    found = read_archive(zipped(files), "x.zip")
    assert list(found.files) == ["good.yml"]
    reasons = dict(found.left_out)
    assert "leads out" in reasons["../../etc/cron.d/evil.yml"]
    assert str(MAX_FILE) in reasons["large.yml"]
    assert "UTF-8" in reasons["latin.yml"]
    assert "under that of a file" in reasons["good.yml/under.yml"]
    assert "too long" in reasons[f"{'x' * 252}.yml"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no archive"),
        (b"PK\x03\x04 broken", "no archive"),
        (b"\x28\xb5\x2f\xfd broken", "no archive"),
        (b"<html>404</html>", "no archive"),
        (zipped({"README.md": b""}), "no rules"),
    ],
)
def test_what_is_no_pack_is_told(data: bytes, words: str) -> None:
    with pytest.raises(HaidangError) as caught:
        read_archive(data, "x")
    assert words in str(caught.value)


def test_a_file_that_blows_up_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detectors.rulebook.sources.MAX_BYTES", 3_000_000)
    bomb = zipped({f"{n}.yml": b"\0" * MAX_FILE for n in range(10)})
    assert len(bomb) < 20_000
    with pytest.raises(HaidangError, match="too large"):
        read_archive(bomb, "bomb.zip")
    with pytest.raises(HaidangError, match="too large"):
        read_archive(zstandard.ZstdCompressor().compress(b"\0" * 50_000_000), "bomb.tar.zst")
    with pytest.raises(HaidangError, match="too large"):
        read_archive(gzip.compress(b"\0" * 50_000_000), "bomb.tar.gz")
    monkeypatch.setattr("detectors.rulebook.sources._MAX_ENTRIES", 10)
    many = {f"{n}.bin": b"" for n in range(11)}  # none of them would be taken
    for pack in (zipped(many), tarred(many)):
        with pytest.raises(HaidangError, match="too many"):
            read_archive(pack, "many")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(PACKED)), st.floats(0, 0.999), st.integers(1, 255), st.booleans())
def test_a_damaged_archive_is_told_whatever_is_damaged(kind: str, place: float, mask: int, cut: bool) -> None:
    data = bytearray(PACKED[kind])
    where = int(place * len(data))
    data[where] ^= mask
    with suppress(HaidangError):
        read_archive(bytes(data[:where] if cut else data), "damaged")


def test_a_damaged_or_locked_archive_is_told() -> None:
    whole = zipped({"a.yml": rule(1, "A", "a").encode() * 50})
    for data in (tarred({"a.yml": b"title: a"}, "w:gz")[:40], _damaged(whole, 60), _locked(whole)):
        with pytest.raises(HaidangError, match="no archive that can be read"):
            read_archive(data, "x")


def _damaged(data: bytes, place: int) -> bytes:
    return data[:place] + b"\xff\xff\xff" + data[place + 3 :]


def _locked(data: bytes) -> bytes:
    """Say of a zip's only file that it is encrypted, in both of its headers (APPNOTE 4.4.4)."""
    place = data.rindex(b"PK\x01\x02") + 8
    return data[:6] + b"\x01" + data[7:place] + b"\x01" + data[place + 1 :]


def test_what_was_left_out_is_named_where_no_rule_is_left() -> None:
    with pytest.raises(HaidangError, match=r"left out: 1; the first one, big\.yml: it is larger than"):
        read_archive(zipped({"big.yml": b"#" * (MAX_FILE + 1)}), "x.zip")
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        link = tarfile.TarInfo("link.yml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(HaidangError, match=r"link\.yml: it is a link"):
        read_archive(held.getvalue(), "x.tar")


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/pack.zip")
            self.end_headers()
            return
        self.send_response(200 if self.path == "/pack.zip" else 404)
        self.end_headers()
        self.wfile.write(zipped(FILES))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with TLS whose certificate this process trusts."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_address_is_fetched_over_https_alone(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(read_source(f"{address}/pack.zip").files) == 2
    for place, words in [
        (f"{address}/nothing", "404"),
        (f"{address}/elsewhere", "not https"),
        (address.replace("https", "http"), "https:// only"),
        ("file:///etc/passwd", "https:// only"),
        ("https://127.0.0.1:1/x", "cannot be read"),
    ]:
        with pytest.raises(HaidangError) as caught:
            fetch(place)
        assert words in str(caught.value), place
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(HaidangError, match="certificate"):
        fetch(f"{address}/pack.zip")
