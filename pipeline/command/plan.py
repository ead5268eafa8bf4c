"""`haidang plan`: a rate of events and a time to keep them enter, the machines, disks and settings for it leave."""

import argparse
import json
from dataclasses import asdict
from typing import Any

from pipeline import sizing
from pipeline.command import show
from pipeline.messages import HaidangError, say
from pipeline.sizing import LEVEL_DAYS, Plan

_MOST_EVENTS, _MOST_DAYS = 10_000_000, 3660
#: Events of the measurements on this machine: some seconds each.
_EVENTS = 200_000
_STAGES = ("collectors", "detectors", "response", "store")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--eps", type=float, required=True, metavar="RATE", help=say("command.plan.eps"))
    parser.add_argument("--days", type=int, metavar="DAYS", help=say("command.plan.days"))
    parser.add_argument("--level", choices=list(LEVEL_DAYS), help=say("command.plan.level"))
    parser.add_argument("--measure", action="store_true", help=say("command.plan.measure"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def run(chosen: argparse.Namespace) -> int:
    """Print the plan."""
    days = _days(chosen.days, chosen.level)
    if not 0 < chosen.eps <= _MOST_EVENTS:
        raise HaidangError("command.plan.bad_rate", value=chosen.eps, most=show.number(_MOST_EVENTS))
    figures = sizing.shipped()
    if chosen.measure:
        figures |= measured_here()
    made = sizing.plan(chosen.eps, days, sizing.values(figures))
    if chosen.json:
        show.json_line({**asdict(made), "level": chosen.level, "figures": figures})
    else:
        _print(made, figures)
    return 0


def _days(days: int | None, level: str | None) -> int:
    least = LEVEL_DAYS[level] if level else 1
    if days is None:
        if level is None:
            raise HaidangError("command.plan.no_time")
        return least
    if not least <= days <= _MOST_DAYS:
        raise HaidangError("command.plan.bad_days", value=days, least=least, most=_MOST_DAYS)
    return days


def measured_here() -> dict[str, dict[str, Any]]:
    """Return this machine's own figures, in about a minute; those of Kafka and Elasticsearch need servers."""
    from pipeline.command.bench import store, whole

    chosen = argparse.Namespace(events=_EVENTS, logs=None, evtx=None, kind=None, servers=None, no_latency=True)
    pipeline, index = whole.measure(chosen), store.measure(chosen)
    found = {f"{stage}_us": round(pipeline["cpu_seconds"][stage] * 1e6 / _EVENTS, 1) for stage in _STAGES}
    found |= {
        "memory_mb": pipeline["memory_mb"], "embedded_events": pipeline["events_per_second"],
        "index_bytes": pipeline["index_bytes_an_event"], "json_bytes": index["json_bytes_an_event"],
        "frame_bytes": index["frame_bytes_an_event"],
    }  # fmt: skip
    return {name: {"value": value, "by": "plan --measure", "on": "this machine"} for name, value in found.items()}


def _print(made: Plan, figures: dict[str, dict[str, Any]]) -> None:
    head = [say("plan.what"), *(say(f"plan.{name}") for name in ("count", "cores", "memory", "disk"))]
    rows = [
        (
            say(f"plan.machine.{each.what}"), show.number(each.count), each.cores, f"{each.memory_gb} GB",
            show.size(each.disk_tb * 1e12),
        )
        for each in made.machines
    ]  # fmt: skip
    title = say("plan.title", rate=show.number(round(made.events_per_second)), days=made.days)
    show.table(title, head, rows, right=[1, 2, 3, 4])
    show.line(
        say(
            "plan.disks", bus=show.size(made.bus_tb * 1e12), index=show.size(made.index_tb * 1e12),
            disk=show.size(made.disk_tb * 1e12),
        )
    )  # fmt: skip
    if made.embedded:
        show.line(say("plan.embedded", most=show.number(made.most_embedded), intake=_short(made.intake_mbit)))
        show.line(say("plan.embedded_is_measured", measured=show.number(figures["embedded_events"]["value"])))
    else:
        copies = ", ".join(f"{stage} {count}" for stage, count in made.copies.items())
        show.line(say("plan.copies", copies=copies, most=show.number(made.most_embedded)))
        show.line(
            say(
                "plan.networks", intake=_short(made.intake_mbit), bus=_short(made.bus_mbit),
                index=_short(made.index_mbit), shards=show.number(made.shards_a_node),
            )
        )  # fmt: skip
        show.line(say("plan.extrapolated"))
    show.line(f"\n{_as_toml(made)}")
    own = sum(figure.get("on") == "this machine" for figure in figures.values())
    show.line(say("plan.figures", measured=sum("by" in figure for figure in figures.values()), own=own))


def _short(value: float) -> str:
    return show.number(int(value) if value == int(value) else value)


def _as_toml(made: Plan) -> str:
    lines = []
    for section, settings in made.settings.items():
        lines += [f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in settings.items())]
    return "\n".join(lines) + "\n"
