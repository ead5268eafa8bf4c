"""Health: what the stages said of themselves enters, one account of what works and what does not leaves."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Engine, select

from pipeline import canaries, deadletters
from pipeline.cases import clocks
from pipeline.delivery import book
from pipeline.disk import disk_of
from pipeline.identity import users
from pipeline.queue import groups
from pipeline.settings import Settings
from pipeline.stage import HEARTBEAT_SECONDS
from pipeline.state.tables import stages
from pipeline.supervisor import STAGES, stages_of

#: A stage that said nothing for this long counts as down, in seconds: a full disk or a large commit may take a while.
SILENT_SECONDS = 5 * HEARTBEAT_SECONDS
#: A copy of a stage on another machine that said nothing for this long is there no more, in seconds.
FORGOTTEN_SECONDS = 86_400.0


def health(engine: Engine, settings: Settings) -> dict[str, Any]:
    """Return `{"status": "ok" | "degraded", "stages": {…}, "problems": [{"what", …}], "disk_free_bytes",
    "disk_total_bytes", "disk_reserve_bytes", "canaries": […], "channels": […], "queue": {…}}`; the queue's groups by
    status, open cases, and late ones.
    """
    now = time.time()
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(select(stages)).mappings().all()
    problems: list[dict[str, Any]] = []
    shown = {}
    rows = [row for row in rows if ":" not in row["stage"]]  # not the detectors of an import
    copies = Counter(row["stage"] for row in rows)
    for row in rows:
        detail = dict(row["detail"])
        name = row["stage"] if copies[row["stage"]] == 1 else f"{row['stage']}@{row['instance']}"
        silent = round(now - row["seen"], 1)
        if copies[row["stage"]] > 1 and silent > FORGOTTEN_SECONDS:  # a machine that was taken away
            continue
        if silent >= SILENT_SECONDS and row["stage"] in STAGES and row["stage"] not in stages_of(settings):
            continue  # it has nothing to do any more
        shown[name] = {
            "up": silent < SILENT_SECONDS, "pid": row["pid"], "seen_seconds_ago": silent,
            "backlog_events": row["backlog_events"], **detail,
        }  # fmt: skip
        if silent >= SILENT_SECONDS:
            problems.append({"what": "stage_silent", "stage": name, "seconds": silent})
        for place, why in detail.get("failures", {}).items():
            problems.append({"what": "cannot_listen", "place": place, "reason": why})
        if detail.get("held_by_disk"):
            problems.append({"what": "disk_full", "stage": name, "reserve_mb": settings.limits.disk_reserve_mb})
        elif detail.get("held"):
            problems.append({"what": "intake_held", "stage": name, "reason": detail["held"]})
        elif detail.get("waits"):
            problems.append({"what": "stage_waits", "stage": name, "reason": detail["waits"]})
        problems += _of_rules(detail)
        problems += _of_indicators(detail.get("indicators") or {})
    flown = canaries.standing(engine)
    problems += _of_canaries(flown)
    fared = book.standing(engine, [channel.name for channel in settings.channels])
    problems += _of_channels(fared)
    letters = deadletters.summary(engine)["count"]
    if letters:
        problems.append({"what": "dead_letters", "count": letters})
    disk = disk_of(settings)
    if disk.low:
        problems.append({"what": "disk_low", "free_bytes": disk.free})
    queue = _queue(engine, settings)
    if queue["cases_late"]:
        problems.append({"what": "case_late", "count": queue["cases_late"]})
    status = "degraded" if problems else "ok"
    return {
        "status": status, "stages": shown, "problems": problems, "disk_free_bytes": disk.free,
        "disk_total_bytes": disk.total, "disk_reserve_bytes": disk.reserve, "canaries": flown, "channels": fared,
        "queue": queue, "advice": list(_advice(engine)),
    }  # fmt: skip


def _advice(engine: Engine) -> Iterator[dict[str, Any]]:
    """Yield what works, and should be better all the same."""
    if bare := users.without_second_factor(engine):
        yield {"what": "no_second_factor", "count": len(bare), "names": ", ".join(bare[:5])}


def _queue(engine: Engine, settings: Settings) -> dict[str, int]:
    with engine.connect().execution_options(read_only=True) as connection:
        standing = groups.standing(connection)
        late = clocks.late(connection, time.time(), settings.cases)
    return {**standing, "cases": late.cases, "cases_late": late.late}


def _of_canaries(flown: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for canary in flown:
        if canary["state"] == "late":
            reached = ", ".join(("sent", *canary["reached"]))
            named = {name: canary[name] for name in ("machine", "source", "kind", "sent", "fault")}
            yield {"what": "canary_late", **named, "reached": reached}


def _of_channels(fared: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for channel in fared:
        if not channel["set"]:  # what is left of one that is in the settings no more
            continue
        if channel["failures"]:
            yield {"what": "channel_failing", **{name: channel[name] for name in ("channel", "waiting", "error")}}
        if channel["dead"]:
            yield {"what": "messages_dead", "channel": channel["channel"], "count": channel["dead"]}


def _of_rules(detail: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what a stage says of rules that it could not load."""
    if detail.get("refused"):
        yield {"what": "rules_refused", "count": detail.get("refused_count", len(detail["refused"]))}
    for source, said in detail.get("packet_rules", {}).items():
        for reason in said.get("unread", ()):
            yield {"what": "packet_rules_unread", "source": source, "reason": reason}


def _of_indicators(said: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what is wrong with the indicators that a copy of the detectors looks for."""
    if said.get("fault"):
        yield {"what": "indicators_fault", "reason": said["fault"]}
    for feed in said.get("feeds", ()):
        if feed["error"] or feed["stale"]:
            yield {"what": "indicator_list", "feed": feed["name"], "reason": feed["error"] or "stale"}
