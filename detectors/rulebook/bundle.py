"""Signed bundles for sites without internet: a folder of rules and a private key enter, one file leaves; and back.

A bundle is a tar archive, compressed with zstd: `bundle.json` (name, version, licence, time, and the SHA-256 of every
file), `bundle.sig` (its Ed25519 signature, RFC 8032, in base64), and the files under `rules/`. What is not named in the
signed part, or is not what it names, is no part of the bundle, and then there is none.
"""

import base64
import binascii
import hashlib
import io
import re
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson
import zstandard
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, ValidationError

from detectors.rulebook.book import PACK_NAME, PackName
from detectors.rulebook.sources import MAX_BYTES, Found, path_fault, under_files
from pipeline.messages import HaidangError

SUFFIX = ".haidang-rules"
_MANIFEST, _SIGNATURE, _FOLDER = "bundle.json", "bundle.sig", "rules/"
_MAX_MANIFEST = 20_000_000


class Manifest(BaseModel):
    """What is signed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    name: PackName
    version: str
    licence: str
    created: float
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose signature and files were found right, and the name of the key that signed it."""

    manifest: Manifest
    key: str
    found: Found


def new_key() -> tuple[bytes, str]:
    """Return a private key (PEM, PKCS #8) and its public one (base64)."""
    private = Ed25519PrivateKey.generate()
    encoded = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return encoded, public_of(private)


def public_of(private: Ed25519PrivateKey) -> str:
    """Return the public key of a private one, in base64."""
    return base64.b64encode(private.public_key().public_bytes_raw()).decode()


def load_private(path: Path) -> Ed25519PrivateKey:
    """Read a private key.

    Raises:
        HaidangError: it cannot be read, or is no Ed25519 key in PEM without a password.
    """
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise HaidangError("rulebook.no_private_key", file=path, fault=error) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise HaidangError("rulebook.no_private_key", file=path, fault=type(key).__name__)
    return key


def checked_public(text: str) -> str:
    """Return a public key as it is kept.

    Raises:
        HaidangError: it is no Ed25519 key: 32 bytes in base64.
    """
    try:
        raw = base64.b64decode("".join(text.split()), validate=True)
        Ed25519PublicKey.from_public_bytes(raw)
    except (binascii.Error, ValueError) as error:
        raise HaidangError("rulebook.no_public_key", value=text[:100]) from error
    return base64.b64encode(raw).decode()


def make(files: Mapping[str, str], private: Ed25519PrivateKey, name: str, version: str, licence: str) -> bytes:
    """Return a bundle of these files.

    Raises:
        HaidangError: no site would take a pack of this name.
    """
    if not re.fullmatch(PACK_NAME, name):
        raise HaidangError("rulebook.bad_pack_name", name=name)
    data = {path: text.encode() for path, text in sorted(files.items())}
    manifest = Manifest(
        format=1, name=name, version=version, licence=licence, created=round(time.time(), 3),
        files={path: hashlib.sha256(each).hexdigest() for path, each in data.items()},
    )  # fmt: skip
    signed = orjson.dumps(manifest.model_dump(), option=orjson.OPT_SORT_KEYS)
    parts = {_MANIFEST: signed, _SIGNATURE: base64.b64encode(private.sign(signed))}
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for path, each in {**parts, **{_FOLDER + path: each for path, each in data.items()}}.items():
            item = tarfile.TarInfo(path)
            item.size = len(each)
            archive.addfile(item, io.BytesIO(each))
    return zstandard.ZstdCompressor(level=9).compress(held.getvalue())


def is_bundle(place: str) -> bool:
    """Say whether a file or address is a bundle, by its name."""
    return place.endswith(SUFFIX)


def open_bundle(data: bytes, source: str, keys: Mapping[str, str]) -> Bundle:
    """Open a bundle and check it: the signature by one of `keys` (names and public keys), every file by its sum.

    Raises:
        HaidangError: anything about it is not right; which.
    """
    parts = _parts(data, source)
    signed, signature = parts.pop(_MANIFEST, b""), parts.pop(_SIGNATURE, b"")
    key = _signer(signed, signature, source, keys)
    try:
        manifest = Manifest.model_validate_json(signed)
    except ValidationError as error:
        raise HaidangError("rulebook.bundle_damaged", source=source, fault=error.errors()[0]["msg"]) from error
    named = {_FOLDER + path: digest for path, digest in manifest.files.items()}
    for path in sorted(named.keys() ^ parts.keys()):
        raise HaidangError("rulebook.bundle_damaged", source=source, fault=path)
    for path in (*filter(path_fault, manifest.files), *under_files(manifest.files)):
        raise HaidangError("rulebook.bundle_damaged", source=source, fault=path[:200])
    for path, each in parts.items():
        if hashlib.sha256(each).hexdigest() != named[path]:
            raise HaidangError("rulebook.bundle_damaged", source=source, fault=path)
    try:
        files = {path.removeprefix(_FOLDER): each.decode() for path, each in parts.items()}
    except UnicodeDecodeError as error:
        raise HaidangError("rulebook.bundle_damaged", source=source, fault=error) from error
    return Bundle(manifest, key, Found(source, files, [], manifest.version, manifest.licence))


def _parts(data: bytes, source: str) -> dict[str, bytes]:
    parts: dict[str, bytes] = {}
    try:
        with zstandard.ZstdDecompressor().stream_reader(data) as reader:
            unpacked = reader.read(MAX_BYTES + 1)
        if len(unpacked) > MAX_BYTES:
            raise HaidangError("rulebook.too_large", source=source, limit=MAX_BYTES // 1_000_000)
        with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as archive:
            for item in archive:
                file = archive.extractfile(item) if item.isfile() else None
                if file is None or item.name in parts or item.size > _MAX_MANIFEST or ".." in item.name.split("/"):
                    raise HaidangError("rulebook.bundle_damaged", source=source, fault=item.name[:200])
                parts[item.name] = file.read()
    except (zstandard.ZstdError, tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise HaidangError("rulebook.bundle_damaged", source=source, fault=error) from error
    return parts


def _signer(signed: bytes, signature: bytes, source: str, keys: Mapping[str, str]) -> str:
    if not keys:
        raise HaidangError("rulebook.no_keys", source=source)
    for name, public in keys.items():
        try:
            Ed25519PublicKey.from_public_bytes(base64.b64decode(public)).verify(
                base64.b64decode(signature, validate=True), signed
            )
        except (InvalidSignature, binascii.Error, ValueError):
            continue
        return name
    raise HaidangError("rulebook.wrong_signature", source=source, known=", ".join(keys))
