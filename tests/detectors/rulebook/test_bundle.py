"""Signed bundles: only what was signed with a key that is trusted, whole and unchanged, is opened."""

import io
import tarfile
from pathlib import Path

import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.rulebook import bundle
from pipeline.messages import HaidangError

FILES = {"linux/a.yml": "title: Ơ\n", "a.test.yml": "hits: []\n"}
PRIVATE = Ed25519PrivateKey.generate()
KEYS = {"other": bundle.public_of(Ed25519PrivateKey.generate()), "maker": bundle.public_of(PRIVATE)}
MADE = bundle.make(FILES, PRIVATE, "bo-tttt", "2026-12", "MIT")
UNPACKED = zstandard.ZstdDecompressor().decompress(MADE, max_output_size=10_000_000)


def test_a_bundle_opens_with_the_key_that_signed_it() -> None:
    opened = bundle.open_bundle(MADE, "x", KEYS)
    assert opened.found.files == FILES
    assert (opened.key, opened.manifest.name, opened.manifest.version, opened.found.licence) == (
        "maker", "bo-tttt", "2026-12", "MIT",
    )  # fmt: skip


def test_keys_are_made_read_and_checked(tmp_path: Path) -> None:
    private, public = bundle.new_key()
    (tmp_path / "key.pem").write_bytes(private)
    assert bundle.public_of(bundle.load_private(tmp_path / "key.pem")) == bundle.checked_public(f" {public}\n")
    for wrong in ("", "abc", "A" * 43, public[:-4], "ssh-ed25519 AAAA"):
        with pytest.raises(HaidangError, match="no public key"):
            bundle.checked_public(wrong)
    (tmp_path / "key.pem").write_text(public)
    with pytest.raises(HaidangError, match="no private key"):
        bundle.load_private(tmp_path / "key.pem")


def test_no_key_and_another_key_open_nothing() -> None:
    with pytest.raises(HaidangError, match="no key is trusted"):
        bundle.open_bundle(MADE, "x", {})
    with pytest.raises(HaidangError, match="not signed with a key that is trusted"):
        bundle.open_bundle(MADE, "x", {"other": KEYS["other"]})


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(UNPACKED) - 1), st.integers(1, 255))
def test_no_changed_byte_changes_what_is_opened(place: int, mask: int) -> None:
    changed = bytearray(UNPACKED)
    changed[place] ^= mask
    try:
        opened = bundle.open_bundle(zstandard.ZstdCompressor(level=1).compress(bytes(changed)), "x", KEYS)
    except HaidangError:
        return
    assert opened.found.files == FILES  # a byte between the files, or of a time that tar notes


def repacked(change: dict[str, bytes | None]) -> bytes:
    """The bundle with members changed, added, or (None) left out."""
    with tarfile.open(fileobj=io.BytesIO(UNPACKED)) as archive:
        members = {item.name: archive.extractfile(item).read() for item in archive}  # type: ignore[union-attr]
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for name, data in {**members, **change}.items():
            if data is not None:
                item = tarfile.TarInfo(name)
                item.size = len(data)
                archive.addfile(item, io.BytesIO(data))
    return zstandard.ZstdCompressor().compress(held.getvalue())


@pytest.mark.parametrize("path", ["/etc/evil.yml", "a/../../evil.yml", "linux/a.yml/b.yml", "x" * 300])
def test_not_even_who_is_trusted_writes_outside_of_a_pack(path: str) -> None:
    made = bundle.make({**FILES, path: "title: Out\n"}, PRIVATE, "bo-tttt", "2026-12", "MIT")
    with pytest.raises(HaidangError, match="damaged"):
        bundle.open_bundle(made, "x", KEYS)


@pytest.mark.parametrize(
    "change",
    [
        {"rules/b.yml": b"title: Smuggled in"},
        {"rules/linux/a.yml": None},
        {"rules/linux/a.yml": b"title: Changed"},
        {"bundle.sig": b""},
        {"bundle.sig": b"!!"},
        {"bundle.json": b"{}"},
        {"../../evil.yml": b"title: Out"},
    ],
)
def test_a_bundle_with_more_less_or_other_files_is_none(change: dict[str, bytes | None]) -> None:
    with pytest.raises(HaidangError):
        bundle.open_bundle(repacked(change), "x", KEYS)
