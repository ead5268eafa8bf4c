"""`haidang sharing taxii ACTION`: who may use our TAXII server, what is published there, what partners' servers have.

`haidang sharing misp` writes the same as a file for MISP.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import orjson
from sqlalchemy import Engine, select

from pipeline.access import note
from pipeline.command import show
from pipeline.command.actions import declare
from pipeline.command.person import person
from pipeline.event import from_micros
from pipeline.messages import HaidangError, say
from pipeline.settings import Settings
from pipeline.settings.sharing_taxii import Peer
from pipeline.state import upsert
from pipeline.state.tables import taxii_positions
from sharing import gathering, misp
from sharing.stix import FIELDS, Made, objects_of
from sharing.stix.marking import LEVELS
from sharing.taxii import adding, client, clients, store

_WHAT = ("alerts", "indicators", "cases")
_DAYS, _CLIENT_DAYS = 7.0, 365.0
_BY_TLP = {level: alias for alias, level in store.ALIASES.items() if alias != store.INBOX}
#: Reasons why objects were refused that are told, at most.
_MOST_REASONS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `haidang sharing taxii`."""
    declare(parser, "taxii", {name: add for name, (add, _) in _COMMANDS.items()}, chosen="taxii")


def run(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    """Run one of them."""
    return _COMMANDS[chosen.taxii][1](chosen, settings, engine)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _collections(chosen: argparse.Namespace, _settings: Settings, engine: Engine) -> int:
    rows = [
        {"collection": each.alias, "tlp": each.tlp, "objects": each.count, "id": each.id}
        for each in store.ensure(engine)
    ]
    _print(chosen, rows, ("collection", "tlp", "objects", "id"), right=(2,))
    return 0


def _clients(chosen: argparse.Namespace, _settings: Settings, engine: Engine) -> int:
    rows = [
        {
            "client": each["name"], "rights": ", ".join(f"{name} {right}" for name, right in each["rights"].items()),
            "expires": _day(each["expires"]), "used": _day(each["used"]),
            "state": say("show.revoked") if each["revoked"] else "-",
        }
        for each in clients.listed(engine)
    ]  # fmt: skip
    _print(chosen, rows, ("client", "rights", "expires", "used", "state"))
    return 0


def _add_client(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help=say("command.taxii.name"))
    choices = list(store.ALIASES)
    parser.add_argument("--read", action="append", default=[], choices=choices, help=say("command.taxii.read"))
    parser.add_argument("--write", action="append", default=[], choices=choices, help=say("command.taxii.write"))
    parser.add_argument("--days", type=float, default=_CLIENT_DAYS, help=say("command.taxii.client_days"))


def _add(chosen: argparse.Namespace, _settings: Settings, engine: Engine) -> int:
    rights = {
        alias: ("r" if alias in chosen.read else "") + ("w" if alias in chosen.write else "")
        for alias in store.ALIASES
        if alias in chosen.read or alias in chosen.write
    }
    with engine.begin() as connection:
        show.line(clients.add(connection, chosen.name, rights, chosen.days, (person(), "command")))
    return 0


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help=say("command.taxii.name"))


def _revoke(chosen: argparse.Namespace, _settings: Settings, engine: Engine) -> int:
    with engine.begin() as connection:
        clients.revoke(connection, chosen.name, (person(), "command"))
    return 0


