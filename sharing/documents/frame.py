"""What a document says enters, the document leaves in the frame of this body's: who, number, place, date, who signs."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from pipeline.delivery.routing import zone_of
from pipeline.event import parse_time
from pipeline.messages import say
from pipeline.settings import Settings
from sharing.documents import Block, Document


def framed(
    settings: Settings, title: str, subtitle: str, blocks: Sequence[Block], made: float, number: str, to: str = ""
) -> Document:
    """Return a document in the frame of this body's documents."""
    us, zone = settings.sharing, zone_of(settings)
    day = datetime.fromtimestamp(made, UTC).astimezone(zone)
    dated = say("documents.dated", place=us.place or "……", day=f"{day:%d}", month=f"{day:%m}", year=day.year)
    copies = [*([say("documents.as_above")] if to else []), *us.recipients] or ["……"]
    recipients = [say("documents.recipients"), *(f"{each.rstrip(' ;.')};" for each in copies), say("documents.kept")]
    return Document(
        title, subtitle, us.above, us.organ or settings.organization, number or say("documents.number"), dated,
        recipients, us.signer or say("documents.signer"), (say("documents.motto"), say("documents.motto_below")), to,
        int(made), blocks=list(blocks),
    )  # fmt: skip


def moment(text: Any, zone: tzinfo | None) -> str:
    """Return a moment of ISO 8601 as documents have it; "" for none."""
    if not text:
        return ""
    return parse_time(str(text)).astimezone(zone).strftime("%H:%M %d/%m/%Y")
