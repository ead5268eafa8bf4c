"""Windows event logs: an `.evtx` file enters, events in Winlogbeat's layout leave; what is broken, with its reason."""

import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import orjson
from evtx import PyEvtxParser

from collectors.decoders import decode_windows
from collectors.envelope import Origin

EVTX_MAGIC = b"ElfFile\0"
#: A file is a header and chunks of one size; the header says how many chunks at this place (libevtx, "Windows XML Event
#: Log (EVTX) format", file header).
EVTX_HEADER_BYTES, _CHUNK_BYTES, _CHUNKS_AT = 4096, 65_536, 42


def read_evtx(
    path: Path, origin: Origin, received: datetime, after: int = 0, shown: Path | None = None
) -> Iterator[bytes]:
    """Yield an event for each record of the file whose number is above `after`; `shown` is the path that events name.

    The id is made of computer, channel, record number and time: a file, a copy of it and a forwarder that saw the same
    record give the same id. A record that is broken becomes a `pipeline_error` with the reason.

    Raises:
        OSError, RuntimeError: the file as a whole cannot be read.
    """
    name = str(shown or path)
    records = iter(PyEvtxParser(str(path)).records_json())
    number = 0
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                record = next(records, None)
        except (RuntimeError, ValueError) as error:
            number += 1
            yield _broken(origin, name, number, received, str(error))
            continue
        if record is None:
            return
        number = record["event_record_id"]
        if number <= after:
            continue
        try:
            fields = decode_windows(orjson.loads(record["data"]))
        except (ValueError, KeyError, TypeError) as error:
            yield _broken(origin, name, number, received, repr(error), record["data"])
            continue
        position = (
            fields.get("winlog.computer_name", ""),
            fields.get("winlog.channel", ""),
            number,
            record["timestamp"],
        )
        yield origin.complete(fields, position, received, {"log.file.path": name, "event.sequence": number})


def missing_chunks(header: bytes, size: int) -> int:
    """Return how many chunks a file of this size lacks of those that its header names."""
    named = int.from_bytes(header[_CHUNKS_AT : _CHUNKS_AT + 2], "little")
    return max(named - max(size - EVTX_HEADER_BYTES, 0) // _CHUNK_BYTES, 0)


def _broken(origin: Origin, name: str, number: int, received: datetime, reason: str, data: str = "") -> bytes:
    fields = {
        "event.kind": "pipeline_error", "event.dataset": "windows.event",
        "error.message": f"record {number}: {reason[:1000]}", "message": data[:32_768],
    }  # fmt: skip
    return origin.complete(
        fields, (name, "broken", number, reason), received, {"log.file.path": name, "event.sequence": number}
    )
