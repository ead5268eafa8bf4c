"""What a document says enters, the document leaves in the frame of this body's: who, number, place, date, who signs."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pipeline.delivery.routing import zone_of
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
    recipients = [say("documents.recipients"), *us.recipients, say("documents.kept")]
    return Document(
        title, subtitle, us.above, us.organ or settings.organization, number or say("documents.number"), dated,
        recipients, us.signer or say("documents.signer"), (say("documents.motto"), say("documents.motto_below")), to,
        int(made), blocks=list(blocks),
    )  # fmt: skip
