"""All checks in order, the fast ones first; the first failure ends the run. `make test` is this."""

import os
import subprocess
import sys
import time
from pathlib import Path

_BIN = Path(sys.executable).parent
_STEPS = (
    ("style", [_BIN / "ruff", "check", "."]),
    ("format", [_BIN / "ruff", "format", "--check", "."]),
    ("types", [_BIN / "mypy"]),
    ("import layers", [_BIN / "lint-imports"]),
    ("tests", [_BIN / "coverage", "run", "-m", "pytest", "-q", "-m", "not slow"]),
    ("slow tests", [_BIN / "coverage", "run", "-m", "pytest", "-q", "-m", "slow"]),
)


def main() -> int:
    """Run every step, then show the coverage."""
    root = Path(__file__).parent.parent
    for old in root.glob(".coverage*"):
        old.unlink()
    environment = {**os.environ, "COVERAGE_PROCESS_START": str(root / "pyproject.toml")}
    for name, command in _STEPS:
        started = time.monotonic()
        sys.stdout.write(f"== {name}\n")
        sys.stdout.flush()
        status = subprocess.run([str(part) for part in command], cwd=root, env=environment, check=False).returncode
        sys.stdout.write(f"== {name}: {'good' if status == 0 else 'FAILED'} ({time.monotonic() - started:.0f} s)\n")
        if status:
            return status
    subprocess.run([str(_BIN / "coverage"), "combine", "-q"], cwd=root, check=False)
    subprocess.run([str(_BIN / "coverage"), "report", "--skip-covered", "--format=total"], cwd=root, check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
