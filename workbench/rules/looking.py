"""`haidang rules list|show|explain|history|exceptions|packs|keys`: the rulebook is shown."""

import argparse
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from detectors.rulebook import hits, revisions
from detectors.rulebook.book import MODES, OFF
from detectors.rulebook.explain import Explanation, Selection, Test, explain
from detectors.rulebook.listing import listed, shown
from detectors.sigma.rule import LEVELS
from pipeline import store
from pipeline.command import show
from pipeline.event import Event, decode, format_time
from pipeline.messages import HaidangError, language, said, say
from workbench import numbers
from workbench.rules.site import OnSite, refusal, title_of

_DAYS = 7
_MAX_EVENT = 10_000_000


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="?", default="", help=say("command.rules.text"))
    parser.add_argument("--pack", help=say("command.rules.pack"))
    parser.add_argument("--mode", choices=MODES, help=say("command.rules.mode"))
    parser.add_argument("--level", choices=LEVELS, help=say("command.rules.level"))
    parser.add_argument("--refused", action="store_true", help=say("command.rules.refused"))
    _json(parser)


def _list(chosen: argparse.Namespace, site: OnSite) -> int:
    loaded = site.rulebook.loaded
    if chosen.refused:
        for item in loaded.rules.refused:
            if chosen.json:
                show.json_line({"path": item.place, "rule": item.rule, "reason": said(item.reason)})
            else:
                show.line(show.plain(refusal(item)))
        if not chosen.json:
            show.line(say("command.rules.refused_count", count=show.number(len(loaded.rules.refused))))
        return 0
    known = dict.fromkeys(each["pack_name"] for each in listed(loaded, {}))
    if chosen.pack and chosen.pack not in (*known, *loaded.of_pack.values(), *loaded.revision.book.packs):
        raise HaidangError("rulebook.no_pack", name=chosen.pack, known=", ".join(known))
    found = listed(loaded, hits.of_rules(site.engine, _DAYS), chosen.text, chosen.pack, chosen.mode, chosen.level)
    if chosen.json:
        for each in found:
            show.json_line(each)
        return 0
    rows = [
        (
            each["id"][:8], show.level(each["level"]), say(f"rules.mode.{each['mode']}"), each["pack_name"],
            show.number(each["alerts"]), show.number(each["observed"]), _title(each),
        )
        for each in found
    ]  # fmt: skip
    names = ("id", "level", "mode", "pack", "alerts", "observed", "title")
    if rows:
        show.table("", [say(f"rules.head.{name}", days=_DAYS) for name in names], rows, right=(4, 5))
    elif loaded.every:
        show.line(say("command.rules.none_fits"))
    counts = loaded.counts()
    values = {name: show.number(count) for name, count in counts.items()}
    show.line(say("command.rules.counts", refused=show.number(len(loaded.rules.refused)), **values))
    if loaded.rules.refused:
        show.line(say("command.rules.see_refused"))
    return 0


def _title(entry: dict[str, Any]) -> str:
    return str((language() == "vi" and entry.get("title_vi")) or entry["title"])


def _rule_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rule", help=say("command.rules.rule"))


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    _rule_argument(parser)
    _json(parser)


def _show(chosen: argparse.Namespace, site: OnSite) -> int:
    rule = site.rulebook.find(chosen.rule)
    entry = shown(site.rulebook.loaded, rule, hits.of_rules(site.engine, _DAYS))
    if chosen.json:
        show.json_line(entry)
        return 0
    for name in ("id", "level", "mode", "pack_name", "path", "alerts", "observed"):
        value = entry[name]
        if name in ("mode", "level"):
            value = say(f"rules.mode.{value}") if name == "mode" else show.level(value)
        show.line(f"{say(f'rules.head.{name}', days=_DAYS)}: {show.plain(value)}")
    for each in entry["exceptions"]:
        show.line(say("command.rules.exception", **_exception(each)))
    show.line("")
    show.line(show.plain(entry["text"]))
    return 0


