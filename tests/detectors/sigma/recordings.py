"""Recordings as events: a folder of Windows event logs enters, decoded flat events leave."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import evtx

from collectors.decoders.windows import decode_windows


def windows_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of one .evtx file."""
    for record in evtx.PyEvtxParser(str(path)).records_json():
        yield decode_windows(json.loads(record["data"]))
