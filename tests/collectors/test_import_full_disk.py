"""`haidang import` where the disk takes no more: a sentence, not a traceback, and the next import goes on."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
#: A new state has 0.7 MB; what is imported is larger.
_LIMIT_BYTES = 1_200_000


def _import(file: Path, data_dir: Path, limit: int) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "HAIDANG_DATA_DIR": str(data_dir), "HAIDANG_LANGUAGE": "en"}
    program = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); from pipeline.command import main; raise SystemExit(main(['import', '--json', {str(file)!r}]))"
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_full_disk_is_told_and_nothing_is_lost_or_twice(tmp_path: Path) -> None:
    chance = [os.urandom(300).hex() for _ in range(5000)]
    file = tmp_path / "app.log"
    file.write_text("".join(f"{number} {text}\n" for number, text in enumerate(chance)))
    full = _import(file, tmp_path / "data", _LIMIT_BYTES)
    assert full.returncode == 2
    assert "cannot be written" in full.stderr
    assert "Traceback" not in full.stderr
    later = _import(file, tmp_path / "data", resource.RLIM_INFINITY)
    assert later.returncode == 0, later.stderr
    told = json.loads(later.stdout)
    assert (told["read"], told["stored"] + told["already_stored"]) == (5000, 5000)


def test_an_import_leaves_the_reserve_of_the_disk_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "app.log"
    file.write_text("one line\n")
    monkeypatch.setenv("HAIDANG_LIMITS__DISK_RESERVE_MB", "9000000")
    held = _import(file, tmp_path / "data", resource.RLIM_INFINITY)
    assert held.returncode == 2
    assert "disk_reserve_mb" in held.stderr
    monkeypatch.delenv("HAIDANG_LIMITS__DISK_RESERVE_MB")
    assert json.loads(_import(file, tmp_path / "data", resource.RLIM_INFINITY).stdout)["stored"] == 1
