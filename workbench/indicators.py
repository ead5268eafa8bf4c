"""`haidang indicators …`: what is looked for is shown, added, brought in and refreshed; stored events are searched."""

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from detectors.indicators import adding, kept, ready, refreshing
from detectors.indicators.allow import of_settings
from detectors.indicators.formats import FORMATS
from detectors.indicators.indicator import KINDS, THREATS, TLPS, of_line
from detectors.indicators.listed import Defaults
from pipeline.access import note
from pipeline.command import show
from pipeline.command.actions import declare
from pipeline.command.person import person
from pipeline.command.site import site_settings
from pipeline.event import at_second
from pipeline.logs import unlogged
from pipeline.messages import HaidangError, say
from pipeline.settings import Settings
from pipeline.settings.indicators import LIVE
from pipeline.state import open_state
from workbench import numbers

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class _Site:
    settings: Settings
    engine: Engine
    who: tuple[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    declare(parser, "indicators", {name: add for name, (add, _) in _COMMANDS.items()})


def run(chosen: argparse.Namespace) -> int:
    """Run one of them."""
    settings = site_settings(must_be_there=False)
    engine = open_state(settings.data_dir, settings.state)
    return _COMMANDS[chosen.action][1](chosen, _Site(settings, engine, (person(), "command")))


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _value_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("value", nargs="+", help=say("command.indicators.value"))
    _json(parser)


def _said_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threat", choices=THREATS, default="suspicious", help=say("command.indicators.threat"))
    parser.add_argument("--confidence", type=numbers.percent, default=80, help=say("command.indicators.confidence"))
    parser.add_argument("--days", type=numbers.days_or_never, default=90.0, help=say("command.indicators.days"))


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--feed", default=LIVE, help=say("command.indicators.feed"))
    parser.add_argument("--text", default="", help=say("command.indicators.text"))
    parser.add_argument("--limit", type=numbers.limit, default=100, help=say("command.indicators.limit"))
    _json(parser)


def _list(chosen: argparse.Namespace, site: _Site) -> int:
    found = _live(site) if chosen.feed == LIVE else _of_feed(site, chosen.feed)
    fits = (each for each in found if chosen.text.lower() in f"{each['value']} {each['family']}".lower())
    rows = [each for each, _ in zip(fits, range(chosen.limit), strict=False)]
    if chosen.json:
        for each in rows:
            show.json_line(each)
        return 0
    head = [say(f"command.indicators.head.{name}") for name in ("kind", "value", "threat", "confidence", "ends", "why")]
    show.table("", head, [_row(each) for each in rows], right=[3])
    return 0


def _live(site: _Site) -> list[dict[str, Any]]:
    return [each.as_json() for each in kept.live_rows(site.engine)]


def _of_feed(site: _Site, name: str) -> "map[dict[str, Any]]":
    feed = _feed(site, name)
    lines = kept.lines_of(site.engine, name, feed.version) if feed.version else iter(())
    return map(lambda line: of_line(line)._asdict(), lines)  # noqa: C417 - a generator that may be left early


def _feed(site: _Site, name: str) -> kept.Feed:
    feed = kept.feed(site.engine, name)
    if feed is None:
        known = ", ".join(each.name for each in kept.feeds(site.engine)) or "-"
        raise HaidangError("indicators.no_feed", name=name, known=known)
    return feed


def _row(each: Mapping[str, Any]) -> tuple[Any, ...]:
    why = " ".join(filter(None, (each["family"], each.get("reason", ""), each["reference"])))
    return each["kind"], each["value"], each["threat"], each["confidence"], _when(each["expires"]), why


def _when(seconds: float | None) -> str:
    return show.local_time(at_second(seconds)) if seconds else "-"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    _value_arguments(parser)
    _said_arguments(parser)
    parser.add_argument("--kind", choices=KINDS, default="", help=say("command.indicators.kind"))
    parser.add_argument("--family", default="", help=say("command.indicators.family"))
    parser.add_argument("--reference", default="", help=say("command.indicators.reference"))
    parser.add_argument("--tlp", choices=sorted(TLPS), default="", help=say("command.indicators.tlp"))
    parser.add_argument("--reason", required=True, help=say("command.indicators.reason"))


def _add(chosen: argparse.Namespace, site: _Site) -> int:
    allow = of_settings(site.settings.indicators)
    ends = time.time() + chosen.days * _DAY if chosen.days else 0.0
    found = [
        one
        for value in chosen.value
        for one in adding.made(
            allow, value, chosen.kind, threat=chosen.threat, confidence=chosen.confidence, expires=ends,
            family=chosen.family, where=chosen.reference, tlp=chosen.tlp,
        )
    ]  # fmt: skip
    search = adding.add(site.engine, site.settings, found, site.who, chosen.reason)
    if chosen.json:
        show.json_line({"added": [each._asdict() for each in found], "search": search})
    else:
        show.line(say("command.indicators.added", values=", ".join(f"{each.kind} {each.value}" for each in found)))
        if search is not None:
            show.line(say("command.indicators.will_search", days=site.settings.indicators.retro_days))
    return 0


def _remove_arguments(parser: argparse.ArgumentParser) -> None:
    _value_arguments(parser)
    parser.add_argument("--reason", default="", help=say("command.indicators.reason"))


def _remove(chosen: argparse.Namespace, site: _Site) -> int:
    removed = [
        one for value in chosen.value for one in adding.remove(site.engine, value, site.who, chosen.reason)
    ]  # fmt: skip
    if chosen.json:
        show.json_line({"removed": [each._asdict() for each in removed]})
    else:
        show.line(say("command.indicators.removed", values=", ".join(f"{each.kind} {each.value}" for each in removed)))
    return 0


def _import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help=say("command.indicators.file"))
    parser.add_argument("--name", default="", help=say("command.indicators.name"))
    parser.add_argument("--format", choices=FORMATS, default="auto", help=say("command.indicators.format"))
    _said_arguments(parser)
    _json(parser)


