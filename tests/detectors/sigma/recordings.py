"""Recordings as events: a folder of Windows event logs enters, decoded flat events leave."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from collectors.decoders.windows import decode_windows
from workbench.raw_windows import records


def windows_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of one .evtx file."""
    yield from map(decode_windows, records(path))
