"""`haidang alerts`: the queue's rows leave, newest first."""

import argparse
from typing import Any

from sqlalchemy import select

from pipeline.access import note
from pipeline.command import show
from pipeline.command.person import person
from pipeline.command.search import time_filter
from pipeline.command.site import site_settings
from pipeline.messages import say
from pipeline.queue import STATUSES, life
from pipeline.queue.showing import shown as seen
from pipeline.state import open_state
from pipeline.state.tables import alerts
from pipeline.store import query as q


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help=say("command.json"))
    parser.add_argument("--from", dest="start", help=say("command.from"))
    parser.add_argument("--to", dest="end", help=say("command.to"))
    parser.add_argument("--rule", help=say("command.alerts.rule"))
    parser.add_argument("--status", default="all", help=say("command.alerts.status", statuses=", ".join(STATUSES)))
    parser.add_argument("--limit", type=int, help=say("command.alerts.limit"))


def run(chosen: argparse.Namespace) -> int:
    """Print the alerts: all of them as JSON lines, the newest 50 as a table."""
    settings = site_settings()
    query = select(alerts).order_by(alerts.c.time.desc(), alerts.c.id)
    for bounds in time_filter(chosen):
        limits = bounds["range"][q.TIME]
        if "gte" in limits:
            query = query.where(alerts.c.time >= q.moment(limits["gte"], "--from"))
        if "lte" in limits:
            query = query.where(alerts.c.time <= q.moment(limits["lte"], "--to"))
    if chosen.rule:
        named = alerts.c.document["rule.name_vi"].as_string() == chosen.rule
        query = query.where((alerts.c.rule_id == chosen.rule) | (alerts.c.rule_name == chosen.rule) | named)
    if wanted := life.statuses_of(chosen.status):
        query = query.where(alerts.c.status.in_(wanted))
    limit = chosen.limit if chosen.limit is not None else (None if chosen.json else 50)
    engine = open_state(settings.data_dir, settings.state)
    with engine.begin() as connection:
        asked = {"rule": chosen.rule, "status": chosen.status, "from": chosen.start, "to": chosen.end, "limit": limit}
        note(connection, person(), "command", "alerts_read", **asked)
    with engine.connect().execution_options(read_only=True, stream_results=True) as connection:
        found = (seen(row) for row in connection.execute(query.limit(limit)))
        if chosen.json:
            for alert in found:
                show.json_line(alert)
            return 0
        kept = list(found)
    rows = [_row(alert) for alert in kept]
    head = [
        say("show.time"),
        say("show.level"),
        say("show.host"),
        say("show.who"),
        say("show.rule"),
        say("queue.head.id"),
    ]
    if rows:
        show.table("", head, rows)
        steps = {show.rule_name(alert): step for alert in kept if (step := show.first_step(alert))}
        if steps:
            show.table("", [say("show.rule"), say("show.what_first")], steps.items())
    show.line(say("command.alerts.found", shown=len(rows)) if rows else say("command.alerts.none"))
    return 0


def _row(alert: dict[str, Any]) -> tuple[str, ...]:
    who = alert.get("user.name") or alert.get("source.ip") or ""
    level = show.level(alert["rule.level"])
    return (
        show.local_time(alert["@timestamp"]),
        level,
        alert.get("host.name", ""),
        str(who),
        show.rule_name(alert),
        alert["event.id"],
    )
