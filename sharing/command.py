"""`haidang sharing ACTION`: with whom threat data is shared, what leaves and has left, what people decide about it."""

import argparse
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import orjson
from sqlalchemy import Engine

from pipeline.command import show
from pipeline.command.actions import declare
from pipeline.command.person import person
from pipeline.command.site import site_settings
from pipeline.event import format_time
from pipeline.messages import HaidangError, say
from pipeline.settings import Settings
from pipeline.state import open_state
from sharing import HELD, KINDS, QUEUED, SENT, STATUSES, book, inbox, incidents
from sharing.checking import check
from sharing.documents.docx import write as docx
from sharing.documents.files import DOCX, ending_of, save
from sharing.documents.pdf import pdf
from sharing.drafting import build, draft
from sharing.facts import counted
from sharing.formats import FORMATS
from sharing.keys import make
from sharing.profile import NAME, named, profiles_of, shipped
from sharing.taxii import command as taxii

_SHOWN = 120


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    declare(parser, "sharing", {name: add for name, (add, _) in _COMMANDS.items()})


def run(chosen: argparse.Namespace) -> int:
    """Run one of them."""
    if chosen.action in ("simulator", "warn"):
        from sharing import simulator

        return simulator.simulate(chosen) if chosen.action == "simulator" else simulator.warn(chosen)
    settings = site_settings()
    return _COMMANDS[chosen.action][1](chosen, settings, open_state(settings.data_dir, settings.state))


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("profile", help=say("command.sharing.profile"))


