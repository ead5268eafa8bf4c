"""Sizing: a rate of events and a time to keep them enter, the machines that this takes leave.

Computed from `sizing.toml`: what was measured for one event, times the events. Up to what one machine was measured to
do this is sure; a cluster is extrapolated from one broker, one node and one core, and says so.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

#: How many days a system of each level must keep its logs at the least: 1, 3, 6, 12 months.
LEVEL_DAYS = {"L2": 31, "L3": 92, "L4": 184, "L5": 366}
_DAY = 86_400
#: Copies of Kafka's frames and of Elasticsearch's shards in a cluster: one machine of each may be lost.
_KAFKA_REPLICAS, _ELASTIC_COPIES = 3, 1
#: Who reads the topic `events`: detectors and store.
_READERS = 2
#: The least of each in a cluster: one may be away.
_LEAST_COPIES, _LEAST_MACHINES = 2, 3
#: Memory of machines of a cluster, in GB: stages; a broker (most of it for the system's file cache); a node (half of it
#: the heap, which must stay below 32 GB); PostgreSQL. And its cores and disk: it has alerts and counts, no events.
_STAGES_GB, _BROKER_GB, _NODE_GB = 32, 32, 64
_POSTGRES = (4, 16, 0.5)
#: Disk of a machine for stages, in TB: the system, and logs of its own.
_STAGES_TB = 0.1
#: The most shards of a day that the setting takes.
_MOST_SHARDS = 1000
#: The least partitions of a topic, and how many of them each copy of the store reads: when one is away, two share.
_LEAST_PARTITIONS, _PARTITIONS_A_COPY = 12, 2
#: What a machine needs beside our processes, in GB, and the least that is sold.
_SYSTEM_GB, _LEAST_GB = 2, 4
#: Unread megabytes on the embedded bus: the setting's own value.
_EMBEDDED_LIMIT_MB = 2000

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Machines:
    """So many machines alike. Memory in GB, disk in TB (10^12 bytes) of each."""

    what: str
    count: int
    cores: int
    memory_gb: int
    disk_tb: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rate and a time to keep it take. Disks in TB with all copies, networks in Mbit/s, sums of all machines."""

    events_per_second: float
    days: int
    embedded: bool
    most_embedded: int  # events a second that one machine is planned for
    machines: list[Machines]
    copies: dict[str, int]  # processes of each stage
    settings: dict[str, dict[str, int | str]]
    shards_a_node: int
    bus_tb: float
    index_tb: float
    disk_tb: float  # to buy: with room to spare
    intake_mbit: float
    bus_mbit: float
    index_mbit: float


def shipped() -> dict[str, dict[str, Any]]:
    """Return each figure with where it comes from."""
    return {name: dict(figure) for name, figure in _shipped().items()}


