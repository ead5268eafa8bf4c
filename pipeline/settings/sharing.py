"""`[sharing]`: with whom threat data is shared, who we are in documents, which reports are made."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from pipeline.settings.delivery import valid_time
from pipeline.settings.section import Section
from pipeline.settings.sharing_taxii import Taxii


class Sharing(Section):
    """`[sharing]`"""

    profiles: Path | None = Field(
        None, description="folder of the profiles (`*.toml`); without it `sharing` in the data directory"
    )
    keep_days: float = Field(
        400, ge=30, description="days after which messages that have ended are forgotten; the audit keeps each step"
    )

    organ: str = Field("", max_length=200, description="name of this body, as documents that people sign have it")
    above: str = Field("", max_length=200, description="name of the body above it")
    place: str = Field("", max_length=100, description="place that documents are dated from")
    signer: str = Field("", max_length=200, description="title of who signs them")
    contact_name: str = Field("", max_length=200, description="who answers for incidents")
    contact_title: str = Field("", max_length=200, description="that person's title")
    contact_phone: str = Field("", max_length=50, description="that person's telephone")
    contact_email: str = Field("", max_length=200, description="that person's e-mail address")
    recipients: list[str] = Field(default_factory=list, max_length=20, description="to whom copies of documents go")
    reports: list[Literal["daily", "weekly", "half-yearly"]] = Field(
        default_factory=list, description="[reports](reports.md) that are made by themselves"
    )
    reports_at: str = Field("07:00", description="time of the day from which on they are made")

    _is_time = field_validator("reports_at")(valid_time)

    taxii: Taxii = Field(default_factory=Taxii)

    def folder(self, data_dir: Path) -> Path:
        """Return where the profiles of a site lie."""
        return self.profiles or data_dir / "sharing"

    def is_wanted(self, data_dir: Path) -> bool:
        """Whether there is anybody to share with, a report to be made, or a collection to be read."""
        return bool(self.reports) or self.taxii.warnings or next(self.folder(data_dir).glob("*.toml"), None) is not None