# --- What leaves


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Declare what of a site is meant, and for whom."""
    parser.add_argument("--what", action="append", default=[], choices=_WHAT, help=say("command.taxii.what"))
    parser.add_argument("--days", type=float, default=_DAYS, help=say("command.taxii.days"))
    parser.add_argument("--tlp", choices=LEVELS, default="", help=say("command.taxii.tlp"))


def _add_publish(parser: argparse.ArgumentParser) -> None:
    add_choice(parser)
    parser.add_argument("--preview", action="store_true", help=say("command.taxii.preview"))


def _publish(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    if chosen.preview:
        for made in _made(chosen, settings, engine):
            for each in made.objects:
                show.json_line(each)
        return 0
    alias = _BY_TLP[_tlp(chosen, settings)]
    store.ensure(engine)
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for made in _made(chosen, settings, engine):
        with engine.begin() as connection:
            found = store.named(store.collections(connection), alias)
            store.forget(connection, found, adding.oldest(settings.sharing.taxii.keep_days))
            status = adding.added(connection, found, made.objects, settings.sharing.taxii.collection_objects)
        counts["left_out"] += made.left_out
        counts["empty"] += made.empty
        counts["known"] += sum("message" in each for each in status.get("successes", ()))
        counts["added"] += sum("message" not in each for each in status.get("successes", ()))
        counts["refused"] += status["failure_count"]
        reasons.update(each["message"] for each in status.get("failures", ()))
    with engine.begin() as connection:
        note(connection, person(), "command", "taxii_published", collection=alias, **counts)
    words = {name: show.number(counts[name]) for name in ("added", "known", "refused", "left_out", "empty")}
    show.line(say("command.taxii.published", collection=alias, **words))
    for reason, count in reasons.most_common(_MOST_REASONS):
        show.line(f"  {show.number(count)}: {show.plain(reason)}")
    return 1 if counts["refused"] else 0


def _tlp(chosen: argparse.Namespace, settings: Settings) -> str:
    return chosen.tlp or settings.sharing.taxii.tlp


def _made(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> Iterator[Made]:
    """Yield what may leave, some at a time."""
    allowed, tlp, site = settings.sharing.taxii.fields, _tlp(chosen, settings), gathering.site_of(settings)
    what = chosen.what or _WHAT
    _warn_of_unknown(allowed)
    with engine.connect().execution_options(read_only=True) as connection:
        known = gathering.indicators(connection) if "indicators" in what else []
        cases = gathering.cases_since(connection, chosen.days) if "cases" in what else []
    yield objects_of(site, (), known, cases, allowed, tlp)
    if "alerts" in what:
        with engine.connect().execution_options(read_only=True) as connection:
            for some in gathering.alerts_since(connection, chosen.days):
                yield objects_of(site, some, (), (), allowed, tlp)


def _warn_of_unknown(allowed: list[str]) -> None:
    if unknown := sorted(set(allowed) - FIELDS):
        sys.stderr.write(say("command.taxii.unknown_fields", names=", ".join(unknown)) + "\n")


def add_misp(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `haidang sharing misp`."""
    add_choice(parser)
    parser.add_argument("--output", type=Path, help=say("command.taxii.output"))


