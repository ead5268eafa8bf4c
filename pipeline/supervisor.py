"""The supervisor: a list of stages enters, one running process for each leaves, until it is told to stop.

A stage that ends is started again after 1, 2, 4 … 60 seconds; one that ran well for a minute starts from 1 again. One
that a person must help (its port is taken, its settings are wrong) after 5, 10, 20 … 60. No stage's end touches another
one.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from pipeline.logs import log
from pipeline.settings import Settings
from pipeline.stage import SUPERVISOR_VARIABLE, is_running
from pipeline.state.tables import stages as stage_rows

#: Each stage with the module that is its process, in the order of the corridor; stopped in the same order.
STAGES = {
    "collectors": "collectors",
    "detectors": "detectors",
    "response": "response",
    "delivery": "response.delivery",
    "sharing": "sharing",
    "store": "pipeline.store",
    "api": "api",
}
#: Those that have nothing to do where the settings have none of something.
_NEEDS: dict[str, Callable[[Settings], bool]] = {
    "delivery": lambda settings: bool(settings.channels),
    "sharing": lambda settings: settings.sharing.is_wanted(settings.data_dir),
}
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 60.0
#: The first delay of a stage that waits for a person, in seconds: a taken port is often free again in a moment.
_FIRST_DELAY_OF_A_PERSON = 5.0
#: A stage that ran this long is well again, in seconds.
_WELL_AFTER = 60.0
#: How long a stage may take to stop before it is killed, in seconds.
STOP_SECONDS = 20.0
#: A stage that ended with this status will not run until somebody mends the settings or frees its port.
_NOT_MENDED_BY_RESTART = 2
_LAST_WORDS_BYTES = 2000


def stages_of(settings: Settings | None, only: Collection[str] = ()) -> list[str]:
    """Return the stages that run: those of `only`, or all that have something to do with these settings."""
    if only:
        return [name for name in STAGES if name in only]
    return [name for name in STAGES if name not in _NEEDS or (settings is not None and _NEEDS[name](settings))]


@dataclass(slots=True)
class Child:
    """One stage's process and its history."""

    name: str
    arguments: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    delay: float = _FIRST_DELAY
    restart_at: float = 0.0
    restarts: int = 0
    status: int = 0
    last_words: str = ""

    @property
    def needs_a_person(self) -> bool:
        """Say whether it ended for what a restart alone does not mend; its last words are then for the user."""
        return self.status == _NOT_MENDED_BY_RESTART