def _import(chosen: argparse.Namespace, site: _Site) -> int:
    stem = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in chosen.file.stem.lower())
    name = chosen.name or stem.strip("-")[:63] or "imported"
    defaults = Defaults(name, chosen.threat, chosen.confidence, now=time.time())
    made = refreshing.import_file(site.engine, site.settings, chosen.file, chosen.format, defaults, chosen.days)
    with site.engine.begin() as connection:
        note(connection, *site.who, "indicators_import", feed=name, file=chosen.file.name, count=made.count)
    return _told([made], chosen.json)


def _feeds(chosen: argparse.Namespace, site: _Site) -> int:
    found = kept.feeds(site.engine)
    if chosen.json:
        for each in found:
            show.json_line(each.as_json())
        return 0
    names = ("feed", "kind", "count", "refused", "refreshed", "error")
    rows = [
        (
            each.name, each.kind, show.number(each.count), show.number(sum(each.detail.get("refused", {}).values())),
            _when(each.refreshed), each.error,
        )
        for each in found
    ]  # fmt: skip
    show.table("", [say(f"command.indicators.head.{name}") for name in names], rows, right=[2, 3])
    return 1 if any(each.error for each in found) else 0


def _refresh_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="*", help=say("command.indicators.names"))
    parser.add_argument("--force", action="store_true", help=say("command.indicators.force"))
    _json(parser)


def _refresh(chosen: argparse.Namespace, site: _Site) -> int:
    named = {feed.name: feed for feed in site.settings.indicators.feeds}
    for name in chosen.name:
        if name not in named:
            raise HaidangError("indicators.no_feed", name=name, known=", ".join(named) or "-")
    wanted = [named[name] for name in chosen.name] or list(named.values())
    if not wanted:
        raise HaidangError("indicators.no_feeds_set")
    with unlogged():
        outcomes = [refreshing.refresh(site.engine, site.settings, feed, chosen.force) for feed in wanted]
    return _told(outcomes, chosen.json)


def _told(outcomes: list[refreshing.Outcome], as_json: bool) -> int:
    for each in outcomes:
        refused = dict(each.refused or {})
        if as_json:
            shown = [{"place": place, "text": text, "reason": reason} for place, text, reason in each.shown]
            show.json_line({
                "name": each.name, "count": each.count, "new": each.new, "changed": each.changed, "refused": refused,
                "refused_shown": shown, "error": each.error,
            })  # fmt: skip
            continue
        if each.error:
            show.line(f"{each.name}: {each.error}")
            continue
        counts = {"count": show.number(each.count), "new": show.number(each.new)}
        show.line(say("command.indicators.brought", name=each.name, **counts))
        for reason, count in sorted(refused.items(), key=lambda pair: -pair[1]):
            words = adding.reason_words(reason)
            show.line(say("command.indicators.left_out", count=show.number(count), reason=words))
        for place, text, reason in each.shown:
            show.line(show.plain(f"  {place}: {text}: {adding.reason_words(reason)}"))
    return 1 if any(each.error for each in outcomes) else 0


def _remove_feed_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help=say("command.indicators.feed"))


