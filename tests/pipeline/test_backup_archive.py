"""The archive of a backup: what was put in comes out, and whatever is not as it was written is refused."""

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pipeline.backup import FORMAT, Header, archive
from pipeline.messages import HaidangError
from tests.conftest import need

_MANY = 10**12


def _header(**values: Any) -> Header:
    base = {"what": "site", "program": "0.1.0", "revision": "0001", "state": "sqlite", "instance": "a-1", "time": "now"}
    return Header(**{**base, **values})


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """An archive with a part from memory, a large one from a file, and an empty one."""
    file = tmp_path / "whole.tar.zst"
    large = tmp_path / "large"
    large.write_bytes(b"0123456789" * 300_000)
    with archive.writing(file, _header()) as out:
        out.add("state/users/0", b'{"name":"an"}\n')
        out.add_file("index/events/2026.11.24/events.blocks", large, 2_500_001)
        out.add("files/0", b"")
    return file


def test_what_was_put_in_comes_out(whole: Path) -> None:
    contents = archive.verify(whole, _MANY)
    assert contents.header == _header()
    found = {part.name: part.whole() for part in archive.read(whole)}
    assert found["state/users/0"] == b'{"name":"an"}\n'
    assert found["index/events/2026.11.24/events.blocks"] == (b"0123456789" * 300_000)[:2_500_001]
    assert found["files/0"] == b""
    assert list(found) == [*contents.parts, archive.MANIFEST]


def test_only_its_owner_may_read_it(whole: Path) -> None:
    assert whole.stat().st_mode & 0o777 == 0o600


def test_tar_and_zstd_open_it(whole: Path, tmp_path: Path) -> None:
    need(bool(shutil.which("tar") and shutil.which("zstd")), "tar and zstd")
    subprocess.run(["tar", "--zstd", "-xf", whole, "-C", tmp_path], check=True)
    assert (tmp_path / "state/users/0").read_bytes() == b'{"name":"an"}\n'


def test_one_flipped_bit_anywhere_is_told(whole: Path, tmp_path: Path) -> None:
    data = whole.read_bytes()
    damaged = tmp_path / "damaged"
    assert len(data) < 20_000
    ends = {*range(120), *range(len(data) - 120, len(data))}
    for place in sorted(ends | set(range(0, len(data), 97))):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        damaged.write_bytes(changed)
        with pytest.raises(HaidangError) as caught:
            archive.verify(damaged, _MANY)
        assert caught.value.key.startswith("backup."), place


@pytest.mark.parametrize("left", [0, 1, 3, 4, 30, 500, -1, -48, -49])
def test_a_file_that_was_cut_off_is_told(whole: Path, left: int) -> None:
    data = whole.read_bytes()
    whole.write_bytes(data[: left if left >= 0 else len(data) + left])
    with pytest.raises(HaidangError, match=r"is no (whole )?backup"):
        archive.verify(whole, _MANY)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no archive of ours" * 100, b"\x28\xb5\x2f\xfd" + bytes(2000)])
def test_another_file_is_told(tmp_path: Path, data: bytes) -> None:
    other = tmp_path / "other"
    other.write_bytes(data)
    with pytest.raises(HaidangError, match=r"is no (whole )?backup"):
        archive.verify(other, _MANY)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(HaidangError, match="No such file"):
        archive.verify(tmp_path / "nothing", _MANY)


def test_a_newer_format_is_told(tmp_path: Path) -> None:
    with archive.writing(tmp_path / "new", _header(format=FORMAT + 1, program="9.0")) as out:
        out.add("state/users/0", b"")
    with pytest.raises(HaidangError, match=r"newer Hải Đăng \(9\.0"):
        archive.verify(tmp_path / "new", _MANY)


def test_what_unpacks_to_more_than_there_is_room_for_is_refused(whole: Path) -> None:
    with pytest.raises(HaidangError, match="unpacks to more"):
        archive.verify(whole, 2_000_000)


def _sealed(file: Path, members: list[tarfile.TarInfo]) -> None:
    """Write an archive as somebody would who means harm: any member, and a good seal."""
    with file.open("wb") as out:
        writer = archive.ArchiveWriter(out, _header())
        for member in members:
            writer._packed.write(member.tobuf(tarfile.USTAR_FORMAT) + bytes(-member.size % 512 + member.size))
            writer._listed.append({"name": member.name, "size": member.size, "sha256": "0" * 64})
        writer.finish()


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@pytest.mark.parametrize(
    "member",
    [
        _member("../state.db"), _member("index/../../state.db"), _member("/etc/passwd"), _member("a/./b"),
        _member("a//b"), _member("a\\b"), _member("name\nline"), _member(".."), _member("tls", tarfile.SYMTYPE, "/etc"),
        _member("tls", tarfile.LNKTYPE, "/etc/passwd"), _member("device", tarfile.CHRTYPE), _member("d", tarfile.DIRTYPE),
        _member("long", tarfile.GNUTYPE_LONGNAME), _member("pax", tarfile.XHDTYPE),
    ],
    ids=lambda member: f"{member.name!r}{member.type!r}",
)  # fmt: skip
def test_what_none_of_ours_holds_is_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    file = tmp_path / "evil"
    _sealed(file, [member])
    with pytest.raises(HaidangError, match="no backup of ours"):
        archive.verify(file, _MANY)


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "twice"
    _sealed(file, [_member("files/0"), _member("files/0")])
    with pytest.raises(HaidangError, match="twice"):
        archive.verify(file, _MANY)


def test_a_part_whose_hash_is_not_the_manifests_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "lies"
    _sealed(file, [_member("files/0")])
    with pytest.raises(HaidangError, match="damaged"):
        archive.verify(file, _MANY)


def test_a_tar_of_another_program_is_told(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(_member("hello"))
    (tmp_path / "tar").write_bytes(zstandard.compress(packed.getvalue()))
    with pytest.raises(HaidangError, match="is no whole backup"):
        archive.verify(tmp_path / "tar", _MANY)


def test_a_file_that_is_there_is_not_written_over(whole: Path) -> None:
    before = whole.read_bytes()
    with pytest.raises(HaidangError, match="is there already"), archive.writing(whole, _header()):
        pass
    assert whole.read_bytes() == before


def test_nothing_is_left_where_writing_fails(tmp_path: Path) -> None:
    folder = tmp_path / "to"
    folder.mkdir()
    with pytest.raises(ZeroDivisionError), archive.writing(folder / "b", _header()) as out:
        out.add("files/0", os.urandom(100_000))
        raise ZeroDivisionError
    with pytest.raises(HaidangError, match="cannot be written"), archive.writing(folder / "b", _header()) as out:
        out.add_file("files/0", tmp_path / "nothing")
    assert list(folder.iterdir()) == []
