"""Scripts: messages enter, a program of one folder is run for each with the alert on its standard input; its exit
status and what it wrote leave.

No shell, no arguments, an environment of few variables, bounds on time, memory and processes; at the end, however it
ends, everything that it started is killed.
"""

import contextlib
import errno
import grp
import os
import pwd
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson

from pipeline.delivery import DIGEST, HEARTBEAT
from pipeline.delivery.book import Outcome
from pipeline.delivery.files import program_of
from pipeline.messages import HaidangError, say, speaking
from pipeline.outward import Stopped
from pipeline.settings.delivery import ScriptChannel
from response.delivery.message import Message, for_programs, one_line
from response.delivery.sender import Sender

#: Bytes of output that are kept; more is read and thrown away, so that the program does not hang.
_KEPT_OUTPUT = 2000
#: Open files, bytes of a file it writes.
_OPEN_FILES, _FILE_BYTES = 256, 100_000_000
#: Exit statuses by which a program says what is to become of the message (sysexits.h).
_REFUSED, _AGAIN = 65, 75
#: Sets the bounds of a program; of util-linux, which every Linux system has.
_PRLIMIT = "/usr/bin/prlimit"
#: What prlimit ends with where it may not start the program (prlimit(1)).
_NOT_STARTED = 126
#: How long a program may take to end after it was killed, in seconds; how often what it started is looked for.
_KILL_SECONDS, _KILL_ROUNDS = 5.0, 10
#: The variable that says which message a program is run for.
_MARK = "MESSAGE_ID"