def _remove_feed(chosen: argparse.Namespace, site: _Site) -> int:
    feed = _feed(site, chosen.name)
    kept.remove_feed(site.engine, feed.name)
    with site.engine.begin() as connection:
        note(connection, *site.who, "indicators_remove_feed", feed=feed.name, count=feed.count)
    show.line(say("command.indicators.feed_removed", name=feed.name, count=show.number(feed.count)))
    return 0


def _check(chosen: argparse.Namespace, site: _Site) -> int:
    matcher, allow = ready.current(site.engine, site.settings), of_settings(site.settings.indicators)
    for value in chosen.value:
        found = adding.checked(matcher, allow, value)
        if chosen.json:
            show.json_line(found)
            continue
        if found["refused"]:
            show.line(f"{show.plain(value)}: {adding.reason_words(found['refused'])}")
        elif found["allowed"]:
            show.line(say("command.indicators.is_allowed", value=show.plain(value)))
        elif not found["found"]:
            show.line(say("command.indicators.none", value=show.plain(value)))
        for each in found["found"]:
            show.line(
                say(
                    "command.indicators.found", value=show.plain(value), indicator=show.plain(each["value"]),
                    feed=each["feed"], threat=each["threat"], confidence=each["confidence"],
                    ends=_when(each["expires"]),
                )
            )  # fmt: skip
    return 0


def _retro_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("value", nargs="*", help=say("command.indicators.retro_value"))
    parser.add_argument("--all", action="store_true", help=say("command.indicators.all"))
    parser.add_argument("--days", type=numbers.days, help=say("command.indicators.retro_days"))
    _json(parser)


def _retro(chosen: argparse.Namespace, site: _Site) -> int:
    if chosen.value or chosen.all:
        matcher = ready.current(site.engine, site.settings)
        number = adding.search(site.engine, site.settings, chosen.value, matcher, chosen.days)
        if chosen.json:
            show.json_line({"search": number})
        else:
            show.line(say("command.indicators.asked", number=number))
        return 0
    found = kept.searches(site.engine)
    if chosen.json:
        for each in found:
            show.json_line(each.as_json())
        return 0
    names = ("number", "feed", "count", "state", "examined", "found", "error")
    rows = [
        (
            each.id, each.feed, show.number(each.count), say(f"indicators.search.{each.state}"),
            show.number(each.examined), show.number(each.found), each.error,
        )
        for each in found
    ]  # fmt: skip
    show.table("", [say(f"command.indicators.head.{name}") for name in names], rows, right=[2, 4, 5])
    return 0


def _allow(chosen: argparse.Namespace, site: _Site) -> int:
    entries = of_settings(site.settings.indicators).entries
    if chosen.json:
        show.json_line({"allow": entries})
    else:
        for each in entries:
            show.line(show.plain(each))
    return 0


def _stats(chosen: argparse.Namespace, site: _Site) -> int:
    kinds: dict[str, int] = {}
    threats: dict[str, int] = {}
    feeds = kept.feeds(site.engine)
    live = kept.live(site.engine)
    for name, counts in (("kinds", kinds), ("threats", threats)):
        for feed in feeds:
            for key, count in feed.detail.get(name, {}).items():
                counts[key] = counts.get(key, 0) + count
        for each in live:
            key = each.kind if name == "kinds" else each.threat
            counts[key] = counts.get(key, 0) + 1
    figures = {"count": sum(kinds.values()), "live": len(live), "feeds": len(feeds), "kinds": kinds, "threats": threats}
    if chosen.json:
        show.json_line(figures)
        return 0
    rows = [(key, show.number(count)) for counts in (kinds, threats) for key, count in sorted(counts.items())]
    head = [say("show.figure"), say("show.value")]
    show.table(say("command.indicators.stats_title", count=show.number(sum(kinds.values()))), head, rows, right=[1])
    return 0


_Add = Callable[[argparse.ArgumentParser], None]
_Run = Callable[[argparse.Namespace, _Site], int]
_COMMANDS: Mapping[str, tuple[_Add, _Run]] = {
    "list": (_list_arguments, _list),
    "add": (_add_arguments, _add),
    "remove": (_remove_arguments, _remove),
    "import": (_import_arguments, _import),
    "feeds": (_json, _feeds),
    "refresh": (_refresh_arguments, _refresh),
    "remove-feed": (_remove_feed_arguments, _remove_feed),
    "check": (_value_arguments, _check),
    "retro": (_retro_arguments, _retro),
    "allow": (_json, _allow),
    "stats": (_json, _stats),
}
