"""What a TAXII server answers to objects that were sent enters; which of them it took leaves.

TAXII 2.1 sections 4.3 (status resource) and 5.5 (adding objects).
"""

import time
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin

import orjson

#: How often a server is asked what became of something, in seconds.
PAUSE = 1.0
_LONGEST_REASON = 500


class Receipt(NamedTuple):
    """What a server said of what was sent: `status` of HTTP, its answer as it came, when (seconds since 1970).

    `failures` are ids and reasons of objects that it did not take; `complete`: it has said of each what became of it;
    `pending`: the id under which it will say so.
    """

    status: int
    body: bytes
    time: float
    successes: int = 0
    failures: tuple[tuple[str, str], ...] = ()
    complete: bool = False
    pending: str = ""

    @property
    def is_good(self) -> bool:
        """Whether everything was taken."""
        return self.status < 300 and self.complete and not self.failures

    def where_next(self, place: str) -> str:
        """Return where it will be said what became of objects that were added at a place; "" where all is said."""
        return urljoin(place, f"../../../status/{quote(self.pending, safe='')}/") if self.pending else ""


def receipt_of(status: int, body: bytes) -> Receipt:
    """Return what a server's answer says."""
    said = object_of(body)
    failed, count, good = said.get("failures"), said.get("failure_count"), said.get("success_count")
    failures = tuple(
        (str(each.get("id", "-")), str(each.get("message", ""))[:_LONGEST_REASON])
        for each in (failed if isinstance(failed, list) else [])
        if isinstance(each, dict)
    )
    if not failures and type(count) is int and count > 0:
        failures = (("-", f"failure_count: {count}"),)
    waits = status == 202 and said.get("status") == "pending"
    return Receipt(
        status, body, time.time(), good if type(good) is int else 0, failures,
        status < 300 and said.get("status") == "complete", str(said.get("id", "")) if waits else "",
    )  # fmt: skip


def object_of(body: bytes) -> dict[str, Any]:
    """Return a body's JSON object; an empty one where it is none."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