def run_misp(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    """Write events of MISP."""
    what, site = chosen.what or _WHAT, gathering.site_of(settings)
    allowed, tlp = settings.sharing.taxii.fields, _tlp(chosen, settings)
    with engine.connect().execution_options(read_only=True) as connection:
        pages = gathering.alerts_since(connection, chosen.days) if "alerts" in what else iter(())
        known = gathering.indicators(connection) if "indicators" in what else []
        cases = gathering.cases_since(connection, chosen.days) if "cases" in what else []
        data = misp.events_of(site, (each for page in pages for each in page), known, cases, allowed, tlp)
    digest = _write(data + b"\n", chosen.output)
    with engine.begin() as connection:
        note(connection, person(), "command", "misp_exported", tlp=tlp, **digest)
    return 0


# --- What partners have


def _add_look(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("peer", help=say("command.taxii.peer"))
    _add_json(parser)


def _look(chosen: argparse.Namespace, settings: Settings, _engine: Engine) -> int:
    rows = [
        {
            "title": each.title, "id": each.id, "url": each.url,
            "rights": ("r" if each.can_read else "") + ("w" if each.can_write else "") or "-",
        }
        for each in client.discover(client.endpoint_of(_peer(settings, chosen.peer)))
    ]  # fmt: skip
    _print(chosen, rows, ("title", "rights", "id", "url"))
    return 0


def _add_poll(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("peer", help=say("command.taxii.peer"))
    parser.add_argument("--output", type=Path, help=say("command.taxii.output"))
    parser.add_argument("--from-start", action="store_true", help=say("command.taxii.from_start"))


def _poll(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    """Bring what is new; where it was written to, and only then, is it known to have been read."""
    peer = _peer(settings, chosen.peer)
    table = taxii_positions
    with engine.connect().execution_options(read_only=True) as connection:
        before = connection.scalar(select(table.c.position).where(table.c.peer == peer.name)) or ""
    objects, position = client.poll(client.endpoint_of(peer), "" if chosen.from_start else before)
    _write(b"".join(orjson.dumps(each) + b"\n" for each in objects), chosen.output)
    with engine.begin() as connection:
        row = {"peer": peer.name, "position": position, "read": time.time()}
        upsert(connection, table, [row], ["peer"])
        note(connection, person(), "command", "taxii_polled", peer=peer.name, objects=len(objects))
    sys.stderr.write(say("command.taxii.polled", count=show.number(len(objects)), peer=peer.name) + "\n")
    if client.position_of(position).next:
        sys.stderr.write(say("command.taxii.more", peer=peer.name) + "\n")
    return 0


def _add_push(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("peer", help=say("command.taxii.peer"))
    add_choice(parser)


def _push(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    peer = _peer(settings, chosen.peer)
    sent, failed = 0, 0
    for made in _made(chosen, settings, engine):
        receipt = client.push(client.endpoint_of(peer), made.objects)
        sent += receipt.successes
        failed += len(receipt.failures)
        with engine.begin() as connection:
            note(
                connection, person(), "command", "taxii_pushed", peer=peer.name, status=receipt.status,
                taken=receipt.successes, refused=len(receipt.failures),
            )  # fmt: skip
        for identifier, reason in receipt.failures[:_MOST_REASONS]:
            show.line(show.plain(f"  {identifier}: {reason}"))
        if receipt.status >= 300 or not receipt.complete:
            body = receipt.body.decode("utf-8", "replace")[:300]
            raise HaidangError("taxii.not_taken", peer=peer.name, status=receipt.status, said=body)
    show.line(say("command.taxii.pushed", count=show.number(sent), failed=show.number(failed), peer=peer.name))
    return 1 if failed else 0


def _peer(settings: Settings, name: str) -> Peer:
    peers = settings.sharing.taxii.peers
    found = next((each for each in peers if each.name == name), None)
    if found is None:
        known = ", ".join(each.name for each in peers) or "-"
        raise HaidangError("taxii.no_peer", name=name[:100], known=known)
    return found


def _write(data: bytes, output: Path | None) -> dict[str, Any]:
    """Write to a file, or to the standard output; return what the audit keeps of it."""
    from hashlib import sha256

    if output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        try:
            output.write_bytes(data)
        except OSError as error:
            raise HaidangError("taxii.cannot_write", file=output, fault=error.strerror or error) from error
    return {"sha256": sha256(data).hexdigest(), "size": len(data)}


def _print(
    chosen: argparse.Namespace, rows: list[dict[str, Any]], names: tuple[str, ...], right: tuple[int, ...] = ()
) -> None:
    show.rows(chosen.json, rows, {name: say(f"taxii.head.{name}") for name in names}, right=right)


def _day(when: float | None) -> str:
    return "-" if when is None else show.local_time(from_micros(round(when * 1_000_000)))


_Add: TypeAlias = Callable[[argparse.ArgumentParser], None]
_Run: TypeAlias = Callable[[argparse.Namespace, Settings, Engine], int]
_COMMANDS: Mapping[str, tuple[_Add, _Run]] = {
    "collections": (_add_json, _collections),
    "clients": (_add_json, _clients),
    "add": (_add_client, _add),
    "revoke": (_add_name, _revoke),
    "publish": (_add_publish, _publish),
    "look": (_add_look, _look),
    "poll": (_add_poll, _poll),
    "push": (_add_push, _push),
}
