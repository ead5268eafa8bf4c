"""Alerts of network sensors become alerts of the queue: ours, Suricata's and Zeek's, once an hour for the same."""

from datetime import UTC
from pathlib import Path
from typing import Any

import orjson
import pytest

from collectors.decoders.suricata import decode as decode_eve
from collectors.network.rules.ruleset import RuleSet, load
from detectors.sensor_alerts import MARK, MAX_REMEMBERED, SensorAlerts
from pipeline.event import Event, event_id
from tests.collectors.network.packets import of, pcap, sensed
from tests.collectors.network.test_packet_rules import sent

ALL = ("network.alert", "suricata.alert", "zeek.notice")
EVE: dict[str, Any] = {
    "timestamp": "2026-11-24T05:17:44.000001+0700", "flow_id": 1, "event_type": "alert", "src_ip": "10.0.0.5",
    "src_port": 51000, "dest_ip": "203.0.113.9", "dest_port": 80, "proto": "TCP",
    "alert": {
        "action": "allowed", "gid": 1, "signature_id": 2018959, "rev": 4, "signature": "ET POLICY PE EXE",
        "category": "Potential Corporate Privacy Violation", "severity": 1,
        "metadata": {"signature_severity": ["Informational"], "mitre_technique_id": ["T1105"]},
    },
}  # fmt: skip
NOTICE: Event = {
    "@timestamp": "2026-11-24T05:17:44.000Z", "event.dataset": "zeek.notice", "event.kind": "alert",
    "rule.id": "Scan::Port_Scan", "rule.name": "Scan::Port_Scan", "rule.category": "Scan",
    "rule.description": "10.0.0.5 scanned 15 ports", "source.ip": "10.0.0.5",
}  # fmt: skip


def event(fields: Event, number: int = 1, **more: Any) -> Event:
    return {"event.id": event_id("test", number), "labels.source": "mirror", **fields, **more}


def packet_event(tmp_path: Path, **more: Any) -> Event:
    path = tmp_path / "own.rules"
    path.write_text(
        'alert tcp any any -> any any (msg:"Mark"; content:"evil"; reference:url,example.org/a; classtype:trojan-activity; '
        "metadata:mitre_technique_id T1210, title_vi Dấu hiệu; sid:1000007; rev:1;)",
        "utf-8",
    )
    (found,) = of(sensed(pcap(sent(b"evil")), rules=RuleSet(load([path]))), "network.alert")
    return event(found, **more)


def test_a_hit_of_a_packet_rule(tmp_path: Path) -> None:
    given = packet_event(tmp_path)
    made = SensorAlerts(ALL).alert(given)
    assert made is not None
    assert (made["rule.id"], made["rule.name"], made["rule.name_vi"]) == ("packet.1000007", "Mark", "Dấu hiệu")
    assert (made["rule.level"], made["event.severity"]) == ("high", 75)  # the priority of its class type
    assert made["rule.reference"] == ["https://example.org/a"]
    assert made["tags"] == ["attack.t1210"]
    assert made["alert.matches"] == [{"selection": "packet", "field": "payload", "value": "evil @ 0"}]
    assert made["alert.evidence"] == [given]
    assert (made["source.ip"], made["destination.port"], made["labels.source"]) == ("192.0.2.10", 443, "mirror")
    assert "A Network Trojan was detected" in made["rule.description"] != made["rule.description_vi"]


def test_an_alert_of_suricata_takes_the_level_of_its_author(tmp_path: Path) -> None:
    made = SensorAlerts(ALL).alert(event(decode_eve(EVE, UTC)))
    assert made is not None
    assert (made["rule.id"], made["rule.level"], made["tags"]) == (
        "suricata.1.2018959",
        "informational",
        ["attack.t1105"],
    )
    plain = {**EVE, "alert": {key: value for key, value in EVE["alert"].items() if key != "metadata"}}
    levels = []
    for severity in (1, 2, 3, 4):
        worse = {**plain, "alert": {**plain["alert"], "severity": severity}}
        alert = SensorAlerts(ALL).alert(event(decode_eve(worse, UTC)))
        levels.append(alert and alert["rule.level"])
    assert levels == ["high", "medium", "low", "informational"]


def test_a_notice_of_zeek() -> None:
    made = SensorAlerts(ALL).alert(event(NOTICE))
    assert made is not None
    assert (made["rule.id"], made["rule.level"]) == ("zeek.Scan::Port_Scan", "low")
    assert "10.0.0.5 scanned 15 ports" in made["rule.description_vi"]


def test_the_same_within_an_hour_is_one_alert_whoever_raises_it(tmp_path: Path) -> None:
    first, second = SensorAlerts(ALL), SensorAlerts(ALL)
    given = event(NOTICE)
    made, again = first.alert(given), second.alert(event(NOTICE, 2, **{"@timestamp": "2026-11-24T05:59:59.999Z"}))
    assert made is not None
    assert again is not None
    assert made["event.id"] == again["event.id"]
    assert first.alert(event(NOTICE, 3)) is None
    later = first.alert(event(NOTICE, 4, **{"@timestamp": "2026-11-24T06:00:00.000Z"}))
    other = first.alert(event(NOTICE, 5, **{"source.ip": "10.0.0.6"}))
    assert later is not None
    assert other is not None
    assert len({made["event.id"], later["event.id"], other["event.id"]}) == 3


def test_data_sets_can_be_turned_off_and_other_events_are_none() -> None:
    assert SensorAlerts(["network.alert"]).alert(event(NOTICE)) is None
    assert SensorAlerts([]).candidates([MARK]) == []
    assert SensorAlerts(ALL).alert(event(NOTICE, **{"event.kind": "event"})) is None
    assert SensorAlerts(ALL).alert(event(NOTICE, **{"event.dataset": "aws.guardduty"})) is None
    lines = [orjson.dumps(event(NOTICE)), orjson.dumps({**event(NOTICE), "event.kind": "event"})]
    assert [number for number, _ in SensorAlerts(ALL).candidates(lines)] == [0]


@pytest.mark.parametrize("odd", [None, 7, ["a"], {"a": 1}, "x" * 100])
def test_fields_of_a_foreign_sender_may_be_anything(odd: object) -> None:
    names = ("rule.id", "rule.name", "rule.category", "rule.reference", "event.severity", "packet_rule.matches",
             "packet_rule.severity", "packet_rule.techniques", "packet_rule.title_vi", "source.ip")  # fmt: skip
    for dataset in ALL:
        for name in names:
            made = SensorAlerts(ALL).alert(event({**NOTICE, name: odd}, **{"event.dataset": dataset}))
            assert made is not None
            assert all(isinstance(made[field], str) for field in ("rule.id", "rule.name", "rule.level"))


def test_what_is_remembered_is_bounded() -> None:
    alerts = SensorAlerts(ALL)
    for number in range(MAX_REMEMBERED + 50):
        alerts.alert(event(NOTICE, **{"source.ip": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"}))
    assert len(alerts._told) == MAX_REMEMBERED
