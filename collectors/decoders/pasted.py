"""A log line as somebody pastes it, into a rule's test vectors or a form, enters; an event leaves."""

from datetime import UTC, datetime

from collectors.decoders import Fields, Hints, decode
from collectors.decoders.timestamp import MONTHS


def decode_pasted(line: str, received: datetime | None = None) -> Fields:
    """Decode a line without settings: with `<PRI>` or a time of RFC 3164 in front it came by syslog, else of a file."""
    is_syslog = line.startswith("<") or (line[:3] in MONTHS and line[3:4] == " ")
    return decode(line, Hints(syslog=is_syslog), received or datetime.now(UTC))
