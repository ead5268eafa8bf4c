"""What Python's readers of archives raise for bytes that are none, are damaged, or that they cannot unpack (a password,
a method that they do not know: NotImplementedError is zipfile's own word for that, and a RuntimeError).
"""

import lzma
import struct
import tarfile
import zipfile
import zlib

import zstandard

NO_ARCHIVE = (
    zipfile.BadZipFile, tarfile.TarError, zstandard.ZstdError, zlib.error, lzma.LZMAError, struct.error, EOFError,
    OSError, RuntimeError, ValueError,
)  # fmt: skip
