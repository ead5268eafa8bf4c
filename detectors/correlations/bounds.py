"""What bounds the state of correlations, and counts of what was left out by that. Times are in microseconds."""

from dataclasses import dataclass

SECOND = 1_000_000
#: Further ahead of its receipt than this, in microseconds, a time is no wrong time zone but a clock that is broken.
AHEAD = 86_400 * SECOND
#: Before and after every time there is, in microseconds since 1970.
BEFORE_ALL = -(2**62)
AFTER_ALL = 2**62


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the state. Without `lateness` (microseconds) every event waits for `finish`."""

    lateness: int | None = 300 * SECOND
    groups: int = 100_000  # of each correlation
    events: int = 10_000  # of each group
    evidence_bytes: int = 200_000_000  # of all events that are kept to be shown


@dataclass(slots=True)
class Counts:
    """What happened, in events (groups where it says so); kept over restarts."""

    events: int = 0
    repeated: int = 0
    too_late: int = 0
    too_far_ahead: int = 0
    groups_evicted: int = 0
    events_evicted: int = 0
    without_evidence: int = 0


@dataclass(slots=True)
class Evidence:
    """How many bytes of events are kept to be shown."""

    bytes: int = 0
