"""All checks in order, the fast ones first; the first failure ends the run. `make test` is this.

The fast tests run in three processes side by side: those that compute (with the few slow ones among them, for which
there is time meanwhile), those of the API and of what is sent, and the rest, which talk to others and look at the clock.
The slow ones run in three: those of a whole site, those in a browser, and the others. What each says is printed when it
has ended. `--coverage` measures which lines ran, too (`make coverage`); that takes a third longer.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

_BIN = Path(sys.executable).parent
_COVERAGE = "--coverage" in sys.argv
_PYTEST = [*([_BIN / "coverage", "run", "-m"] if _COVERAGE else [_BIN / "python", "-m"]), "pytest", "-q"]
#: Tests that need a processor and, but for a few, nothing else.
_COMPUTING = (
    "tests/detectors", "tests/workbench", "tests/rules", "tests/collectors/decoders", "tests/collectors/test_fuzz.py",
    "tests/test_docs.py", "tests/test_messages.py", "tests/test_detection_quality.py",
)  # fmt: skip
#: Those of the API and of what is sent to people and other systems.
_ANSWERING = ("tests/api", "tests/response", "tests/sharing")
_OTHERS = [f"--ignore={place}" for place in _COMPUTING]
_THE_REST = [*_OTHERS, *(f"--ignore={place}" for place in _ANSWERING)]
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


#: The commands of a step run side by side.
_STEPS: tuple[tuple[str, Sequence[Sequence[Path | str]]], ...] = (
    ("style", [[_BIN / "ruff", "check", "."], [_BIN / "ruff", "format", "--check", "."]]),
    ("types and import layers", [[_BIN / "mypy"], [_BIN / "lint-imports"], ["make", "--silent", "checkconsole"]]),
    (
        "tests",
        [
            [*_PYTEST, *_COMPUTING],
            [*_PYTEST, "-m", "not slow", *_ANSWERING],
            [*_PYTEST, "-m", "not slow", *_THE_REST],
        ],
    ),
    (
        "slow tests",
        [
            [*_PYTEST, "-m", "slow", _WHOLE, *_WHOLE_REST],
            [*_PYTEST, "-m", "slow", *_OTHERS, f"--ignore={_LOOKING}"]
            + [f"--ignore={place}" for place in _whole_but(_WITH_SERVERS)],
            [*_PYTEST, "-m", "slow", _LOOKING, *_WITH_LOOKING],
        ],
    ),
)


def main() -> int:
    """Run every step; the first that fails ends the run."""
    root = Path(__file__).parent.parent
    for old in root.glob(".coverage*"):
        old.unlink()
    for name, commands in _STEPS:
        started = time.monotonic()
        _say(f"== {name}")
        good = _run(root, commands)
        _say(f"== {name}: {'good' if good else 'FAILED'} ({time.monotonic() - started:.0f} s)")
        if not good:
            return 1
    if _COVERAGE:
        subprocess.run([str(_BIN / "coverage"), "combine", "-q"], cwd=root, check=False)
        subprocess.run([str(_BIN / "coverage"), "report", "--skip-covered", "--format=total"], cwd=root, check=False)
    return 0


def _run(root: Path, commands: Sequence[Sequence[Path | str]]) -> bool:
    """Run the commands side by side; the first speaks at once, the others when it is done."""
    environment = {**os.environ, **({"COVERAGE_PROCESS_START": str(root / "pyproject.toml")} if _COVERAGE else {})}
    first, *others = [[str(part) for part in command] for command in commands]
    with tempfile.TemporaryDirectory() as folder:
        running = []
        for number, command in enumerate(others):
            said = Path(folder) / str(number)
            with said.open("wb") as output:
                running.append(
                    (subprocess.Popen(command, cwd=root, env=environment, stdout=output, stderr=output), said)
                )
        statuses = [subprocess.run(first, cwd=root, env=environment, check=False).returncode]
        for process, said in running:
            statuses.append(process.wait())
            _say(said.read_text("utf-8", "replace").rstrip())
    return not any(statuses)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
