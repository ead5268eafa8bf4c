"""`haidang run`: settings enter, the whole pipeline runs until it is told to stop."""

import argparse
import sys
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Any, TextIO

from sqlalchemy import Engine

from pipeline.access import note
from pipeline.command import show
from pipeline.identity.users import any_user, create_user
from pipeline.instance import instance_of
from pipeline.logs import start_log
from pipeline.messages import Unavailable, choose_language, say
from pipeline.settings import Settings, load_settings
from pipeline.stage import STATE_AWAY, only_one, patiently
from pipeline.state import open_state
from pipeline.stopping import stop_on_signals
from pipeline.supervisor import STAGES, Child, Supervisor, details, stages_of

_LOOK_SECONDS = 0.1
#: How long the stages may take until they are ready before the user is told which is not.
_READY_SECONDS = 60.0
_ADMIN = "admin"
#: The stage without which there is nothing to open, and so nothing is ready.
_DOOR = "api"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--only", action="append", choices=list(STAGES), metavar="STAGE",
        help=say("command.run.only", stages=", ".join(STAGES)),
    )  # fmt: skip


def run(chosen: argparse.Namespace) -> int:
    """Run until SIGTERM or Ctrl-C."""
    settings = load_settings()
    choose_language(settings.language)
    with only_one(settings.data_dir, "run", wait_seconds=0):
        start_log(settings.data_dir, "supervisor", settings.log_level)
        stopping = stop_on_signals()
        engine = _open_state(settings, stopping)
        if engine is None:
            return 0
        supervisor = Supervisor(settings.data_dir, stages_of(settings, chosen.only or ()))
        started = time.time()
        _tell(say("command.run.starting", data_dir=settings.data_dir), sys.stdout)
        supervisor.start()
        try:
            needed = {_DOOR}.intersection(supervisor.names)
            if said := wait_ready(supervisor, engine, started, stopping, needed):
                _welcome(said, engine)
            sys.stdout.flush()
            while not stopping.is_set():
                _report(supervisor.check())
                supervisor.start_new(stages_of(settings, chosen.only or ()))
                stopping.wait(_LOOK_SECONDS)
        finally:
            _say_and_stop(supervisor)
    return 0


def _open_state(settings: Settings, stopping: threading.Event) -> Engine | None:
    """Open the state; where PostgreSQL does not answer, say so and wait for it. None when told to stop before."""
    try:
        return open_state(settings.data_dir, settings.state)
    except Unavailable as error:
        _tell(f"{error}\n{say('command.run.waits')}")
    return patiently(lambda: open_state(settings.data_dir, settings.state), stopping)


def _say_and_stop(supervisor: Supervisor) -> None:
    """Stop the stages, also where the terminal is gone and nothing can be said."""
    _tell(say("command.run.stopping"), sys.stdout)
    supervisor.stop()
    _tell(say("command.run.stopped"), sys.stdout)


def _tell(text: str, stream: TextIO | None = None) -> None:
    """Print a line on the standard error, or `stream`; a full disk or a terminal that is gone ends nothing."""
    stream = stream or sys.stderr
    with suppress(OSError):
        stream.write(text + "\n")
        stream.flush()


def wait_ready(
    supervisor: Supervisor, engine: Engine, since: float, stopping: threading.Event, needed: Collection[str] = ()
) -> dict[str, dict[str, Any]]:
    """Wait until every stage is ready; tell what cannot be listened to, and which stages are late.

    Those that are late are waited for no longer, but for the `needed` ones. Returns what the stages say of themselves;
    nothing when it was told to stop first.
    """
    deadline = time.monotonic() + _READY_SECONDS
    told: dict[str, str] = {}
    late = False
    while not stopping.is_set():
        try:
            said = details(engine, instance_of(supervisor.data_dir), supervisor.names, since)
        except STATE_AWAY:
            said = {}
        _tell_failures(said.get("collectors", {}).get("failures", {}), told)
        missing = {name for name in supervisor.names if not said.get(name, {}).get("ready")}
        if not missing or (late and not missing.intersection(needed)):
            return said
        _report(supervisor.check())
        helpless = {child.name for child in supervisor.children if child.needs_a_person}
        if not late and (missing <= helpless or time.monotonic() > deadline):
            late = True
            names, folder = ", ".join(sorted(missing)), supervisor.data_dir / "logs"
            _tell(say("command.run.not_ready", stages=names, folder=folder))
        stopping.wait(_LOOK_SECONDS)
    return {}


def _tell_failures(failures: dict[str, str], told: dict[str, str]) -> None:
    """Tell what cannot be listened to, once; `told` keeps what was told."""
    for place, why in failures.items():
        if told.get(place) != why:
            told[place] = why
            _tell(say("command.run.cannot_listen", place=place, reason=why))


def _first_password(engine: Engine) -> str | None:
    if any_user(engine):
        return None
    with engine.begin() as connection:
        password = create_user(connection, _ADMIN, "admin", must_change=True)
        note(connection, "haidang", "command", "user_add", user=_ADMIN)
    return password


def _welcome(said: dict[str, dict[str, Any]], engine: Engine) -> None:
    collectors = said.get("collectors", {})
    places = [f"    {place}" for group in collectors.get("listening", {}).values() for place in group]
    if _DOOR not in said:  # it runs on another machine
        show.line(say("command.run.ready_only", stages=", ".join(said), listening="\n".join(places) or "    -"))
        return
    show.line(say("command.run.ready", address=said[_DOOR]["address"], listening="\n".join(places) or "    -"))
    if "fingerprint" in said[_DOOR]:
        trust = {name: said[_DOOR][name] for name in ("authority", "fingerprint")}
        show.line(say("command.run.trust", **trust))
    password = _first_password(engine)
    if password is not None:
        show.line(say("command.run.password", user=_ADMIN, password=password))
    refused = said.get("detectors", {}).get("refused", [])
    if refused:
        sys.stderr.write(say("command.run.refused_rules", count=len(refused)) + "\n")
    show.line(say("command.run.next"))


def _report(ended: list[Child]) -> None:
    for child in ended:
        # A traceback's last line is its sentence; words that are meant for the user are shown whole.
        words = child.last_words if child.needs_a_person else child.last_words.rpartition("\n")[2]
        seconds = round(child.restart_at - time.monotonic())
        _tell(say("command.run.ended", stage=child.name, seconds=seconds, words=show.plain(words)))
