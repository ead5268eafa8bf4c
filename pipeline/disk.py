"""The disk of the data directory: its free space enters, whether to warn and whether to take in no more leaves."""

import shutil
from datetime import UTC, datetime
from typing import NamedTuple

from pipeline.event import Event
from pipeline.own_alerts import own_alert
from pipeline.settings import Settings

#: It is warned when less than this many times the reserve is free.
_WARN_TIMES = 3
#: Intake that was held goes on when this much of the reserve is free again: not to and fro with every file.
_GO_ON_TIMES = 1.1


class Disk(NamedTuple):
    """What is free and what should stay so, in bytes."""

    free: int
    total: int
    reserve: int

    @property
    def low(self) -> bool:
        """Whether somebody should make room."""
        return self.free < self.reserve * _WARN_TIMES

    def full(self, held: bool = False) -> bool:
        """Whether nothing more should be taken in; `held`: whether that is so already."""
        return self.free < self.reserve * (_GO_ON_TIMES if held else 1)


def disk_of(settings: Settings) -> Disk:
    """Look at the disk."""
    usage = shutil.disk_usage(settings.data_dir)
    return Disk(usage.free, usage.total, settings.limits.disk_reserve_mb * 1_000_000)


def disk_alert(settings: Settings, disk: Disk) -> Event | None:
    """Return the alert of a disk that is low or full; the same one all day. None for one that is well."""
    if not disk.low:
        return None
    full = disk.full()
    reason = f"{settings.data_dir}: {disk.free / 1e9:.1f} GB free of {disk.total / 1e9:.1f}"
    return own_alert(
        "disk.full" if full else "disk.low", str(settings.data_dir), reason, settings.observer,
        "high" if full else "medium", once=f"{settings.observer} {settings.data_dir} {datetime.now(UTC):%Y-%m-%d}",
    )  # fmt: skip
