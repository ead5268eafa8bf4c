"""`haidang search QUERY`: a query text enters, events leave."""

import argparse
import re
from typing import Any

from pipeline import store
from pipeline.access import note
from pipeline.command import show
from pipeline.command.person import person
from pipeline.command.site import site_settings
from pipeline.messages import HaidangError, say
from pipeline.state import open_state
from pipeline.store import query as q
from pipeline.store.request import MAX_WINDOW


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("query", nargs="?", default="", help=say("command.search.query"))
    parser.add_argument("--count", action="store_true", help=say("command.search.count"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))
    parser.add_argument("--from", dest="start", help=say("command.from"))
    parser.add_argument("--to", dest="end", help=say("command.to"))
    parser.add_argument("--size", type=int, default=20, help=say("command.search.size", limit=MAX_WINDOW))
    parser.add_argument("--alerts", action="store_true", help=say("command.search.alerts"))


def run(chosen: argparse.Namespace) -> int:
    """Search and print."""
    settings = site_settings()
    body = {
        "query": {"bool": {"must": [{"query_string": {"query": chosen.query}}], "filter": time_filter(chosen)}},
        "size": 0 if chosen.count else chosen.size,
    }
    reader = store.open_reader(settings.data_dir, settings.store)
    answer = reader.search(store.ALERTS if chosen.alerts else store.EVENTS, body)
    engine = open_state(settings.data_dir, settings.state)
    with engine.begin() as connection:
        told = {"search": chosen.query[:2000], "from": chosen.start, "to": chosen.end}
        note(connection, person(), "command", "search", **told, shown=len(answer["hits"]["hits"]))
    engine.dispose()
    total, hits = answer["hits"]["total"]["value"], answer["hits"]["hits"]
    if chosen.count:
        show.json_line({"count": total}) if chosen.json else show.line(str(total))
    elif chosen.json:
        for hit in hits:
            show.json_line(hit["_source"])
    else:
        _print(total, [hit["_source"] for hit in hits], answer["took"])
    return 0


def time_filter(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the DSL filter of `--from` and `--to`.

    Raises:
        HaidangError: one of them is no time.
    """
    bounds = {}
    for name, text in (("gte", chosen.start), ("lte", chosen.end)):
        if text:
            bounds[name] = _moment(text)
    return [{"range": {q.TIME: bounds}}] if bounds else []


def micros(text: str) -> int:
    """Return a time that somebody wrote as microseconds since 1970.

    Raises:
        HaidangError: it is none.
    """
    return q.moment(_moment(text), "time")


def _moment(text: str) -> str:
    """Read `2026-11-24`, `2026-11-24T10:00`, `now-1h` or `1h` (ago)."""
    if re.fullmatch(r"-?\d{1,6}[smhdw]", text):
        text = "now-" + text.lstrip("-")
    try:
        q.moment(text, "time")
    except HaidangError as error:
        raise HaidangError("command.not_a_time", value=text) from error
    return text


def _print(total: int, events: list[dict[str, Any]], took: int) -> None:
    rows = [
        (
            show.local_time(event["@timestamp"]),
            event.get("host.name", ""),
            event.get("event.dataset", ""),
            _summary(event),
        )
        for event in events
    ]
    head = [say("show.time"), say("show.host"), say("show.dataset"), say("show.message")]
    if rows:
        show.table("", head, rows)
    show.line(say("command.search.found", total=show.number(total), shown=len(rows), took=took))


#: Fields that tell what an event without a message is about.
_TELLING = (
    "event.action", "user.name", "source.ip", "destination.ip", "destination.port", "network.protocol",
    "dns.question.name", "url.domain", "url.original", "tls.client.server_name", "file.path", "process.command_line",
    "process.executable",
)  # fmt: skip


def _summary(event: dict[str, Any]) -> str:
    text = show.rule_name(event) or event.get("message") or event.get("event.original") or event.get("error.message")
    if not text:
        text = " ".join(f"{name}={event[name]}" for name in _TELLING if name in event)
    return str(text).replace("\n", " ")[:300]