def _exception(each: dict[str, Any]) -> dict[str, str]:
    until = say("rules.until", time=_time(each["expires"])) if each["expires"] else say("rules.for_ever")
    return {
        "id": each["id"][:8],
        "until": until,
        "author": show.plain(each["author"]),
        "reason": show.plain(each["reason"]),
    }


def _exceptions(chosen: argparse.Namespace, site: OnSite) -> int:
    now = datetime.now(UTC).timestamp()
    titles = {rule.id: rule.title for rule in site.rulebook.loaded.every}
    for each in site.rulebook.revision.book.exceptions.values():
        gone = each.expires is not None and each.expires <= now
        if chosen.json:
            show.json_line({**each.model_dump(), "expired": gone})
            continue
        names = ", ".join(titles.get(identifier, identifier) for identifier in each.rules)
        text = say("command.rules.exception", **_exception(each.model_dump()))
        show.line(f"{text}{' ' + say('rules.expired') if gone else ''}: {show.plain(names)}")
    if not chosen.json and not site.rulebook.revision.book.exceptions:
        show.line(say("command.rules.no_exceptions"))
    return 0


def _packs(chosen: argparse.Namespace, site: OnSite) -> int:
    loaded = site.rulebook.loaded
    counts = {name: list(loaded.of_pack.values()).count(name) for name in {*loaded.of_pack.values()}}
    folders = sorted((name, count) for name, count in counts.items() if name.startswith("/"))
    book = loaded.revision.book
    if chosen.json:
        for folder, count in folders:
            show.json_line({"name": folder, "rules": count, "source": folder})
        for name, pack in book.packs.items():
            show.json_line({"name": name, "rules": counts.get(name, 0), **pack.model_dump()})
        return 0
    rows = [
        (
            name,
            pack.version,
            show.number(counts.get(name, 0)),
            say(f"rules.mode.{pack.mode}"),
            pack.key,
            pack.licence,
            pack.source,
        )
        for name, pack in book.packs.items()
    ]
    of_folders = [(folder, "", show.number(count), "", "", "", folder) for folder, count in folders]
    names = ("pack", "version", "rules", "mode", "key", "licence", "source")
    show.table("", [say(f"rules.head.{name}", days=_DAYS) for name in names], [*of_folders, *rows], right=(2,))
    return 0


def _keys(chosen: argparse.Namespace, site: OnSite) -> int:
    keys = site.rulebook.revision.book.keys
    for name, public in keys.items():
        show.json_line({"name": name, "public": public}) if chosen.json else show.line(f"{name}: {public}")
    if not keys and not chosen.json:
        show.line(say("command.rules.no_keys"))
    return 0


def _history_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=numbers.limit, default=50, help=say("command.rules.limit"))
    _json(parser)


def _history(chosen: argparse.Namespace, site: OnSite) -> int:
    found = revisions.history(site.engine, chosen.limit)
    if chosen.json:
        for each in found:
            values = {name: getattr(each, name) for name in ("time", "who", "address", "action", "detail", "failed")}
            show.json_line({"revision": each.number, **values})
        return 0
    titles = {rule.id: title_of(rule) for rule in site.rulebook.loaded.every}
    rows = [
        (
            each.number,
            _time(each.time),
            f"{each.who} ({each.address})",
            say(f"rules.action.{each.action}"),
            _detail(each, titles),
        )
        for each in found
    ]
    if rows:
        names = ("revision", "time", "who", "action", "what")
        show.table("", [say(f"rules.head.{name}", days=_DAYS) for name in names], rows, right=(0,))
    else:
        show.line(say("command.rules.no_history"))
    return 0


def _detail(revision: revisions.Revision, titles: Mapping[str, str]) -> str:
    detail = dict(revision.detail or {})
    words = [*detail.get("rules", {}).values(), *detail.get("files", {})]
    if exception := detail.get("exception"):
        words += [*(titles.get(each, each) for each in exception["rules"]), exception["reason"]]
    words += [
        f"{name}={', '.join(value) if isinstance(value, list) else value}"
        for name, value in detail.items()
        if name not in ("rules", "files", "exception") and value
    ]
    failed = [say("rules.taken_back", reason=revision.failed)] if revision.failed else []
    return "; ".join([", ".join(map(str, words))[:300], *failed])


