"""Templates of people: what a message has enters, what their Jinja2 template makes of it leaves, within bounds.

It is rendered by a process of its own, sandboxed, with bounds on its time and memory: a template that loops for ever or
grows without end ends, and the message says so. `python -m response.delivery.rendering FILE` is that process.
"""

import contextlib
import resource
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from pipeline.delivery.files import template_of
from pipeline.messages import HaidangError, say
from pipeline.outward import Stopped

#: Seconds that one rendering may take, of its own time and by the clock; bytes of memory; bytes that it may make.
_CPU_SECONDS, _SECONDS = 2, 10.0
_MEMORY = 512 * 1024 * 1024
_LONGEST = 1_000_000
_LONGEST_TEMPLATE = 100_000


class Renderer:
    """Renders one template, in a process that is started when it is needed and ended when it fails."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._process: subprocess.Popen[bytes] | None = None
        self._changed = 0.0

    def render(self, values: Mapping[str, Any]) -> str:
        """Render.

        Raises:
            Stopped: the template is not there, is wrong, takes too long or makes too much.
        """
        file = self._file()
        try:
            changed = file.stat().st_mtime
            if self._process is None or self._process.poll() is not None or changed != self._changed:
                self.close()
                self._process = _start(file)
                self._changed = changed
            return self._ask(self._process, orjson.dumps(values) + b"\n")
        except OSError as error:
            self.close()
            raise Stopped(say("delivery.bad_template", file=file, fault=error.strerror or error)) from error

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self._process = None

    def _file(self) -> Path:
        try:
            return template_of(self._folder, self._name)
        except HaidangError as error:
            raise Stopped(str(error)) from error

    def _ask(self, process: "subprocess.Popen[bytes]", line: bytes) -> str:
        assert process.stdin is not None and process.stdout is not None
        answer = b""
        deadline = time.monotonic() + _SECONDS
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(line)
            process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not answer.endswith(b"\n"):
                left = deadline - time.monotonic()
                part = b""
                if left > 0 and selector.select(left):
                    part = process.stdout.read1(_LONGEST)  # type: ignore[attr-defined]
                answer += part
                if not part or len(answer) > 2 * _LONGEST:
                    self.close()
                    raise Stopped(say("delivery.template_too_long", file=self._name, seconds=_CPU_SECONDS))
        found = orjson.loads(answer)
        if "fault" in found:
            raise Stopped(say("delivery.bad_template", file=self._name, fault=found["fault"]))
        return str(found["text"])


def _start(file: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-m", "response.delivery.rendering", str(file)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def main(file: Path) -> None:
    """Answer each line of the standard input with what the template makes of it."""
    from jinja2 import ChainableUndefined, Undefined
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        """A sandbox in which what is forbidden is a fault, and not merely undefined."""

        def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
            """Refuse it."""
            raise SecurityError(f"{attribute!r} of {type(obj).__name__} is not for templates")

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    # It makes JSON or text: `|tojson` escapes. What an alert does not have is nothing, and null in JSON.
    environment = Sandbox(autoescape=False, undefined=ChainableUndefined)
    environment.policies["json.dumps_kwargs"] = {"default": _null}
    fault, template = "", None
    try:
        template = environment.from_string(file.read_bytes()[:_LONGEST_TEMPLATE].decode())
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    for line in sys.stdin.buffer:
        _allow_more_time()
        answer: dict[str, str] = {"fault": fault[:500]}
        if template is not None:
            try:
                text = template.render(orjson.loads(line))
                answer = {"text": text} if len(text) <= _LONGEST else {"fault": f"more than {_LONGEST} characters"}
            except Exception as error:  # whatever a template does wrong
                answer = {"fault": f"{type(error).__name__}: {error}"[:500]}
        sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
        sys.stdout.buffer.flush()


def _null(value: Any) -> None:
    """Return null for what is not defined, where JSON is written."""
    from jinja2 import Undefined

    if not isinstance(value, Undefined):
        raise TypeError(f"{type(value).__name__} is no value of JSON")


def _allow_more_time() -> None:
    """Bound the processor time until the next message: the kernel ends the process that takes more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + 1 + _CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
