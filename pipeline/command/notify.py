"""`haidang notify ACTION`: channels, whether they work, what was sent, and what must be sent again."""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from sqlalchemy import Engine

from pipeline.command import show
from pipeline.command.actions import declare
from pipeline.command.person import person
from pipeline.command.site import site_settings
from pipeline.delivery import DEAD, SENT, STATUSES, WAITING, book, testing
from pipeline.event import format_time
from pipeline.messages import HaidangError, say
from pipeline.settings import Settings
from pipeline.settings.delivery import EmailChannel, ScriptChannel, SyslogChannel, WebhookChannel
from pipeline.state import open_state

_SHOWN = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    declare(parser, "notify", {name: add for name, (add, _) in _COMMANDS.items()})


def run(chosen: argparse.Namespace) -> int:
    """Run one of them."""
    settings = site_settings()
    return _COMMANDS[chosen.action][1](chosen, settings, open_state(settings.data_dir, settings.state))


def _add_nothing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _channels(chosen: argparse.Namespace, settings: Settings, _engine: Engine) -> int:
    rows = [
        {"channel": channel.name, "kind": channel.kind, "place": place_of(channel)} for channel in settings.channels
    ]
    _print(chosen, rows, ("channel", "kind", "place"))
    return 0


def _status(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    found = book.standing(engine, _names(settings))
    heads = ("channel", "waiting", "oldest", "sent", "dead", "succeeded", "failures", "error")
    rows = [{**each, **{name: _time(each[name]) for name in ("oldest", "succeeded")}} for each in found]
    for row in rows:
        row["error"] = row["error"] if row["set"] else say("command.notify.removed", channel=row["channel"])
    _print(chosen, found if chosen.json else rows, heads, right=(1, 3, 4, 6))
    if missing := testing.not_running(engine, settings):
        sys.stderr.write(str(HaidangError("delivery.not_running", stages=", ".join(missing))) + "\n")
    return 1 if any(each["set"] and (each["dead"] or each["failures"]) for each in found) else 0


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--channel", default="", help=say("command.notify.only_channel"))
    parser.add_argument("--status", default="", choices=STATUSES, help=say("command.notify.only_status"))
    parser.add_argument("--alert", default="", help=say("command.notify.only_alert"))
    parser.add_argument("--limit", type=int, default=100, help=say("command.deadletter.limit"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _list(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    _refuse_unknown(chosen.channel, book.known_channels(engine, _names(settings)))
    found = book.listed(engine, chosen.channel, chosen.status, chosen.alert, max(chosen.limit, 0))
    _print_receipts(chosen, found)
    return 0


def _add_dead(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--channel", default="", help=say("command.notify.only_channel"))
    parser.add_argument("--limit", type=int, default=100, help=say("command.deadletter.limit"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _dead(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    _refuse_unknown(chosen.channel, book.known_channels(engine, _names(settings)))
    found = book.listed(engine, chosen.channel, DEAD, "", max(chosen.limit, 0))
    _print_receipts(chosen, found)
    return 1 if found else 0


def _add_chosen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", nargs="*", help=say("command.notify.id"))
    parser.add_argument("--all", action="store_true", help=say("command.notify.all"))
    parser.add_argument("--channel", default="", help=say("command.notify.only_channel"))


def _resend(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    names = _names(settings)
    _refuse_unknown(chosen.channel, names)
    return _change(chosen, names, engine, book.resend, "command.notify.resent")


def _drop(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    names = _names(settings)
    _refuse_unknown(chosen.channel, book.known_channels(engine, names))
    return _change(chosen, names, engine, book.drop, "command.notify.dropped")


def _change(chosen: argparse.Namespace, names: list[str], engine: Engine, change: Callable[..., int], key: str) -> int:
    if bool(chosen.id) == chosen.all:
        raise HaidangError("delivery.which")
    count = change(engine, names, chosen.id, chosen.all, chosen.channel, person(), "command")
    show.line(say(key, count=show.number(count)))
    return 0


def _names(settings: Settings) -> list[str]:
    return [channel.name for channel in settings.channels]


def _refuse_unknown(channel: str, known: list[str]) -> None:
    if channel and channel not in known:
        raise HaidangError("delivery.no_channel", name=channel[:100], known=", ".join(known) or "-")


def _add_test(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("channel", help=say("command.notify.channel"))
    parser.add_argument("--seconds", type=float, default=60.0, help=say("command.notify.seconds"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _test(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    alert, message = testing.start(settings, engine, chosen.channel, person(), "command")
    started, last = time.monotonic(), None
    for last in testing.follow(engine, message, chosen.seconds):
        if not chosen.json:
            show.line(
                say(
                    f"command.notify.test_{last['status']}",
                    channel=chosen.channel,
                    attempts=last["attempts"],
                    seconds=round(time.monotonic() - started, 1),
                    answer=show.plain(last["answer"] or "-"),
                )
            )
        sys.stdout.flush()  # fmt: skip
    if last is not None and last["status"] == WAITING:  # else the stage has put it away
        note = say("delivery.was_test", channel=chosen.channel)
        testing.put_away(engine, alert, note, person(), "command")
    if chosen.json:
        show.json_line(last or {"id": message, "status": "missing"})
    elif last is None:
        show.line(say("command.notify.test_lost", seconds=chosen.seconds))
    elif last["status"] not in (SENT, DEAD):
        show.line(say("command.notify.test_goes_on", message=message))
    return 0 if last is not None and last["status"] == SENT else 1


def place_of(channel: Any) -> str:
    """Say where a channel leads, without its secrets."""
    match channel:
        case EmailChannel():
            return f"{', '.join(channel.to)} ({channel.host}:{channel.port}, {channel.security})"
        case WebhookChannel():
            from urllib.parse import urlsplit

            place = urlsplit(channel.url.get_secret_value()).netloc.rpartition("@")[2]
            return f"{channel.shape} ({place or channel.url_file or '-'})"
        case ScriptChannel():
            return channel.program
        case SyslogChannel():
            return f"{channel.transport}://{channel.host}:{channel.port} ({channel.format})"
    return f"{', '.join(channel.servers)}: {channel.topic}"


def _print_receipts(chosen: argparse.Namespace, found: list[dict[str, Any]]) -> None:
    rows = [{**each, "created": _time(each["created"]), "answer": each["answer"][:_SHOWN]} for each in found]
    heads = ("id", "created", "channel", "kind", "status", "alert", "attempts", "answer")
    _print(chosen, found if chosen.json else rows, heads, right=(6,))


def _print(
    chosen: argparse.Namespace, rows: list[dict[str, Any]], names: tuple[str, ...], right: tuple[int, ...] = ()
) -> None:
    heads = {name: say(f"delivery.head.{name}") for name in names}
    show.rows(chosen.json, rows, heads, right=right, nothing=say("command.notify.none"))


def _time(seconds: float | None) -> str:
    return show.local_time(format_time(datetime.fromtimestamp(seconds, UTC))) if seconds else "-"


_Add: TypeAlias = Callable[[argparse.ArgumentParser], None]
_Run: TypeAlias = Callable[[argparse.Namespace, Settings, Engine], int]
_COMMANDS: Mapping[str, tuple[_Add, _Run]] = {
    "channels": (_add_nothing, _channels),
    "status": (_add_nothing, _status),
    "test": (_add_test, _test),
    "list": (_add_list, _list),
    "dead": (_add_dead, _dead),
    "resend": (_add_chosen, _resend),
    "drop": (_add_chosen, _drop),
}