def _explain_arguments(parser: argparse.ArgumentParser) -> None:
    _rule_argument(parser)
    parser.add_argument("event", help=say("command.rules.event"))
    _json(parser)


def _explain(chosen: argparse.Namespace, site: OnSite) -> int:
    rule = site.rulebook.find(chosen.rule)
    made = explain(site.rulebook.loaded, rule, _event(chosen.event, site))
    if chosen.json:
        show.json_line(made.as_json())
        return 0
    _print(made, "")
    if site.rulebook.loaded.modes.get(rule.id) == OFF:
        show.line(say("command.rules.is_off"))
    return 0


def _event(text: str, site: OnSite) -> Event:
    """Read an event: an id in the store, a file with a JSON object, or `-`."""
    if text == "-" or Path(text).is_file():
        try:
            data = sys.stdin.buffer.read(_MAX_EVENT) if text == "-" else Path(text).read_bytes()[:_MAX_EVENT]
            return decode(data.strip())
        except (OSError, ValueError, TypeError) as error:
            raise HaidangError("rulebook.no_event_file", file=text, fault=error) from error
    found = store.open_reader(site.settings.data_dir, site.settings.store).get(store.EVENTS, text)
    if found is None:
        raise HaidangError("rulebook.no_event", id=text)
    return found


def _print(made: Explanation, indent: str) -> None:
    mark = {True: say("rules.yes"), False: say("rules.no")}
    show.line(f"{indent}{mark[made.matches]} {show.plain(title_of(made.rule))}")
    if made.parts:
        for part in made.parts:
            _print(part, indent + "  ")
        if made.group:
            show.line(f"{indent}  {say('command.rules.group', group=show.plain(', '.join(made.group)))}")
        return
    wanted = ", ".join(f"{name}: {value}" for name, value in made.logsource.items())
    there = ", ".join(f"{name}: {value}" for name, value in made.origin.items())
    show.line(
        f"{indent}  {mark[made.applies]} {say('command.rules.logsource', wanted=wanted, there=show.plain(there))}"
    )
    for selection in made.selections:
        _print_selection(selection, indent + "  ", mark)
    show.line(f"{indent}  {say('command.rules.condition', condition=' | '.join(made.condition))}")
    for identifier in made.excepted:
        show.line(f"{indent}  {say('command.rules.excepted', id=identifier[:8])}")


def _print_selection(selection: Selection, indent: str, mark: dict[bool, str]) -> None:
    show.line(f"{indent}{mark[selection.holds]} {selection.name}")
    for number, group in enumerate(selection.groups):
        if number:
            show.line(f"{indent}  {say('rules.or')}")
        for test in group:
            show.line(f"{indent}  {mark[test.holds]} {show.plain(_test(test))}")


def _test(test: Test) -> str:
    name = "|".join(part for part in (test.field or say("rules.any_field"), test.modifiers) if part)
    expected = test.matched if test.holds and test.matched else test.expected
    wanted = ", ".join("null" if each is None else repr(each) for each in expected[:5])
    more = f" … ({len(test.expected)})" if len(expected) > 5 else ""
    there = ", ".join(f"{key}={value[:200]!r}" for key, value in test.found[:3])
    missing = say("rules.missing", keys=", ".join(test.keys)) if test.field else ""
    return f"{name}: {wanted}{more}  ←  {there or missing}"


def _time(seconds: float) -> str:
    return show.local_time(format_time(datetime.fromtimestamp(seconds, UTC)))


COMMANDS = {
    "list": (_list_arguments, _list),
    "show": (_show_arguments, _show),
    "explain": (_explain_arguments, _explain),
    "history": (_history_arguments, _history),
    "exceptions": (_json, _exceptions),
    "packs": (_json, _packs),
    "keys": (_json, _keys),
}
