"""The file that somebody wants a document in enters: whether it can be is said before anything is made."""

from pathlib import Path

from pipeline.messages import HaidangError

PDF, DOCX = ".pdf", ".docx"


def ending_of(file: Path) -> str:
    """Return the ending of a file that is to be written: PDF or DOCX.

    Raises:
        HaidangError: it has another one, or its folder is not there.
    """
    ending = file.suffix.lower()
    if ending not in (PDF, DOCX):
        raise HaidangError("documents.no_ending", file=file, expected=f"{PDF}, {DOCX}")
    if not file.parent.is_dir():
        raise HaidangError("documents.no_folder", file=file, folder=file.parent)
    return ending


def save(file: Path, data: bytes) -> None:
    """Write a document.

    Raises:
        HaidangError: it cannot be written.
    """
    try:
        file.write_bytes(data)
    except OSError as error:
        raise HaidangError("documents.not_written", file=file, fault=error.strerror or error) from error