def _add_number(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("number", type=int, help=say("command.sharing.number"))


# --- Profiles


def _profiles(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    good, bad = profiles_of(settings)
    stands = book.standing(engine, [each.name for each in good])
    rows = [
        {
            "profile": each.name, "format": each.profile.format, "title": each.profile.title,
            "state": _state_of(each.profile.active, stands[each.name]["row"], each.digest),
            "endpoint": each.profile.endpoint.url or "-",
        }
        for each in good
    ]  # fmt: skip
    rows += [
        {"profile": fault.name, "format": "-", "title": "-", "state": "broken", "endpoint": "; ".join(fault.faults)}
        for fault in bad
    ]
    _print(chosen, rows, ("profile", "format", "title", "state", "endpoint"), {"state": _said_state})
    if not rows and not chosen.json:
        folder = settings.sharing.folder(settings.data_dir)
        show.line(say("command.sharing.shipped", names=", ".join(sorted(shipped())), folder=folder))
    return 1 if bad else 0


def _state_of(active: bool, row: Any, digest: str) -> str:
    if not active:
        return "inactive"
    if row is None or not row.confirmed:
        return "rehearsal"
    return "confirmed" if row.confirmed == digest else "changed"


def _said_state(state: Any) -> str:
    return say(f"sharing.state_{state}")


def _add_add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("template", choices=sorted(shipped()), help=say("command.sharing.template"))
    parser.add_argument("--as", dest="name", default="", metavar="NAME", help=say("command.sharing.as"))


def _add(chosen: argparse.Namespace, settings: Settings, _engine: Engine) -> int:
    folder = settings.sharing.folder(settings.data_dir)
    file = folder / f"{Path(chosen.name or chosen.template).name}.toml"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("x", encoding="utf-8") as made:
            made.write(shipped()[chosen.template].read_text("utf-8"))
    except FileExistsError as error:
        raise HaidangError("sharing.is_there", file=file) from error
    show.line(say("command.sharing.added", file=file, name=file.stem))
    return 0


def _check(chosen: argparse.Namespace, settings: Settings, _engine: Engine) -> int:
    return 0 if _looked(named(settings, chosen.profile)) else 1


def _looked(profile: Any) -> bool:
    good = True
    for look in check(profile):
        show.line(f"{'✓' if look.good else '✗'} {show.plain(look.text)}")
        sys.stdout.flush()
        good = good and look.good
    return good


def _confirm(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    profile = named(settings, chosen.profile)
    if not _looked(profile):
        raise HaidangError("sharing.not_confirmed", profile=profile.name)
    book.confirm(engine, profile, person(), "command")
    show.line(say("command.sharing.confirmed", profile=profile.name, url=profile.profile.endpoint.url))
    return 0


def _stop(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    book.stop(engine, named(settings, chosen.profile).name, person(), "command")
    show.line(say("command.sharing.stopped", profile=chosen.profile))
    return 0


# --- What would leave


def _preview(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    profile, now = named(settings, chosen.profile), time.time()
    with engine.begin() as connection:
        row = book.known(connection, profile.name, now)
    with engine.connect().execution_options(read_only=True) as connection:
        found = draft(connection, settings, profile, row, now)
    if found.draft is None:
        sys.stderr.write(say("command.sharing.nothing_new", looked=show.number(len(found.looked))) + "\n")
        return 1
    counts = ", ".join(f"{kind} {count}" for kind, count in counted(found.draft.facts).items())
    all_counts = ", ".join(f"{kind} {count}" for kind, count in counted(found.facts).items())
    told = {"leaves": counts or "-", "found": all_counts or "-", "looked": show.number(len(found.looked))}
    sys.stderr.write(say("command.sharing.would_leave", **told) + "\n")
    content = found.draft.content
    _write(FORMATS[profile.profile.format].sign(profile.profile, content) if chosen.signed else content)
    return 0


def _add_preview(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("--signed", action="store_true", help=say("command.sharing.signed"))


def _send(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    profile = named(settings, chosen.profile)
    numbers = build(engine, settings, profile)
    if not numbers:
        show.line(say("command.sharing.nothing_to_send"))
        return 1
    with engine.begin() as connection:
        is_real = book.is_confirmed(book.known(connection, profile.name, time.time()), profile)
    key = "command.sharing.built" if is_real else "command.sharing.built_rehearsal"
    show.line(say(key, numbers=", ".join(str(number) for number in numbers), profile=profile.name))
    return 0


# --- What has left


def _status(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    good, bad = profiles_of(settings)
    rows = []
    for name, found in book.standing(engine, [each.name for each in good]).items():
        row, counts = found["row"], found["messages"]
        rows.append({
            "profile": name, "sent": row.sent if row else 0, "queued": counts.get(QUEUED, 0),
            "held": counts.get(HELD, 0), "failed": sum(counts.get(each, 0) for each in ("refused", "expired")),
            "succeeded": _time(row.succeeded if row else 0.0), "error": (row.error if row else "") or "-",
        })  # fmt: skip
    _print(chosen, rows, ("profile", "sent", "queued", "held", "failed", "succeeded", "error"), right=(1, 2, 3, 4))
    for fault in bad:
        faults = "\n  ".join(fault.faults)
        sys.stderr.write(str(HaidangError("sharing.bad_profile", file=fault.file, faults=faults)) + "\n")
    return 1 if bad or any(row["failed"] or row["error"] != "-" for row in rows) else 0


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="", help=say("command.sharing.only_profile"))
    parser.add_argument("--status", default="", choices=STATUSES, help=say("command.sharing.only_status"))
    parser.add_argument("--kind", default="", choices=KINDS, help=say("command.sharing.only_kind"))
    parser.add_argument("--limit", type=int, default=100, help=say("command.deadletter.limit"))
    _add_json(parser)


def _list(chosen: argparse.Namespace, _settings: Settings, engine: Engine) -> int:
    found = book.listed(engine, chosen.profile, chosen.status, chosen.kind, max(chosen.limit, 0))["messages"]
    heads = ("number", "created", "profile", "kind", "status", "attempts", "answer")
    said = {"created": _moment, "kind": _said_kind, "status": book.said_status, "answer": _short}
    _print(chosen, found, heads, said, right=(0, 5))
    return 0


def _receipts(chosen: argparse.Namespace, _settings: Settings, engine: Engine) -> int:
    found = book.listed(engine, chosen.profile, SENT, "", max(chosen.limit, 0))["messages"]
    signed = book.signed_digests(engine, [each["number"] for each in found])
    rows = [
        {
            "number": each["number"], "profile": each["profile"], "sent": each["ended"],
            "sha256": signed.get(each["number"], "-"), "content_sha256": each["digest"],
            "code": each["receipt"]["status"], "receipt": each["receipt"]["body"],
        }
        for each in found
    ]  # fmt: skip
    heads, said = ("number", "profile", "sent", "sha256", "code", "receipt"), {"sent": _moment, "receipt": _short}
    _print(chosen, rows, heads, said, right=(0, 4))
    return 0


def _add_receipts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="", help=say("command.sharing.only_profile"))
    parser.add_argument("--limit", type=int, default=100, help=say("command.deadletter.limit"))
    _add_json(parser)


def _add_show(parser: argparse.ArgumentParser) -> None:
    _add_number(parser)
    parser.add_argument("--content", action="store_true", help=say("command.sharing.content"))
    parser.add_argument("--signed", action="store_true", help=say("command.sharing.signed_bytes"))


def _show(chosen: argparse.Namespace, _settings: Settings, engine: Engine) -> int:
    if chosen.content or chosen.signed:
        content, signed = book.bytes_of(engine, chosen.number)
        if chosen.signed and not signed:
            raise HaidangError("sharing.not_signed_yet", number=chosen.number)
        _write(signed if chosen.signed else content)
        return 0
    show.json_line(book.one(engine, chosen.number))
    return 0


def _approve(chosen: argparse.Namespace, _settings: Settings, engine: Engine) -> int:
    status = book.approve(engine, chosen.number, person(), "command")
    key = "command.sharing.still_held" if status == HELD else "command.sharing.approved"
    show.line(say(key, number=chosen.number))
    return 0


def _add_withdraw(parser: argparse.ArgumentParser) -> None:
    _add_number(parser)
    parser.add_argument("--reason", required=True, help=say("command.sharing.reason"))


def _withdraw(chosen: argparse.Namespace, _settings: Settings, engine: Engine) -> int:
    book.withdraw(engine, chosen.number, person(), "command", chosen.reason)
    show.line(say("command.sharing.withdrawn", number=chosen.number))
    return 0


def _add_carried(parser: argparse.ArgumentParser) -> None:
    _add_number(parser)
    parser.add_argument("--note", required=True, help=say("command.sharing.note"))


def _carried(chosen: argparse.Namespace, _settings: Settings, engine: Engine) -> int:
    book.carried(engine, chosen.number, chosen.note, person(), "command")
    show.line(say("command.sharing.was_carried", number=chosen.number))
    return 0


def _add_incident(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", type=int, help=say("command.sharing.case"))
    parser.add_argument("--document", default="first", choices=incidents.KINDS, help=say("command.sharing.document"))
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=TEXT", help=say("command.sharing.set"))
    parser.add_argument("--output", type=Path, help=say("command.sharing.output"))
    parser.add_argument("--submit", default="", metavar="PROFILE", help=say("command.sharing.submit"))
    _add_json(parser)


def _incident(chosen: argparse.Namespace, settings: Settings, engine: Engine) -> int:
    ending = ending_of(chosen.output) if chosen.output is not None else ""
    if chosen.set:
        if bad := next((each for each in chosen.set if "=" not in each), ""):
            raise HaidangError("incidents.no_pair", value=bad[:100])
        values = {name.strip(): value for name, _, value in (each.partition("=") for each in chosen.set)}
        incidents.write(engine, chosen.case, values, person(), "command")
    incident = incidents.read(engine, settings, chosen.case)
    if chosen.submit:
        profile = named(settings, chosen.submit)
        number = incidents.submit(engine, settings, profile, chosen.case, chosen.document, person(), "command")
        show.line(say("command.sharing.submitted", number=number, profile=profile.name))
    if chosen.output is not None:
        made = incidents.document(settings, incident, chosen.document, time.time())
        save(chosen.output, docx(made) if ending == DOCX else pdf(made))
        show.line(say("command.sharing.wrote", file=chosen.output))
    missing = incident.missing(chosen.document)
    if chosen.json:
        show.json_line({"values": incident.values, "missing": missing, "clocks": incident.case["clocks"]})
    elif chosen.output is None and not chosen.submit:
        rows = [[say(f"incidents.field_{name}"), incident.values.get(name, "")] for name in incidents.FIELDS]
        show.table("", [say("sharing.head.field"), say("sharing.head.value")], rows)
    if missing:
        names = ", ".join(f"{say(f'incidents.field_{name}')} ({name})" for name in missing)
        sys.stderr.write(say("command.sharing.missing", names=names) + "\n")
    return 0


def _resend(chosen: argparse.Namespace, _settings: Settings, engine: Engine) -> int:
    book.resend(engine, chosen.number, person(), "command")
    show.line(say("command.sharing.resent", number=chosen.number))
    return 0


def _add_simulator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, required=True, help=say("command.sharing.simulator_folder"))
    parser.add_argument("--host", default="127.0.0.1", help=say("command.sharing.simulator_host"))
    parser.add_argument("--port", type=int, default=8843, help=say("command.sharing.simulator_port"))
    parser.add_argument("--trust", type=Path, action="append", default=[], help=say("command.sharing.simulator_trust"))
    parser.add_argument("--client-ca", type=Path, help=say("command.sharing.simulator_client_ca"))


def _add_warn(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, help=say("command.sharing.bundle"))
    parser.add_argument("--folder", type=Path, required=True, help=say("command.sharing.warn_folder"))
    parser.add_argument("--url", required=True, help=say("command.sharing.warn_url"))
    parser.add_argument("--ca", type=Path, help=say("command.sharing.warn_ca"))
    parser.add_argument("--id", default="", help=say("command.sharing.warn_id"))


def _keygen(chosen: argparse.Namespace, settings: Settings, _engine: Engine) -> int:
    folder = settings.sharing.folder(settings.data_dir)
    if not NAME.fullmatch(chosen.profile):
        raise HaidangError("sharing.bad_name", name=chosen.profile[:100])
    files = (folder / f"{chosen.profile}.pem", folder / f"{chosen.profile}.key")
    make(*files, settings.sharing.organ or settings.organization, settings.organization)
    show.line(say("command.sharing.key_made", certificate=files[0], key=files[1].name))
    return 0


def _inbox(chosen: argparse.Namespace, _settings: Settings, engine: Engine) -> int:
    if chosen.refused:
        columns = ("time", "profile", "way", "address", "size", "reason")
        refusals = inbox.refusals(engine, max(chosen.limit, 0))
        _print(chosen, refusals, columns, {"time": _moment, "way": _said_way}, right=(4,))
        return 0
    found = inbox.listed(engine, max(chosen.limit, 0))
    rows = [each if chosen.json else {**each, "warning": each["title"]} for each in found]
    heads = ("received", "profile", "way", "warning", "indicators", "refused", "alerts", "case", "status")
    said = {"received": _moment, "way": _said_way, "warning": _short, "status": _said_case}
    _print(chosen, rows, heads, said, right=(4, 5, 6, 7))
    return 0


def _add_inbox(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--refused", action="store_true", help=say("command.sharing.inbox_refused"))
    parser.add_argument("--limit", type=int, default=100, help=say("command.deadletter.limit"))
    _add_json(parser)


def _not_of_a_site(_chosen: argparse.Namespace, _settings: Settings, _engine: Engine) -> int:
    raise AssertionError("needs no site")


def _write(data: bytes) -> None:
    sys.stdout.flush()
    is_seen = sys.stdout.isatty() and not data.endswith(b"\n")  # in a file or a pipe it is the very bytes
    sys.stdout.buffer.write(data + (b"\n" if is_seen else b""))


def _print(
    chosen: argparse.Namespace,
    rows: list[dict[str, Any]],
    names: tuple[str, ...],
    written: Mapping[str, Callable[[Any], str]] = {},
    right: tuple[int, ...] = (),
) -> None:
    heads = {name: say(f"sharing.head.{name}") for name in names}
    show.rows(chosen.json, rows, heads, written, right, say("command.sharing.none"))


def _said_kind(kind: Any) -> str:
    return say(f"sharing.kind_{kind}")


def _said_way(way: Any) -> str:
    return say(f"sharing.way_{way}")


def _said_case(status: Any) -> str:
    return say(f"cases.status.{status}") if status else "-"


def _short(text: Any) -> str:
    """Return the beginning of a text in a line, of a JSON object its first values; `…` says that there is more."""
    try:
        told = orjson.loads(str(text))
    except ValueError:
        told = None
    if not isinstance(told, dict):
        return textwrap.shorten(str(text), _SHOWN, placeholder=" …") or "-"
    parts: list[str] = []
    for name, value in told.items():
        part = f"{name}: {value if isinstance(value, str) else orjson.dumps(value).decode()}"
        if sum(len(each) + 2 for each in parts) + len(part) > _SHOWN:
            return ", ".join([*parts, "…"])
        parts.append(part)
    return ", ".join(parts) or "-"


def _moment(text: Any) -> str:
    return show.local_time(text) if text else "-"


def _time(seconds: float) -> str:
    return show.local_time(format_time(datetime.fromtimestamp(seconds, UTC))) if seconds else "-"


_Add: TypeAlias = Callable[[argparse.ArgumentParser], None]
_Run: TypeAlias = Callable[[argparse.Namespace, Settings, Engine], int]
_COMMANDS: Mapping[str, tuple[_Add, _Run]] = {
    "profiles": (_add_json, _profiles),
    "add": (_add_add, _add),
    "check": (_add_name, _check),
    "confirm": (_add_name, _confirm),
    "stop": (_add_name, _stop),
    "preview": (_add_preview, _preview),
    "send": (_add_name, _send),
    "status": (_add_json, _status),
    "list": (_add_list, _list),
    "show": (_add_show, _show),
    "approve": (_add_number, _approve),
    "withdraw": (_add_withdraw, _withdraw),
    "resend": (_add_number, _resend),
    "incident": (_add_incident, _incident),
    "carried": (_add_carried, _carried),
    "receipts": (_add_receipts, _receipts),
    "inbox": (_add_inbox, _inbox),
    "keygen": (_add_name, _keygen),
    "simulator": (_add_simulator, _not_of_a_site),
    "warn": (_add_warn, _not_of_a_site),
    "taxii": (taxii.add_arguments, taxii.run),
    "misp": (taxii.add_misp, taxii.run_misp),
}
