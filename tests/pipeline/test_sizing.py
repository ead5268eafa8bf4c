"""Sizing: what `haidang plan` says follows from its figures, is settings that exist, and is what docs/sizing.md says."""

import argparse
import importlib
import json
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipeline import sizing
from pipeline.command import bench, main
from pipeline.command.bench import _BENCHES
from pipeline.messages import say
from pipeline.settings import Bus, Store
from pipeline.sizing import Plan

_PAGE = Path(__file__).parents[2] / "docs" / "sizing.md"
_RATES = (1_000, 10_000, 100_000, 1_000_000)
_LEVEL = "L3"
FIGURES = sizing.values(sizing.shipped())


def _plan(rate: float, **changes: float) -> Plan:
    return sizing.plan(rate, sizing.LEVEL_DAYS[_LEVEL], {**FIGURES, **changes})


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:g}"


def plan_row(rate: int) -> str:
    """Return the row that docs/sizing.md has for a rate."""
    made = _plan(rate)
    machines = ", ".join(
        f"{each.count} × {say(f'plan.machine.{each.what}')} ({each.cores} cores, {each.memory_gb} GB, {_amount(each.disk_tb)} TB)"
        for each in made.machines
    )
    copies = ", ".join(f"{stage} {count}" for stage, count in made.copies.items()) or "one of each"
    bus, store = made.settings.get("bus", {}), made.settings["store"]
    cells = (
        f"{rate:,}", machines, copies, str(bus.get("partitions", "-")), str(store.get("shards", "-")),
        _amount(made.bus_tb), _amount(made.index_tb), _amount(made.disk_tb),
        " / ".join(map(_amount, (made.intake_mbit, made.bus_mbit, made.index_mbit))),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def figure_rows() -> list[str]:
    """Return the rows that docs/sizing.md has for the figures."""
    rows = []
    for name, figure in sizing.shipped().items():
        origin = f"`haidang {figure['by']}`, {figure['on']}" if "by" in figure else f"assumed: {figure['why']}"
        rows.append(f"| `{name}` | {figure['value']:,g} | {origin} |")
    return rows


def test_the_page_says_what_the_command_computes() -> None:
    written = [line for line in _PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    expected = [*(plan_row(rate) for rate in _RATES), *figure_rows()]
    missing = [row for row in expected if row not in written]
    assert not missing, "put into docs/sizing.md:\n" + "\n".join(missing)
    assert {row for row in written if row[2].isdigit() or row.startswith("| `")} == set(expected)


def test_every_figure_is_measured_by_a_command_that_exists_or_assumed_for_a_reason() -> None:
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    for name, figure in sizing.shipped().items():
        assert set(figure) in ({"value", "by", "on"}, {"value", "why"}), name
        if "by" in figure:
            command, what, *rest = figure["by"].split(" (")[0].split()
            assert (command, what in _BENCHES) == ("bench", True), name
            parser.parse_args([what, *rest])


@pytest.mark.parametrize("rate", [0.5, 100, *_RATES, 10_000_000])
def test_the_settings_of_a_plan_are_settings(rate: float) -> None:
    made = _plan(rate)
    Store(**made.settings["store"])  # type: ignore[arg-type]
    Bus(**made.settings.get("bus", {}))  # type: ignore[arg-type]
    assert made.embedded == (rate <= made.most_embedded)
    assert all(each.count >= 1 and each.disk_tb > 0 for each in made.machines)


def test_a_plan_follows_from_its_figures() -> None:
    one = sizing.plan(10_000, 10, FIGURES)
    assert one.index_tb == pytest.approx(FIGURES["index_bytes"] * 10_000 * 86_400 * 10 / 1e12, rel=0.1)
    assert one.disk_tb == pytest.approx((one.index_tb + one.bus_tb) / FIGURES["full"], rel=0.1)
    many = _plan(100_000)
    assert many.copies["store"] == 9  # 100,000 × 43 µs, half busy
    assert many.index_tb == pytest.approx(484 * 100_000 * 86_400 * 92 * 2 / 1e12, rel=0.1)
    nodes = {each.what: each.count for each in many.machines}["elasticsearch"]
    assert nodes * FIGURES["node_tb"] >= many.index_tb / FIGURES["full"]
    assert many.shards_a_node <= FIGURES["node_shards"]
    assert _plan(100_000, elastic_node_us=10_000).machines[2].count > nodes


def test_more_events_never_take_less() -> None:
    plans = [_plan(rate) for rate in range(15_000, 500_000, 5_000)]
    for less, more in pairwise(plans):
        assert [each.count for each in less.machines] <= [each.count for each in more.machines]
        assert less.disk_tb <= more.disk_tb


@pytest.mark.parametrize(
    ("value", "expected"), [(0, 0), (0.01234, 0.013), (1234, 1300), (10, 10), (9.91, 10), (0.5, 0.5)]
)
def test_sizes_are_rounded_up_to_two_digits(value: float, expected: float) -> None:
    assert sizing._up(value) == expected


def test_the_command_prints_the_plan(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["plan", "--eps", "100000", "--level", _LEVEL, "--json"]) == 0
    told = json.loads(capfdbinary.readouterr().out)
    expected = json.loads(json.dumps(asdict(_plan(100_000))))
    assert {name: told[name] for name in expected} == expected
    assert told["figures"]["busy"]["why"]
    for rate in ("100", "100000"):
        assert main(["plan", "--eps", rate, "--days", "30"]) == 0
        assert b"retention_days = 30" in capfdbinary.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--eps", "10"], "--days DAYS"),
        (["--eps", "10", "--days", "30", "--level", "L3"], "from 92"),
        (["--eps", "0", "--days", "30"], "above 0"),
        (["--eps", "nan", "--days", "30"], "above 0"),
        (["--eps", "1e9", "--days", "30"], "at most 10,000,000"),
        (["--eps", "10", "--days", "0"], "from 1"),
    ],
)
def test_what_cannot_be_planned_is_told(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path / "never made"))
    assert main(["plan", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "never made").exists()


def test_a_machines_own_figures_replace_the_shipped_ones(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    measured: dict[str, Any] = {
        "pipeline.command.bench.whole": {
            "cpu_seconds": dict.fromkeys(("collectors", "detectors", "response", "store"), 20.0),
            "memory_mb": 700, "events_per_second": 5_000, "index_bytes_an_event": 200,
        },
        "pipeline.command.bench.store": {"json_bytes_an_event": 800, "frame_bytes_an_event": 60},
    }  # fmt: skip
    for name, figures in measured.items():
        monkeypatch.setattr(importlib.import_module(name), "measure", lambda _chosen, figures=figures: figures)
    assert main(["plan", "--eps", "1000", "--days", "30", "--measure", "--json"]) == 0
    told = json.loads(capfdbinary.readouterr().out)
    assert told["figures"]["store_us"] == {"value": 100.0, "by": "plan --measure", "on": "this machine"}
    assert told["most_embedded"] == 2_500
    assert told["figures"]["elastic_node_us"]["value"] == FIGURES["elastic_node_us"]