@dataclass(slots=True)
class Supervisor:
    """Starts, watches and stops stages. `check` must be called about ten times a second."""

    data_dir: Path
    names: Sequence[str]
    children: list[Child] = field(default_factory=list)

    def start(self) -> None:
        """Start every stage."""
        (self.data_dir / "logs").mkdir(parents=True, exist_ok=True)
        self.children = [Child(name, [sys.executable, "-P", "-m", STAGES[name]]) for name in self.names]
        for child in self.children:
            self._launch(child)

    def add(self, name: str, arguments: list[str]) -> None:
        """Start one more process: `python -m` with these arguments."""
        child = Child(name, [sys.executable, "-P", "-m", *arguments])
        self.children.append(child)
        self._launch(child)

    def start_new(self, names: Sequence[str]) -> None:
        """Start those stages that have something to do by now and do not run yet."""
        for name in names:
            if name not in self.names:
                log("supervisor").info("new_stage", stage=name)
                self.names = [*self.names, name]
                self.add(name, [STAGES[name]])

    def check(self) -> list[Child]:
        """Start again what has ended; return the stages that ended since the last call."""
        ended = []
        for child in self.children:
            if child.process is None:
                if time.monotonic() >= child.restart_at:
                    child.restarts += 1
                    self._launch(child)
                    if child.process is None:
                        ended.append(child)
            elif child.process.poll() is not None:
                self._ended(child, child.process.returncode, self._words(child))
                ended.append(child)
        return ended

    def stop(self) -> None:
        """Stop the stages in the order of the corridor, so that what was taken in goes its way; kill what hangs."""
        for child in self.children:
            process = child.process
            if process is None or process.poll() is not None:
                continue
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                log("supervisor").error("killed", stage=child.name, after_seconds=STOP_SECONDS)
                process.kill()
                process.wait()
            child.process = None

    def _launch(self, child: Child) -> None:
        environment = dict(os.environ)
        environment[SUPERVISOR_VARIABLE] = str(os.getpid())
        environment["HAIDANG_DATA_DIR"] = str(self.data_dir)
        environment["OPENBLAS_NUM_THREADS"] = "1"  # numpy only counts bits here
        child.started = time.monotonic()
        try:
            with self._stderr(child).open("wb") as errors:
                child.process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                    child.arguments, env=environment, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                    start_new_session=True,
                )  # fmt: skip
        except OSError as error:  # no memory, no process, no disk: a reason to try again, not to end the others
            self._ended(child, 1, str(error))

    def _ended(self, child: Child, status: int, words: str) -> None:
        if time.monotonic() - child.started > _WELL_AFTER:
            child.delay = _FIRST_DELAY
        child.status = status
        child.last_words = words or (f"signal {_signal_name(-status)}" if status < 0 else "")
        if child.needs_a_person:
            child.delay = max(child.delay, _FIRST_DELAY_OF_A_PERSON)
        child.restart_at = time.monotonic() + child.delay
        log("supervisor").error("ended", stage=child.name, status=status, again_in=child.delay, words=child.last_words)
        child.delay = min(child.delay * 2, _LONGEST_DELAY)
        child.process = None

    def _stderr(self, child: Child) -> Path:
        return self.data_dir / "logs" / f"{child.name}.stderr"

    def _words(self, child: Child) -> str:
        """Return the end of what a stage wrote to its standard error."""
        try:
            with self._stderr(child).open("rb") as errors:
                errors.seek(max(0, errors.seek(0, os.SEEK_END) - _LAST_WORDS_BYTES))
                return errors.read().decode("utf-8", "replace").strip()
        except OSError:
            return ""


def restart(data_dir: Path, names: Collection[str]) -> list[str]:
    """End stages, so that their supervisor starts them again, with the settings as they are then; return which.

    Those alone that have the same supervisor as this process, which is a stage itself: a number in a lock of another
    machine or container means nothing here. This process is left to its caller.
    """
    told = []
    for name in names:
        pid = _pid_of(data_dir, name)
        if pid is None or pid == os.getpid() or _parent_of(pid) != os.getppid():
            continue
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            told.append(name)
    return told


def is_supervised() -> bool:
    """Say whether this process is a stage that is started again when it ends."""
    return os.environ.get(SUPERVISOR_VARIABLE) == str(os.getppid())


def _pid_of(data_dir: Path, name: str) -> int | None:
    """Return the process that is a stage of this data directory now."""
    if not is_running(data_dir, name):
        return None
    text = (data_dir / "run" / f"{name}.lock").read_text("utf-8").strip()
    return int(text) if text.isdigit() else None


def _parent_of(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1])  # after the name, which may hold anything: proc_pid_stat(5)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most of the real-time signals have none
        return str(number)


def ready(engine: Engine, instance: str, names: Sequence[str], since: float) -> set[str]:
    """Return which of the stages have said, after the moment `since` (seconds since 1970), that they are ready."""
    return {name for name, detail in details(engine, instance, names, since).items() if detail.get("ready")}


def details(engine: Engine, instance: str, names: Sequence[str], since: float) -> dict[str, dict[str, Any]]:
    """Return what this machine's stages that started after the moment `since` say of themselves."""
    query = select(stage_rows.c.stage, stage_rows.c.started, stage_rows.c.detail).where(
        stage_rows.c.instance == instance
    )
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(query).all()
    return {name: detail for name, started, detail in rows if name in names and started >= since}
