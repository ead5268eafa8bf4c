"""All checks in order, the fast ones first; the first failure ends the run. `make test` is this.

Tests run in parts, three side by side, the next one when one has ended: first the fast ones by what they are about, then
the slow ones, those of a whole site, those that need servers, those in a browser. Each part is a process, and starts the
servers that it needs once. What a part says is printed when it has ended. `--coverage` measures which lines ran, too
(`make coverage`); that takes a third longer.
"""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_BIN = Path(sys.executable).parent
_COVERAGE = "--coverage" in sys.argv
_PYTEST = [*([_BIN / "coverage", "run", "-m"] if _COVERAGE else [_BIN / "python", "-m"]), "pytest", "-q"]
#: Parts that run at once. Two processors are there at least, and many tests wait for something.
_AT_ONCE = 3
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
#: Tests of a whole running site. Some run with the other slow ones, whose servers they need, some with those in the
#: browser, so that all three take as long.
_WHOLE = "tests/e2e"
_WITH_SERVERS = tuple(f"{_WHOLE}/test_e2e_{name}.py" for name in ("services", "indicators"))
_WITH_LOOKING = tuple(f"{_WHOLE}/test_e2e_{name}.py" for name in ("sharing", "delivery", "correlations"))
_WHOLE_REST = [f"--ignore={place}" for place in (*_WITH_SERVERS, *_WITH_LOOKING)]


def _whole_but(places: Sequence[str]) -> list[str]:
    """Return the files of `_WHOLE` but these."""
    found = sorted(f"{_WHOLE}/{path.name}" for path in (Path(__file__).parent / "e2e").glob("test_*.py"))
    return [place for place in found if place not in places]


#: In the order in which they begin; of the slow ones the longest first.
_PARTS: Mapping[str, Sequence[str]] = {
    "detectors": [_DETECTORS],
    "pipeline": ["-m", "not slow", _PIPELINE],
    "API, delivery, sharing": ["-m", "not slow", *_ANSWERING],
    "rules, decoders, documents": _COMPUTING,
    "the rest": ["-m", "not slow", *_THE_REST],
    "slow: the others": ["-m", "slow", *_DONE_WHOLE, f"--ignore={_LOOKING}"]
    + [f"--ignore={place}" for place in _whole_but(_WITH_SERVERS)],
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
    parts = {name: [*(apart if name in _OWN_INTERFACES else ()), *_PYTEST, *told] for name, told in _PARTS.items()}
    if not (_run(root, _BEFORE) and _run(root, parts)):
        return 1
    if _COVERAGE:
        subprocess.run([str(_BIN / "coverage"), "combine", "-q"], cwd=root, check=False)
        subprocess.run([str(_BIN / "coverage"), "report", "--skip-covered", "--format=total"], cwd=root, check=False)
    return 0


def _may_unshare() -> bool:
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run([*_UNSHARE, "true"], check=False, capture_output=True).returncode == 0


def _run(root: Path, commands: Mapping[str, Sequence[Path | str]]) -> bool:
    """Run the commands, so many at once; say whether all were good."""
    environment = {**os.environ, **({"COVERAGE_PROCESS_START": str(root / "pyproject.toml")} if _COVERAGE else {})}
    failed = threading.Event()

    def run(name: str, command: Sequence[Path | str]) -> None:
        if failed.is_set():
            _say(f"== {name}: not begun")
            return
        _say(f"== {name}")
        started = time.monotonic()
        done = subprocess.run(
            [str(part) for part in command], cwd=root, env=environment, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if done.returncode:
            failed.set()
        outcome = "FAILED" if done.returncode else "good"
        said = done.stdout.decode("utf-8", "replace").rstrip()
        _say(f"{said}\n== {name}: {outcome} ({time.monotonic() - started:.0f} s)")

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for each in [pool.submit(run, name, command) for name, command in commands.items()]:
            each.result()
    return not failed.is_set()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
