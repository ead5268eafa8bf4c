"""Which rules the detectors use: what their copies say of themselves in the state enters, one status leaves."""

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, select

from detectors.rulebook import revisions
from pipeline.health import SILENT_SECONDS
from pipeline.state.tables import stages


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the detectors that lives, and the revision that it uses; -1 before it has loaded one.

    A copy only uses a revision through which a canary was found, at `proved` (seconds since 1970).
    """

    instance: str
    revision: int
    rules: int
    refused: int
    modes: dict[str, int]
    proved: float | None

    def as_json(self) -> dict[str, Any]:
        """Return it as it is printed."""
        return {
            "instance": self.instance, "revision": self.revision, "rules": self.rules, "refused": self.refused,
            "modes": self.modes, "canary_found": self.proved,
        }  # fmt: skip


def copies(engine: Engine) -> list[Copy]:
    """Return the copies of the detectors that live."""
    living = (stages.c.stage == "detectors") & (stages.c.seen > time.time() - SILENT_SECONDS)
    query = select(stages.c.instance, stages.c.detail).where(living).order_by(stages.c.instance)
    with engine.connect().execution_options(read_only=True) as connection:
        return [_copy(row.instance, row.detail) for row in connection.execute(query)]


def _copy(instance: str, detail: dict[str, Any]) -> Copy:
    return Copy(
        instance, int(detail.get("rulebook", -1)), int(detail.get("rules", 0)), int(detail.get("refused_count", 0)),
        dict(detail.get("modes", {})), detail.get("rulebook_proved"),
    )  # fmt: skip


def standing(engine: Engine) -> dict[str, Any]:
    """Return the revision in force, whether all copies use it, and the newest revision where that was taken back."""
    in_force = revisions.current_number(engine)
    living = copies(engine)
    newest = next(iter(revisions.history(engine, 1)), None)
    return {
        "revision": in_force,
        "in_use": bool(living) and all(copy.revision == in_force for copy in living),
        "detectors": [copy.as_json() for copy in living],
        "taken_back": None if newest is None or not newest.failed else {
            "revision": newest.number, "time": newest.time, "who": newest.who, "action": newest.action,
            "reason": newest.failed,
        },
    }  # fmt: skip
