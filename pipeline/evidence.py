"""The packets of an alert leave: what sensors have saved of it, as capture files."""

import zstandard
from sqlalchemy import Engine, select

from pipeline.state.tables import evidence

#: A saved capture unpacks to no more.
_MOST_BYTES = 16_000_000


def captures_of(engine: Engine, alert: str) -> dict[str, bytes]:
    """Return the capture (pcap) of each interface that saw packets of an alert."""
    query = (
        select(evidence.c.interface, evidence.c.data).where(evidence.c.alert == alert).order_by(evidence.c.interface)
    )
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(query).all()
    return {row.interface: zstandard.ZstdDecompressor().decompress(row.data, _MOST_BYTES) for row in rows}
