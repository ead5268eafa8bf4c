"""Files that channels name: a folder and a name enter, the file that may be used leaves, or why none may.

The stage `delivery` and the check of the settings ask here alike, so that what is refused at a sending is told before.
"""

import os
import stat
from pathlib import Path

from pipeline.messages import HaidangError
from pipeline.settings import Settings


def scripts_of(settings: Settings) -> Path:
    """Return the only folder from which programs are run."""
    return settings.delivery.scripts or settings.data_dir / "scripts"


def templates_of(settings: Settings) -> Path:
    """Return the only folder from which templates are read."""
    return settings.data_dir / "templates"


def program_of(folder: Path, name: str, user: int) -> Path:
    """Return a program's file; `user` is whom the stage runs as.

    Raises:
        HaidangError: it is not there, leads out of the folder, or somebody else could change it.
    """
    file = folder / name
    try:
        found = file.resolve(strict=True)
        if found.parent != folder.resolve(strict=True) or file.name != name:
            raise HaidangError("delivery.script_outside", file=file)
        about = found.stat()
    except OSError as error:
        raise HaidangError("delivery.no_script", file=file, fault=error.strerror or error) from error
    owned = about.st_uid in (0, user)
    if not stat.S_ISREG(about.st_mode) or not about.st_mode & 0o111 or about.st_mode & 0o022 or not owned:
        raise HaidangError("delivery.script_open", file=file)
    return found


def template_of(folder: Path, name: str) -> Path:
    """Return a template's file.

    Raises:
        HaidangError: it is not there, leads out of the folder, or cannot be read.
    """
    try:
        inside = folder.resolve()
        file = (inside / name).resolve()
        if file.is_relative_to(inside) and file.is_file() and os.access(file, os.R_OK):
            return file
    except OSError as error:
        raise HaidangError("delivery.no_template", file=name, folder=folder) from error
    raise HaidangError("delivery.no_template", file=name, folder=folder)
