"""`[detectors]`, `[canary]`, `[watch]`, `[devices]`: what is found, and what is watched over."""

from pathlib import Path

from pydantic import Field, field_validator

from pipeline.settings.behaviours import Behaviours
from pipeline.settings.section import Section, valid_networks


class Detectors(Section):
    rules: list[Path] = Field(
        default_factory=list, description="folders of Sigma rules; the rules we ship when left out"
    )
    lateness_seconds: float = Field(
        300, ge=0, le=86_400, description="correlations: how late an event may come and still take part, in seconds"
    )
    correlation_groups: int = Field(
        100_000, ge=100, description="correlations: groups that each rule holds; the one longest without an event goes"
    )
    correlation_events: int = Field(
        10_000, ge=100, description="correlations: events that each group holds; the oldest go"
    )
    correlation_evidence_mb: int = Field(
        200, ge=1, description="correlations: megabytes of events that are held to be shown in alerts"
    )
    sensor_alerts: list[str] = Field(
        default_factory=lambda: ["network.alert", "suricata.alert", "zeek.notice"],
        description="data sets whose own alerts become alerts; an empty list turns it off",
    )
    behaviours: Behaviours = Field(default_factory=Behaviours)


class Canary(Section):
    minutes: float = Field(
        5, ge=0, le=1440, description="how often a canary goes through each input, in minutes; 0 sends none"
    )
    late_seconds: float = Field(60, gt=0, le=3600, description="seconds after which one not through is an alert")


class Watch(Section):
    quiet_sources: bool = Field(True, description="a source that is silent against its habit is an alert")
    clock_seconds: float = Field(60, gt=0, description="a host whose clock is off by more seconds is an alert")


class Devices(Section):
    """`[devices]`"""

    enabled: bool = Field(True, description="whether devices are told apart by what is seen of them")
    most: int = Field(50_000, ge=100, le=5_000_000, description="devices that are known at a time")
    keep_days: float = Field(400, ge=1, description="a device that was not seen for so many days is forgotten")
    units: dict[str, list[str]] = Field(
        default_factory=dict, description="units of the organization, each with its networks (CIDR)"
    )

    @field_validator("units")
    @classmethod
    def _are_networks(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        for networks in value.values():
            valid_networks(networks)
        return value
