"""`haidang evidence ALERT`: the packets of an alert leave, as capture files or taken apart by scapy."""

import argparse
import io
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.access import note
from pipeline.command import show
from pipeline.command.person import person
from pipeline.command.site import site_settings
from pipeline.event import from_micros
from pipeline.evidence import captures_of
from pipeline.messages import HaidangError, say
from pipeline.state import open_state

_SHOWN = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("alert", help=say("command.evidence.alert"))
    parser.add_argument("--output", type=Path, help=say("command.evidence.output"))
    parser.add_argument("--packet", type=int, help=say("command.evidence.packet"))
    parser.add_argument("--limit", type=int, default=_SHOWN, help=say("command.evidence.limit"))


def run(chosen: argparse.Namespace) -> int:
    """Print or write the packets; 1 where there are none."""
    settings = site_settings()
    engine = open_state(settings.data_dir, settings.state)
    captures = captures_of(engine, chosen.alert)
    if not captures:
        raise HaidangError("evidence.none", alert=chosen.alert[:100])
    with engine.begin() as connection:
        note(connection, person(), "command", "evidence_read", alert=chosen.alert)
    for number, (interface, data) in enumerate(captures.items()):
        if chosen.output:
            path = chosen.output if not number else chosen.output.with_stem(f"{chosen.output.stem}-{interface}")
            try:
                with path.open("xb") as file:
                    file.write(data)
            except FileExistsError as error:
                raise HaidangError("evidence.is_there", file=path) from error
            except OSError as error:
                raise HaidangError("evidence.not_written", file=path, fault=error.strerror or error) from error
            show.line(say("command.evidence.written", file=path, interface=interface))
        elif chosen.packet is not None:
            _one(data, chosen.packet)
        else:
            head = [say("command.evidence.number"), say("show.time"), say("command.evidence.head")]
            packets = list(_summaries(data))
            shown = packets[: max(0, chosen.limit)]
            show.table(interface, head, shown)
            if len(shown) < len(packets):
                show.line(say("command.evidence.shown", shown=len(shown), count=len(packets)))
    return 0


def _summaries(data: bytes) -> Iterator[tuple[str, str, str]]:
    with _reader(data) as packets:
        for number, packet in enumerate(packets, 1):
            moment = show.local_time(from_micros(int(packet.time * 1_000_000)))
            yield str(number), moment, packet.summary()


def _one(data: bytes, wanted: int) -> None:
    """Print one packet, taken apart layer by layer."""
    with _reader(data) as packets:
        packet = next(islice(packets, wanted - 1, None), None) if wanted > 0 else None
    if packet is None:
        raise HaidangError("evidence.no_packet", number=wanted)
    for line in str(packet.show(dump=True)).splitlines():
        sys.stdout.write(show.plain(line) + "\n")


def _reader(data: bytes) -> Any:
    from scapy.all import PcapReader  # with all protocols; a second to load: only where packets are looked at

    return PcapReader(io.BytesIO(data))  # type: ignore[arg-type]  # it takes files, too
