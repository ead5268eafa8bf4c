"""What leaves the site for another system: bytes and an address enter, what the other side said leaves.

`posting.py` speaks HTTP, `watchdog.py` ends what takes too long.
"""

from pathlib import Path

from pydantic import SecretStr

from pipeline.messages import say

_LONGEST_SECRET = 20_000
_LONGEST_REASON = 500


class Stopped(Exception):
    """A channel cannot be used as it is: a secret's file is not there, its login is refused."""


def secret_of(value: SecretStr, file: Path | None) -> str:
    """Return a secret: of the settings, or of a file as it is now.

    Raises:
        Stopped: the file cannot be read.
    """
    if file is None:
        return value.get_secret_value()
    try:
        with file.expanduser().open("rb") as opened:
            return opened.read(_LONGEST_SECRET).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Stopped(say("delivery.no_secret", file=file, fault=_words(error))) from error


def reason(error: BaseException) -> str:
    """Say what is wrong, in a line."""
    return " ".join((_words(error) or type(error).__name__).split())[:_LONGEST_REASON]


def _words(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)
