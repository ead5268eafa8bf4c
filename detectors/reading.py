"""A file that somebody names enters, its bytes leave, with a bound: packs of rules and lists of indicators."""

from pathlib import Path

from pipeline.messages import HaidangError


def read_bounded(path: Path, limit: int, words: str, shown: object = "") -> bytes:
    """Return what is in a file; a device or a pipe, which may never end, is none.

    `words` are where the catalogues have `cannot_read` and `too_large` for it, `shown` is how they name the file.

    Raises:
        HaidangError: it cannot be read, or has more bytes than `limit`.
    """
    source = shown or path
    try:
        if path.exists() and not path.is_file():
            raise HaidangError(f"{words}.cannot_read", source=source, fault="no file")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise HaidangError(f"{words}.cannot_read", source=source, fault=error.strerror or error) from error
    if len(data) > limit:
        raise HaidangError(f"{words}.too_large", source=source, limit=limit // 1_000_000)
    return data
