"""`[sharing]`: where the profiles lie of those that threat data is shared with (`sharing/profile.py`)."""

from pathlib import Path

from pydantic import Field

from pipeline.settings_behaviours import Section
from pipeline.settings_sharing_taxii import Taxii


class Sharing(Section):
    """`[sharing]`"""

    profiles: Path | None = Field(
        None, description="folder of the profiles (`*.toml`); without it `sharing` in the data directory"
    )
    keep_days: float = Field(
        400, ge=30, description="days after which messages that have ended are forgotten; the audit keeps each step"
    )

    taxii: Taxii = Field(default_factory=Taxii)

    def folder(self, data_dir: Path) -> Path:
        """Return where the profiles of a site lie."""
        return self.profiles or data_dir / "sharing"

    def has_profiles(self, data_dir: Path) -> bool:
        """Whether there is anybody to share with."""
        return next(self.folder(data_dir).glob("*.toml"), None) is not None
