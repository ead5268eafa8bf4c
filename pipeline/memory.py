"""What this process holds of memory, as the kernel says it."""

import os
from pathlib import Path


def resident_bytes() -> int:
    """Return the bytes of this process that are in memory (proc(5), `statm`)."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
