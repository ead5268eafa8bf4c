"""The ledger's lines enter, a balance for each source leaves: what came in and where it went."""

from typing import Any

from sqlalchemy import Engine

from pipeline import ledger
from pipeline.settings import RESERVED_SOURCES

_COLUMNS = {
    ("collectors", ledger.IN, ""): "received",
    ("store", ledger.OUT, ""): "stored",
    ("store", ledger.OUT, "already_stored"): "already_stored",
    ("detectors", ledger.IN, ""): "examined",
    ("detectors", ledger.OUT, ""): "alerts",
}


def balances(engine: Engine) -> list[dict[str, Any]]:
    """Return a row for each source of events; none for what the pipeline counts of itself.

    received, stored, already_stored, dropped, reasons, examined (by the detectors), alerts, last_minute (since 1970).
    """
    rows: dict[str, dict[str, Any]] = {}
    for line in ledger.sums(engine):
        if line.source in RESERVED_SOURCES:
            continue
        row = rows.setdefault(
            line.source,
            {
                "source": line.source, "received": 0, "stored": 0, "already_stored": 0, "dropped": 0, "examined": 0,
                "alerts": 0, "reasons": {}, "last_minute": 0,
            },
        )  # fmt: skip
        row["last_minute"] = max(row["last_minute"], line.last_minute)
        column = _COLUMNS.get((line.stage, line.outcome, line.reason if line.outcome == ledger.OUT else ""))
        if column:
            row[column] += line.events
        if line.outcome == ledger.DROPPED:
            row["dropped"] += line.events
            row["reasons"][line.reason] = row["reasons"].get(line.reason, 0) + line.events
    return list(rows.values())