def values(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return the figures alone."""
    return {name: figure["value"] for name, figure in figures.items()}


def plan(events: float, days: int, figures: Figures) -> Plan:
    """Return what `events` a second, kept for `days`, take: one machine where that does, else a cluster."""
    most_of_a_process = 1_000_000 / max(figures["store_us"], figures["collectors_us"])  # there is one of each
    most = int(figures["busy"] * min(most_of_a_process, figures["embedded_events"]))
    return _embedded(events, days, most, figures) if events <= most else _cluster(events, days, most, figures)


def _embedded(events: float, days: int, most: int, figures: Figures) -> Plan:
    work = sum(figures[f"{stage}_us"] for stage in ("collectors", "detectors", "response", "store"))
    index = figures["index_bytes"] * events * _DAY * days / 1e12
    bus = _EMBEDDED_LIMIT_MB / 1e6
    recent = figures["index_bytes"] * events * 3600 / 1e9  # an hour of the index in the system's file cache
    memory = _doubling(_LEAST_GB, _SYSTEM_GB + figures["memory_mb"] / 1000 + recent)
    disk = (index + bus) / figures["full"]
    return Plan(
        events_per_second=events, days=days, embedded=True, most_embedded=most,
        machines=[Machines("one", 1, max(2, _cores(events, work, figures)), memory, _up(disk))],
        copies={}, settings={"store": {"retention_days": days}}, shards_a_node=0,
        bus_tb=_up(bus), index_tb=_up(index), disk_tb=_up(disk),
        intake_mbit=_mbit(figures["line_bytes"] * events), bus_mbit=0, index_mbit=0,
    )  # fmt: skip


def _cluster(events: float, days: int, most: int, figures: Figures) -> Plan:
    copies = {
        stage: max(_LEAST_COPIES, _cores(events, figures[figure], figures))
        for stage, figure in (
            ("collectors", "collectors_us"), ("detectors", "detectors_us"), ("response", "response_us"),
            ("store", "elastic_client_us"),
        )
    } | {"api": _LEAST_COPIES}  # fmt: skip
    partitions = max(_LEAST_PARTITIONS, _PARTITIONS_A_COPY * copies["store"])
    held_mb = ceil(figures["frame_bytes"] * events * 3600 * figures["hold_hours"] / 1e6)
    bus = held_mb * _KAFKA_REPLICAS / 1e6
    bus_rate = figures["frame_bytes"] * events * (_KAFKA_REPLICAS + _READERS)
    brokers = _brokers(events, bus_rate, figures)
    day = figures["elastic_index_bytes"] * events * _DAY  # of one copy
    index = day * days * (1 + _ELASTIC_COPIES) / 1e12
    shards = min(max(1, ceil(day / 1e9 / figures["shard_gb"])), _MOST_SHARDS)
    all_shards = shards * days * (1 + _ELASTIC_COPIES)
    nodes = _nodes(events, index, all_shards, figures)
    disks = (bus / figures["full"], index / figures["full"])
    stages = max(_LEAST_MACHINES, ceil(sum(copies.values()) / figures["cores"]))
    machines = [
        Machines("stages", stages, int(figures["cores"]), _STAGES_GB, _STAGES_TB),
        Machines("kafka", brokers, int(figures["broker_cores"]), _BROKER_GB, _up(disks[0] / brokers)),
        Machines("elasticsearch", nodes, int(figures["cores"]), _NODE_GB, _up(disks[1] / nodes)),
        Machines("postgresql", 2, *_POSTGRES),
    ]
    return Plan(
        events_per_second=events, days=days, embedded=False, most_embedded=most, machines=machines, copies=copies,
        settings={
            "bus": {"kind": "kafka", "partitions": partitions, "replicas": _KAFKA_REPLICAS, "limit_mb": held_mb},
            "store": {
                "kind": "elasticsearch", "shards": shards, "replicas": _ELASTIC_COPIES, "retention_days": days,
            },
        },
        shards_a_node=ceil(all_shards / nodes), bus_tb=_up(bus), index_tb=_up(index), disk_tb=_up(sum(disks)),
        intake_mbit=_mbit(figures["line_bytes"] * events), bus_mbit=_mbit(bus_rate),
        index_mbit=_mbit(figures["json_bytes"] * events * (1 + _ELASTIC_COPIES)),
    )  # fmt: skip


def _brokers(events: float, bytes_a_second: float, figures: Figures) -> int:
    work = figures["kafka_in_us"] * _KAFKA_REPLICAS + figures["kafka_out_us"] * _READERS
    by_work = ceil(_cores(events, work, figures) / figures["broker_cores"])
    by_network = ceil(bytes_a_second * 8 / 1e9 / (figures["network_gbit"] * figures["busy"]))
    return max(_LEAST_MACHINES, by_work, by_network)


def _nodes(events: float, index_tb: float, shards: int, figures: Figures) -> int:
    by_work = ceil(_cores(events, figures["elastic_node_us"] * (1 + _ELASTIC_COPIES), figures) / figures["cores"])
    by_disk = ceil(index_tb / figures["full"] / figures["node_tb"])
    by_shards = ceil(shards / figures["node_shards"])
    return max(_LEAST_MACHINES, by_work, by_disk, by_shards)


def _cores(events: float, microseconds: float, figures: Figures) -> int:
    return ceil(events * microseconds / 1e6 / figures["busy"])


def _doubling(least: int, needed: float) -> int:
    while least < needed:
        least *= 2
    return least


def _mbit(bytes_a_second: float) -> float:
    return _up(bytes_a_second * 8 / 1e6)


def _up(value: float) -> float:
    """Round up to two digits that count: 0.01234 is 0.013, 1234 is 1300."""
    if value <= 0:
        return 0
    step = 1.0
    while value / step >= 100:
        step *= 10
    while value / step < 10 and step > 1e-6:
        step /= 10
    return round(ceil(round(value / step, 6)) * step, 6)


@cache
def _shipped() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("sizing.toml").read_text("utf-8"))
