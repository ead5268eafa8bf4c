"""Settings are read once, at start: a file and `HAIDANG_*` variables enter, a checked whole leaves, or every fault.

Environment over file over default.
"""

import difflib
import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin

from pydantic import ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_settings import SettingsError

from pipeline.messages import HaidangError, say
from pipeline.settings.faults import LISTS, fault_of, sections_of, shown, unknown
from pipeline.settings.whole import PREFIX, Settings
from pipeline.settings_file import default_data_dir, settings_file
from pipeline.toml_faults import toml_fault


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        HaidangError: every fault at once, each with its place, its value and what was expected.
    """
    file = settings_file()
    settings, faults = read_settings()
    if settings is None or faults:
        raise HaidangError("settings.invalid", file=file, faults="\n".join(f"  {fault}" for fault in faults))
    return settings


def read_settings() -> tuple[Settings | None, list[str]]:
    """Return the settings, where they are some, and every fault in them as a sentence that begins with its place.

    Raises:
        HaidangError: the file is not there or no TOML, or the data directory is none.
    """
    file = settings_file()
    if os.environ.get("HAIDANG_CONFIG") and not file.is_file():
        raise HaidangError("settings.is_folder" if file.is_dir() else "settings.no_file", file=file)
    _check_data_dir(default_data_dir())
    settings = None
    try:
        faults = [*_unknown_variables(), *_misplaced(file)]
        settings = Settings(data_dir=default_data_dir())
    except ValidationError as error:
        faults += [fault_of(item) for item in error.errors()]
    except tomllib.TOMLDecodeError as error:
        raise HaidangError("settings.not_toml", file=file, fault=toml_fault(error)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise HaidangError("settings.unreadable", file=file, fault=error) from error
    except SettingsError:
        faults += _not_json()
    return settings, faults


def readable_settings() -> tuple[Settings | None, frozenset[str]]:
    """Return the settings as if what has a fault were not there, and the names at the top of which that is true; None
    where nothing can be read. Names that nothing has or two share are no such fault: what bears them can be read."""
    faulty: frozenset[str] = frozenset()

    class Readable(Settings):
        """The settings without what has a fault."""

        @model_validator(mode="wrap")
        @classmethod
        def _look_at_names(cls, given: Any, read: ModelWrapValidatorHandler["Readable"]) -> "Readable":
            return read({name: value for name, value in given.items() if name not in faulty})

    try:
        return Readable(data_dir=default_data_dir()), faulty
    except ValidationError as error:
        faulty = frozenset(str(item["loc"][0]) for item in error.errors())
    except SettingsError:
        return None, faulty
    return Readable(data_dir=default_data_dir()), faulty


def _check_data_dir(folder: Path) -> None:
    """Refuse a data directory that is a file, or lies in one; one that is not there yet is made by what needs it."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir():
        raise HaidangError("settings.data_dir_no_folder", folder=folder, there=there)


def _unknown_variables() -> Iterator[str]:
    """Yield a fault for each variable that means a setting and misses it; what pydantic-settings passes over.

    A name that resembles no setting is left alone: Kubernetes makes `HAIDANG_PORT_8088_TCP` and the like of its own.
    """
    known = {*Settings.model_fields, "config"}
    for variable in sorted(os.environ):
        name, nested, _ = variable.lower().removeprefix(PREFIX).partition("__")
        if variable.lower().startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.6 if nested else 0.85)
            if near or nested:
                yield unknown(variable, [f"{PREFIX}{close}".upper() for close in near])


def _misplaced(file: Path) -> Iterator[str]:
    """Yield a fault for what the file cannot say: where the file lies."""
    if file.exists() and "data_dir" in tomllib.loads(file.read_text("utf-8")):
        yield say("settings.data_dir_in_file")


def _not_json() -> Iterator[str]:
    """Yield a fault for each variable that should be JSON and is not: those of lists and of whole sections."""
    sections = {name.replace(".", "__"): section for name, section in sections_of(Settings)}
    lists = {name for name in LISTS if "." not in name} | {
        f"{place}__{name}"
        for place, section in sections.items()
        for name, field in section.model_fields.items()
        if get_origin(field.annotation) is list
    }
    for variable, value in sorted(os.environ.items()):
        name = variable.lower().removeprefix(PREFIX)
        if variable.lower().startswith(PREFIX) and name in lists | sections.keys():
            try:
                json.loads(value)
            except ValueError:
                yield say("settings.fault", place=variable, value=shown(value), expected=say("settings.want_json"))
