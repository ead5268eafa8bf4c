"""Where the settings lie: the environment enters, paths leave, and the file's `language`, without loading pydantic."""

import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

#: The file that is read here and now in place of the site's own: one that is only looked at.
_instead: ContextVar[Path | None] = ContextVar("settings_file", default=None)


def default_data_dir() -> Path:
    """Return HAIDANG_DATA_DIR, else `/var/lib/haidang` for root, else the user's own data folder."""
    named = os.environ.get("HAIDANG_DATA_DIR")
    if named:
        return Path(named).expanduser().absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/haidang")
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "haidang"


def settings_file() -> Path:
    """Return the settings file's path, whether or not it is there."""
    if (other := _instead.get()) is not None:
        return other
    named = os.environ.get("HAIDANG_CONFIG")
    return Path(named).expanduser() if named else default_data_dir() / "haidang.toml"


@contextmanager
def instead(file: Path) -> Iterator[None]:
    """Read another file as the settings within the block, in this thread alone."""
    token = _instead.set(file)
    try:
        yield
    finally:
        _instead.reset(token)


def language_setting() -> str:
    """Return the language that the file names where HAIDANG_LANGUAGE names none; any fault is left to the settings."""
    if os.environ.get("HAIDANG_LANGUAGE"):
        return "auto"
    try:
        return str(tomllib.loads(settings_file().read_text("utf-8")).get("language", "auto"))
    except (OSError, ValueError, RuntimeError, RecursionError):
        return "auto"
