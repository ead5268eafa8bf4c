"""What is in `deploy/`: its settings are settings, its commands run, its files are there."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.settings import load_settings
from pipeline.settings.check import faults
from pipeline.supervisor import STAGES
from tests.conftest import need

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
OURS = {name: service for name, service in COMPOSE["services"].items() if name in STAGES}
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def filled(text: str) -> str:
    """What compose makes of `${NAME:-default}` and `${NAME:?why}`, each password being `secret`."""
    return re.sub(
        r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", lambda found: found[2] if found[2] is not None else "secret", text
    )


def test_compose_runs_every_stage_once() -> None:
    assert set(OURS) == set(STAGES)
    assert {name: service["command"] for name, service in OURS.items()} == {
        name: ["run", "--only", name] for name in STAGES
    }


def test_the_settings_of_compose_are_good(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path))
    for name, value in OURS["store"]["environment"].items():
        monkeypatch.setenv(name, filled(str(value)))
    settings = load_settings()
    assert faults(settings) == []
    assert (settings.bus.kind, settings.store.kind) == ("kafka", "elasticsearch")
    assert settings.state.url.get_secret_value() == "postgresql://haidang:secret@postgres/haidang"
    assert settings.bus.servers == ["kafka:9092"]


def test_compose_has_no_password() -> None:
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    for value in re.findall(r"^ +\w*PASSWORD\w*: *(.+)$", text, re.MULTILINE):
        assert value.startswith("${"), value
    example = (DEPLOY / ".env.example").read_text("utf-8")
    asked = set(re.findall(r"\$\{(\w+):\?", text))
    assert asked == set(re.findall(r"^(\w+)=$", example, re.MULTILINE))


def test_the_image_has_every_package_and_what_it_copies_is_there() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    copied = {name for line in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE) for name in line.split()}
    assert all((ROOT / name).exists() for name in copied)
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    within = {name for name in wheel["force-include"] if any(name.startswith(f"{folder}/") for folder in copied)}
    assert {*wheel["packages"], *wheel["force-include"]} - within <= copied
    assert "npm run build" in text.partition("pip install --no-cache-dir --no-deps")[0]  # the wheel takes what it made
    folders = re.findall(r"^COPY ([a-z]+) (\S+)$", text, re.MULTILINE)
    assert [place for place, target in folders if place != target] == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_the_units(unit: Path, tmp_path: Path) -> None:
    need(shutil.which("systemd-analyze") is not None, "systemd-analyze (package systemd)")
    text = unit.read_text("utf-8").replace("/opt/haidang/.venv/bin/haidang", "/bin/true")
    place = tmp_path / unit.name.replace("@", "@store")
    place.write_text(text, "utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(place)], capture_output=True, text=True, check=False,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if place.name in line or "Unknown" in line]
    assert ours == [], done.stderr