class Script(Sender):
    """One program."""

    def __init__(self, channel: ScriptChannel, folder: Path) -> None:
        self._channel, self._folder = channel, folder
        self._threads = ThreadPoolExecutor(channel.at_once, thread_name_prefix=f"script-{channel.name}")

    def send(self, messages: Sequence[Message]) -> Iterator[Outcome]:
        """Run the program for each message, some at once."""
        try:
            program = program_of(self._folder, self._channel.program, os.geteuid())
        except HaidangError as error:
            raise Stopped(str(error)) from error
        user = user_of(self._channel.user)
        inputs = [(message, _input_of(message)) for message in messages]
        running = [self._threads.submit(self._outcome, program, user, message, data) for message, data in inputs]
        try:
            for each in running:
                yield each.result()
        finally:
            for each in running:
                each.cancel()

    def close(self) -> None:
        """Start no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _outcome(self, program: Path, user: "pwd.struct_passwd | None", message: Message, data: bytes) -> Outcome:
        with speaking(message.language):
            try:
                status, output, late = run(program, self._channel, user, message, data)
            except OSError as error:
                return Outcome("failed", say("delivery.no_script", file=program, fault=error.strerror or error))
            told = one_line(output.decode("utf-8", "replace"), _KEPT_OUTPUT)
            if late:
                return Outcome(
                    "failed", say("delivery.script_slow", seconds=self._channel.timeout_seconds, output=told)
                )
            said = say("delivery.script_ended", status=status, output=told).strip()
            if status == 0:
                return Outcome("sent", said)
            if status == _NOT_STARTED and user is not None:
                told = say("delivery.script_no_way", user=user.pw_name, file=program, said=said)
                return Outcome("failed", one_line(told, _KEPT_OUTPUT))
            return Outcome("refused" if status == _REFUSED else "failed", said)


def _input_of(message: Message) -> bytes:
    """Return what a program reads: one JSON document."""
    told: dict[str, Any] = {
        "id": message.id, "kind": message.kind, "level": message.level, "title": message.title(),
        "text": "\n".join(message.lines()).strip(),
    }  # fmt: skip
    if message.kind == HEARTBEAT:
        told["facts"] = dict(message.facts)
    elif message.kind == DIGEST:
        told["alerts"] = [for_programs(alert) for alert in message.alerts]
    else:
        told["alert"] = for_programs(message.alerts[0])
    return orjson.dumps(told) + b"\n"


def user_of(name: str) -> "pwd.struct_passwd | None":
    """Return the user that programs run as; None for our own.

    Raises:
        Stopped: there is no such user, or we may not become one.
    """
    if not name:
        return None
    try:
        found = pwd.getpwnam(name)
    except KeyError as error:
        raise Stopped(say("delivery.no_user", name=name)) from error
    if found.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise Stopped(say("delivery.not_root", name=name))
    return found


def run(
    program: Path, channel: ScriptChannel, user: "pwd.struct_passwd | None", message: Message, data: bytes
) -> tuple[int, bytes, bool]:
    """Run a program; return its exit status (below 0: a signal ended it), its output, and whether it was late."""
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", _MARK: message.id,
        "MESSAGE_LEVEL": message.level, "HOME": user.pw_dir if user else "/nonexistent",
    }  # fmt: skip
    more: dict[str, Any] = {}
    if user is not None:
        groups = [each.gr_gid for each in grp.getgrall() if user.pw_name in each.gr_mem]
        more = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}
    with program.open("rb") as file:
        if not file.read(4).startswith((b"#!", b"\x7fELF")):  # else a shell would take it for its own
            raise OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC))
    process = subprocess.Popen(  # noqa: S603 - a program of the one folder, without arguments
        [*_bounded(channel), str(program)], env=environment, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True, umask=0o077, **more,
    )  # fmt: skip
    try:
        output, late = _talk(process, data, channel.timeout_seconds)
    finally:
        _kill_all(process, message.id)
    return process.returncode, output, late


def _bounded(channel: ScriptChannel) -> list[str]:
    """Return the program that sets bounds, which what it becomes cannot lift (prlimit(1)).

    Not `preexec_fn`: what runs between fork and exec may wait for ever for a lock that another thread held.
    """
    memory, seconds = channel.memory_mb * 1_000_000, int(channel.timeout_seconds) + 1
    bounds = {
        "as": (resource.RLIMIT_AS, memory), "cpu": (resource.RLIMIT_CPU, seconds), "core": (resource.RLIMIT_CORE, 0),
        "nofile": (resource.RLIMIT_NOFILE, _OPEN_FILES), "fsize": (resource.RLIMIT_FSIZE, _FILE_BYTES),
        "nproc": (resource.RLIMIT_NPROC, channel.processes),
    }  # fmt: skip
    return [_PRLIMIT, *(f"--{name}={_lower(kind, most)}" for name, (kind, most) in bounds.items())]


def _lower(kind: int, most: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return most if hard == resource.RLIM_INFINITY else min(most, hard)


def _talk(process: "subprocess.Popen[bytes]", data: bytes, seconds: float) -> tuple[bytes, bool]:
    """Give a program its input and take its output, until it has ended or the time is over."""
    assert process.stdin is not None and process.stdout is not None
    deadline, kept, place = time.monotonic() + seconds, b"", 0
    for pipe in (process.stdin, process.stdout):
        os.set_blocking(pipe.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        while process.poll() is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return kept, True
            for key, _ in selector.select(min(left, 0.05)):
                if key.fileobj is process.stdout:
                    part = _read(process)
                    kept = (kept + part)[:_KEPT_OUTPUT]
                    if not part:
                        selector.unregister(process.stdout)
                else:
                    place = _write(process, data, place)
                    if place >= len(data):
                        selector.unregister(process.stdin)
                        with contextlib.suppress(OSError):
                            process.stdin.close()
        while len(kept) < _KEPT_OUTPUT and (part := _read(process)):
            kept = (kept + part)[:_KEPT_OUTPUT]
    return kept, False


def _read(process: "subprocess.Popen[bytes]") -> bytes:
    assert process.stdout is not None
    try:
        return os.read(process.stdout.fileno(), 65_536)
    except BlockingIOError:
        return b""


def _write(process: "subprocess.Popen[bytes]", data: bytes, place: int) -> int:
    """Write on; return how far it came. A program that does not read its input is none of our business."""
    assert process.stdin is not None
    try:
        return place + os.write(process.stdin.fileno(), data[place : place + 65_536])
    except BlockingIOError:
        return place
    except OSError:
        return len(data)


def _kill_all(process: "subprocess.Popen[bytes]", message: str) -> None:
    """End the program and all that it has started, also what has left its session."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_KILL_SECONDS)
    for _ in range(_KILL_ROUNDS):  # what is killed may have started something just before
        left = _started_for(message)
        for child in left:
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
        if not left:
            return


def _started_for(message: str) -> list[int]:
    """Return the processes that live and began with the variables of a message's program (proc(5), environ)."""
    mark, found = f"{_MARK}={message}".encode(), []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found
