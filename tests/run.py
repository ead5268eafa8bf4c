"""All checks in order, the fast ones first; the first failure ends the run. `make test` is this.

Tests run in parts, four side by side, the next one when one has ended: first the fast ones by what they are about, then
the slow ones, those of a whole site, those that need servers, those in a browser. Each part is a process, and starts the
servers that it needs once. What a part says is printed when it has ended. `--coverage` measures which lines ran, too
(`make coverage`); that takes a third longer.

A test that fails ends the run, always. Where they are few, they are run once again to say which kind they are: one that
fails twice is wrong, one that does not depends on luck, which is a fault, too, of the test or of what it tests.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

_BIN = Path(sys.executable).parent
_COVERAGE = "--coverage" in sys.argv
_RUN = ["coverage", "run", "-m"] if _COVERAGE else []
_PYTEST: Sequence[Path | str] = [_BIN / "python", "-m", *_RUN, "pytest", "-q"]
#: So many failures of a part are looked at once more.
_FEW = 3
#: Parts that run at once. Two processors are there at least, and many tests wait for something: three parts leave
#: two of five seconds of these unused.
_AT_ONCE = 4
#: Tests that need a processor and, but for a few, nothing else. The few slow ones among them run with them.
_COMPUTING = (
    "tests/workbench", "tests/rules", "tests/collectors/decoders", "tests/collectors/test_fuzz.py",
    "tests/test_docs.py", "tests/test_messages.py", "tests/test_detection_quality.py",
)  # fmt: skip
_DETECTORS = "tests/detectors"
#: Those of the API and of what is sent to people and other systems.
_ANSWERING = ("tests/api", "tests/response", "tests/sharing")
_PIPELINE = "tests/pipeline"
_DONE_WHOLE = [f"--ignore={place}" for place in (*_COMPUTING, _DETECTORS)]
_THE_REST = [*_DONE_WHOLE, *(f"--ignore={place}" for place in (*_ANSWERING, _PIPELINE))]
#: Those that look at the console in a real browser.
_LOOKING = "tests/browser"
#: Tests of a whole running site. Some run with other slow ones, whose servers they need, some with those in the
#: browser, so that all take as long.
_WHOLE = "tests/e2e"
_WITH_SERVERS = tuple(f"{_WHOLE}/test_e2e_{name}.py" for name in ("services", "indicators"))
_SERVED = (_PIPELINE, "tests/collectors", *_WITH_SERVERS)
_WITH_LOOKING = tuple(f"{_WHOLE}/test_e2e_{name}.py" for name in ("sharing", "delivery", "correlations"))
_WHOLE_REST = [f"--ignore={place}" for place in (*_WITH_SERVERS, *_WITH_LOOKING)]
#: In the order in which they begin; of the slow ones the longest first.
_PARTS: Mapping[str, Sequence[str]] = {
    "detectors": [_DETECTORS],
    "pipeline": ["-m", "not slow", _PIPELINE],
    "API, delivery, sharing": ["-m", "not slow", *_ANSWERING],
    "rules, decoders, documents": _COMPUTING,
    "the rest": ["-m", "not slow", *_THE_REST],
    "slow: with servers": ["-m", "slow", *_DONE_WHOLE, *_SERVED],
    "slow: the others": ["-m", "slow", *_DONE_WHOLE, *(f"--ignore={place}" for place in (*_SERVED, _WHOLE, _LOOKING))],
    "slow: a whole site": ["-m", "slow", _WHOLE, *_WHOLE_REST],
    "slow: in a browser": ["-m", "slow", _LOOKING, *_WITH_LOOKING],
}
#: Parts that put cables in, or that a cable of another part would disturb (a browser drops its connections when an
#: interface comes): each has network interfaces of its own, where this user may have that.
_OWN_INTERFACES = ("the rest", "slow: in a browser")
_UNSHARE = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
_BEFORE: Mapping[str, Sequence[Path | str]] = {
    "style": [_BIN / "ruff", "check", "."],
    "format": [_BIN / "ruff", "format", "--check", "."],
    "types": [_BIN / "mypy"],
    "import layers": [_BIN / "lint-imports"],
    "console": ["make", "--silent", "checkconsole"],
}


def main() -> int:
    """Run all; after the first failure nothing more begins."""
    root = Path(__file__).parent.parent
    for old in root.glob(".coverage*"):
        old.unlink()
    apart = _UNSHARE if _may_unshare() else ()
    with tempfile.TemporaryDirectory(prefix="haidang-tests-") as caches:
        parts = [
            _Part(name, [*(apart if name in _OWN_INTERFACES else ()), *_PYTEST, *told], Path(caches, str(number)))
            for number, (name, told) in enumerate(_PARTS.items())
        ]
        if not (_run(root, [_Part(name, told) for name, told in _BEFORE.items()]) and _run(root, parts)):
            return 1
    if _COVERAGE:
        subprocess.run([str(_BIN / "coverage"), "combine", "-q"], cwd=root, check=False)
        subprocess.run([str(_BIN / "coverage"), "report", "--skip-covered", "--format=total"], cwd=root, check=False)
    return 0


def _may_unshare() -> bool:
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run([*_UNSHARE, "true"], check=False, capture_output=True).returncode == 0


class _Part:
    """A command, and of pytest's the folder in which it notes which tests failed."""

    def __init__(self, name: str, command: Sequence[Path | str], cache: Path | None = None) -> None:
        self.name = name
        self._command = [*map(str, command), *(["-o", f"cache_dir={cache}"] if cache else [])]
        self._cache = cache

    def run(self, root: Path) -> bool:
        """Run it; say whether it was good. Of a few tests that failed, find out whether they fail again."""
        status = self._once(root)
        failed = self._failed() if status == pytest.ExitCode.TESTS_FAILED else []
        if 0 < len(failed) <= _FEW:
            _say(f"== {self.name}: once more {', '.join(failed)}")
            again = self._once(root, "--last-failed", "--last-failed-no-failures=none")
            _say(f"== {self.name}: {'failed twice' if again else 'failed once, then not'}")
        return not status

    def _once(self, root: Path, *more: str) -> int:
        environment = {**os.environ, **({"COVERAGE_PROCESS_START": str(root / "pyproject.toml")} if _COVERAGE else {})}
        done = subprocess.run(
            [*self._command, *more], cwd=root, env=environment, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        _say(done.stdout.decode("utf-8", "replace").rstrip())
        return done.returncode

    def _failed(self) -> list[str]:
        noted = self._cache / "v" / "cache" / "lastfailed" if self._cache else None
        return list(json.loads(noted.read_bytes())) if noted and noted.exists() else []


def _run(root: Path, parts: Sequence[_Part]) -> bool:
    """Run the parts, so many at once; say whether all were good."""
    failed = threading.Event()

    def run(part: _Part) -> None:
        if failed.is_set():
            _say(f"== {part.name}: not begun")
            return
        _say(f"== {part.name}")
        started = time.monotonic()
        good = part.run(root)
        if not good:
            failed.set()
        _say(f"== {part.name}: {'good' if good else 'FAILED'} ({time.monotonic() - started:.0f} s)")

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for each in [pool.submit(run, part) for part in parts]:
            each.result()
    return not failed.is_set()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
