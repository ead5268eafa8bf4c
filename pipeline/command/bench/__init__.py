"""`haidang bench …`: this machine is measured with the real parts; figures leave."""

import argparse
import importlib
from pathlib import Path
from typing import Any

from pipeline.command import show
from pipeline.messages import HaidangError, say

#: Each benchmark and its module; every one has `measure(chosen) -> figures`.
_BENCHES = {
    "bus": "pipeline.command.bench.bus",
    "store": "pipeline.command.bench.store",
    "pipeline": "pipeline.command.bench.whole",
    "overload": "pipeline.command.bench.overload",
    "queue": "pipeline.command.bench.queue",
    "console": "pipeline.command.bench.console",
    "correlation": "detectors.bench_correlation",
    "behaviours": "detectors.bench_behaviours",
    "indicators": "detectors.bench_indicators",
    "delivery": "response.bench_delivery",
    "sharing": "sharing.bench_sharing",
    "sigma": "workbench.bench_sigma",
    "network": "workbench.bench_network",
    "stix": "sharing.bench_stix",
    "taxii": "api.bench_taxii",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("what", choices=list(_BENCHES), help=say("command.bench.what"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))
    parser.add_argument("--events", help=say("command.bench.events"))
    parser.add_argument("--indicators", type=int, help=say("command.bench.indicators_count"))
    parser.add_argument("--rules", type=Path, action="append", help=say("command.bench.rules"))
    parser.add_argument("--kind", choices=["kafka", "elasticsearch"], help=say("command.bench.kind"))
    parser.add_argument("--servers", nargs="+", help=say("command.bench.servers"))
    parser.add_argument("--logs", help=say("command.bench.logs"))
    parser.add_argument("--evtx", help=say("command.bench.evtx"))
    parser.add_argument("--packets", type=Path, help=say("command.bench.packets"))
    parser.add_argument("--live", action="store_true", help=say("command.bench.live"))
    parser.add_argument("--seconds", type=float, help=say("command.bench.seconds"))
    parser.add_argument("--rate", type=int, help=say("command.bench.rate"))
    parser.add_argument("--no-latency", action="store_true", help=say("command.bench.no_latency"))


def run(chosen: argparse.Namespace) -> int:
    """Measure and print. Figures that say `ok` decide about the exit status."""
    if chosen.what != "sigma" and chosen.events is not None:
        if not chosen.events.isascii() or not chosen.events.isdigit():
            raise HaidangError("command.bench.no_count", value=chosen.events)
        chosen.events = int(chosen.events)
    figures: dict[str, Any] = importlib.import_module(_BENCHES[chosen.what]).measure(chosen)
    if chosen.json:
        show.json_line(figures)
    else:
        rows = [
            (name, show.number(round(value, 3)) if isinstance(value, (int, float)) else value)
            for name, value in figures.items()
        ]
        show.table(say(f"command.bench.{chosen.what}"), [say("show.figure"), say("show.value")], rows, right=[1])
    return 0 if figures.get("ok", True) else 1
