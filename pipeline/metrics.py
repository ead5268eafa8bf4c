"""Metrics: ledger and health enter, Prometheus' text format leaves (https://prometheus.io/docs/instrumenting/exposition_formats/).

The numbers come from the state, so they survive restarts and are the ones that `haidang sources` shows.
"""

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine

from pipeline import clocks, ledger
from pipeline.event import parse_time
from pipeline.health import health
from pipeline.settings import Settings


def metrics_text(engine: Engine, settings: Settings) -> bytes:
    """Return all metrics as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_FromState(engine, settings))
    return generate_latest(registry)


class _FromState(Collector):
    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine, self._settings = engine, settings

    def collect(self) -> Iterator[Metric]:
        events = CounterMetricFamily(
            "haidang_events", "Events by stage, source and outcome", labels=["stage", "source", "outcome", "reason"]
        )
        for line in ledger.sums(self._engine):
            events.add_metric([line.stage, line.source, line.outcome, line.reason], line.events)
        yield events
        now = health(self._engine, self._settings)
        up = GaugeMetricFamily("haidang_stage_up", "1 while the stage says that it lives", labels=["stage"])
        backlog = GaugeMetricFamily("haidang_backlog_events", "Events that wait for the stage", labels=["stage"])
        for name, stage in now["stages"].items():
            up.add_metric([name], 1 if stage["up"] else 0)
            backlog.add_metric([name], stage["backlog_events"])
        yield up
        yield backlog
        correlation = GaugeMetricFamily(
            "haidang_correlation", "What correlations hold, took and left out", labels=["stage", "what"]
        )
        for name, stage in now["stages"].items():
            for what, number in stage.get("correlations", {}).items():
                correlation.add_metric([name, what], number)
        yield correlation
        behaviour = GaugeMetricFamily(
            "haidang_behaviour", "What behaviours hold, took and left out", labels=["stage", "what"]
        )
        for name, stage in now["stages"].items():
            for what, number in stage.get("behaviours", {}).items():
                behaviour.add_metric([name, what], number)
        yield behaviour
        yield GaugeMetricFamily(
            "haidang_disk_free_bytes", "Free bytes of the data directory", value=now["disk_free_bytes"]
        )
        yield from _of_canaries(now["canaries"])
        yield from _of_clocks(self._engine)
        yield from _of_channels(now["channels"])
        yield from _of_queue(now["queue"])
        yield GaugeMetricFamily("haidang_problems", "Problems that health names", value=len(now["problems"]))


def _of_queue(queue: dict[str, int]) -> Iterator[Metric]:
    groups = GaugeMetricFamily(
        "haidang_queue_groups", "Groups of alerts that people have to work on", labels=["status"]
    )
    for status in ("new", "acknowledged", "escalated"):
        groups.add_metric([status], queue[status])
    yield groups
    yield GaugeMetricFamily("haidang_cases_open", "Cases that are open", value=queue["cases"])
    yield GaugeMetricFamily("haidang_cases_late", "Open cases with a term that is over", value=queue["cases_late"])


def _of_canaries(flown: list[dict[str, Any]]) -> Iterator[Metric]:
    labels = ["machine", "source", "kind"]
    good = GaugeMetricFamily(
        "haidang_canary_last_good_timestamp_seconds",
        "When the last good canary left",
        labels=labels,
    )
    took = GaugeMetricFamily("haidang_canary_seconds", "Seconds that it took", labels=labels)
    failures = CounterMetricFamily("haidang_canary_failures", "Canaries that were late or lost", labels=labels)
    for row in flown:
        names = [row[name] for name in labels]
        if row["last_good"]:
            good.add_metric(names, parse_time(row["last_good"]).timestamp())
            took.add_metric(names, row["seconds"])
        failures.add_metric(names, row["failures"])
    yield from (good, took, failures)


def _of_channels(fared: list[dict[str, Any]]) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("haidang_messages_waiting", "Messages that wait for a channel", labels=["channel"])
    oldest = GaugeMetricFamily(
        "haidang_messages_oldest_timestamp_seconds", "When the oldest of them was put down", labels=["channel"]
    )
    dead = GaugeMetricFamily("haidang_messages_dead", "Messages that a channel will not take", labels=["channel"])
    sent = CounterMetricFamily("haidang_messages_sent", "Messages that a channel took", labels=["channel"])
    failing = GaugeMetricFamily("haidang_channel_failures", "Failures in a row", labels=["channel"])
    success = GaugeMetricFamily(
        "haidang_channel_success_timestamp_seconds", "When a channel last took a message", labels=["channel"]
    )
    for each in fared:
        names = [each["channel"]]
        waiting.add_metric(names, each["waiting"])
        dead.add_metric(names, each["dead"])
        sent.add_metric(names, each["sent"])
        failing.add_metric(names, each["failures"])
        if each["oldest"]:
            oldest.add_metric(names, each["oldest"])
        if each["succeeded"]:
            success.add_metric(names, each["succeeded"])
    yield from (waiting, oldest, dead, sent, failing, success)


def _of_clocks(engine: Engine) -> Iterator[Metric]:
    behind = GaugeMetricFamily(
        "haidang_clock_behind_seconds", "The clock of a source's hosts that is off most; above 0 it is behind ours",
        labels=["source"],
    )  # fmt: skip
    off = GaugeMetricFamily("haidang_clocks_off", "Hosts whose clock is an alert", labels=["source"])
    for source, (most, count) in clocks.worst(engine).items():
        behind.add_metric([source], most)
        off.add_metric([source], count)
    yield from (behind, off)
