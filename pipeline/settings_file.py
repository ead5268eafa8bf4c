"""Where the settings lie: the environment enters, paths leave, and the file's `language`, without loading pydantic."""

import os
import tomllib
from pathlib import Path


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
    named = os.environ.get("HAIDANG_CONFIG")
    return Path(named).expanduser() if named else default_data_dir() / "haidang.toml"


def language_setting() -> str:
    """Return the language that the file names where HAIDANG_LANGUAGE names none; any fault is left to the settings."""
    if os.environ.get("HAIDANG_LANGUAGE"):
        return "auto"
    try:
        return str(tomllib.loads(settings_file().read_text("utf-8")).get("language", "auto"))
    except (OSError, ValueError, RuntimeError, RecursionError):
        return "auto"
