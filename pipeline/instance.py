"""Which of several machines this is: a data directory enters, a name that no other one has leaves, always the same."""

import os
import secrets
import socket
from functools import cache
from pathlib import Path

_LONGEST_HOST = 40


@cache
def instance_of(data_dir: Path) -> str:
    """Return the name of a data directory: its machine's when it was made, and four random digits."""
    file = data_dir / "instance"
    if not file.exists():
        _make(file)
    return file.read_text("utf-8").strip()


def _make(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    name = f"{socket.gethostname()[:_LONGEST_HOST]}-{secrets.token_hex(2)}"
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.write_text(f"{name}\n", "utf-8")
    try:
        os.link(draft, file)
    except FileExistsError:  # another process was quicker
        pass
    finally:
        draft.unlink()
