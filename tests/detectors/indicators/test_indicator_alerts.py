"""Events are looked up and become alerts: which fields, which way, how bad, how often."""

from pathlib import Path
from typing import Any

import pytest

from detectors.indicators.alerting import Told, alerts_of
from detectors.indicators.allow import Allow, of_settings
from detectors.indicators.index import Few
from detectors.indicators.indicator import THREATS, Indicator
from detectors.indicators.matcher import FIELDS, Matcher, is_wanted
from pipeline.event import Event, decode, encode, event_id
from pipeline.messages import HaidangError, catalogue
from pipeline.networks import Site
from pipeline.settings import Behaviours, Indicators
from tests.conftest import need
from tests.detectors.traffic import flow

OURS, THEIRS, SITE = "192.168.7.9", "45.9.148.3", Site(Behaviours().local_networks)
C2 = Indicator("address", THEIRS, "report", "c2", 90, family="AsyncRAT", reference="https://r.vn/1", tlp="amber")
DOMAIN = Indicator("domain", "evil.example.com", "report", "c2", 90)


def event(**fields: Any) -> Event:
    """Return an event; `source__ip` is `source.ip`."""
    named = {name.replace("__", "."): value for name, value in fields.items()}
    return {"@timestamp": "2026-11-24T05:17:44.000Z", "event.id": event_id("test", str(named)), **named}


def found(indicators: list[Indicator], *events: Event, allow: Allow | None = None) -> list[Event]:
    """Return the alerts of events, as the stage raises them."""
    matcher, told = Matcher([Few(indicators)], allow or Allow(())), Told()
    alerts = []
    for each in events:
        assert is_wanted(encode(each)) or not matcher.hits(each), each
        alerts += told.new(alerts_of(decode(encode(each)), matcher.hits(each), SITE))
    return alerts


def test_an_alert_says_everything_in_both_languages_and_in_ecs() -> None:
    (alert,) = found([C2], event(source__ip=OURS, destination__ip=THEIRS, host__name="may-7"))
    assert (alert["rule.id"], alert["rule.level"], alert["alert.direction"]) == ("indicator.c2", "high", "contact")
    assert alert["threat.indicator.type"] == "ipv4-addr"
    assert alert["threat.indicator.ip"] == alert["threat.indicator.name"] == THEIRS
    assert (alert["threat.indicator.confidence"], alert["threat.indicator.provider"]) == ("High", "report")
    assert (alert["threat.indicator.marking.tlp"], alert["threat.software.name"]) == ("AMBER", "AsyncRAT")
    assert alert["alert.matches"][0] == {"selection": "indicator", "field": "destination.ip", "value": THEIRS}
    assert (alert["source.ip"], alert["host.name"]) == (OURS, "may-7")
    for field in ("rule.description", "rule.description_vi"):
        assert all(part in alert[field] for part in (OURS, THEIRS, "report", "90", "AsyncRAT"))
    assert alert["rule.description"] != alert["rule.description_vi"]
    assert alert["alert.evidence"][0]["destination.ip"] == THEIRS
    assert "attack.command-and-control" in alert["tags"]
    words = catalogue("vi")
    for threat in THREATS:
        assert words[f"indicators.{threat}"]
        (named,) = found([C2._replace(threat=threat)], event(destination__ip=THEIRS))
        assert named["rule.name_vi"] == words[f"indicators.{threat}"]


@pytest.mark.parametrize(
    ("fields", "way", "level"),
    [
        ({"source__ip": OURS, "destination__ip": THEIRS}, "contact", "high"),
        ({"source__ip": THEIRS, "destination__ip": OURS}, "inbound", "medium"),
        # half a connection: what comes from a service's port answers a device of ours
        ({"source__ip": THEIRS, "source__port": 443, "destination__ip": OURS, "destination__port": 50111}, "contact", "high"),
        ({"source__ip": OURS, "destination__ip": THEIRS, "flow__state": "S0"}, "contact", "medium"),
        ({"source__ip": OURS, "destination__ip": THEIRS, "event__action": "denied"}, "contact", "medium"),
        ({"source__ip": THEIRS, "destination__ip": OURS, "event__type": ["connection", "denied"]}, "inbound", "low"),
        ({"source__ip": OURS, "dns__resolved_ip": ["1.2.3.4", THEIRS]}, "lookup", "high"),
        ({"client__ip": OURS, "url__domain": THEIRS}, "contact", "high"),
        ({"source__ip": OURS, "destination__ip": "8.8.8.8", "tls__client__server_name": "a.evil.example.com"}, "contact", "high"),
        ({"source__ip": "1.2.3.4", "destination__ip": OURS, "url__domain": "evil.example.com"}, "inbound", "medium"),
        ({"source__ip": OURS, "dns__question__name": "X.Evil.Example.com."}, "lookup", "high"),
    ],
)  # fmt: skip
def test_who_goes_to_whom_decides_how_bad_it_is(fields: dict[str, Any], way: str, level: str) -> None:
    (alert,) = found([C2, DOMAIN], event(**fields))
    assert (alert["alert.direction"], alert["rule.level"]) == (way, level)
    assert alert["alert.refused"] is ((level in ("medium", "low") and way == "contact") or "event__type" in fields)


@pytest.mark.parametrize("dataset", ["network.arp", "suricata.arp"])
def test_a_question_for_an_address_on_the_link_is_no_contact(dataset: str) -> None:
    asked = event(source__ip=OURS, destination__ip=THEIRS, event__dataset=dataset)
    assert not found([C2], asked)
    assert len(found([C2], {**asked, "event.dataset": "network.flow"})) == 1


def test_an_unsure_indicator_is_a_level_less_and_the_surest_list_speaks() -> None:
    contact = event(source__ip=OURS, destination__ip=THEIRS)
    assert found([C2._replace(confidence=49)], contact)[0]["rule.level"] == "medium"
    (alert,) = found([C2._replace(confidence=20, feed="vague", threat="tor"), C2], contact)
    assert (alert["rule.id"], alert["threat.indicator.provider"]) == ("indicator.c2", "report")
    assert {each["field"] for each in alert["alert.matches"]} == {"destination.ip", "report", "vague"}


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_that_is_looked_up_is_found(field: str) -> None:
    way, _, kinds = FIELDS[field]
    value = {"address": THEIRS, "either": "x.evil.example.com", "name": "evil.example.com", "email": "a@evil.com",
             "url": "https://Evil.example.com/a?b=1"}.get(way) or ("t10i120400_9a86275ec70d_368bf2d64253"
             if "ja4" in kinds else "ab" * 32 if "sha256" in field else "ab" * 20 if "sha1" in field else "ab" * 16)  # fmt: skip
    listed = [
        C2, DOMAIN, Indicator("email", "a@evil.com"), Indicator("url", "evil.example.com/a"),
        Indicator("ja4", "t10i120400_9a86275ec70d_368bf2d64253"), Indicator("ja3", "ab" * 16), Indicator("md5", "ab" * 16),
        Indicator("sha1", "ab" * 20), Indicator("certificate", "ab" * 32), Indicator("sha256", "ab" * 32),
    ]  # fmt: skip
    assert found(listed, event(**{field.replace(".", "__"): value.upper() if way != "url" else value}))
    assert found(listed, event(**{field.replace(".", "__"): [7, value]}))
    assert not found(listed, event(**{field.replace(".", "__"): "nothing"}))
    assert not found(listed, event(**{field.replace(".", "__"): {"a": value}}))


def test_a_file_hash_is_no_fingerprint_of_tls() -> None:
    ja3 = Indicator("ja3", "ab" * 16, "report", "malware")
    assert not found([ja3], event(file__hash__md5="ab" * 16))
    (alert,) = found([ja3], event(tls__client__ja3="ab" * 16, source__ip=OURS))
    assert alert["alert.direction"] == "contact"
    assert found([Indicator("md5", "ab" * 16)], event(tls__client__ja3="ab" * 16))  # a list that does not say which
    (alert,) = found([Indicator("md5", "ab" * 16)], event(process__hash__md5="AB" * 16, host__name="may-7"))
    assert (alert["alert.direction"], alert["threat.indicator.type"]) == ("host", "file")


def test_a_request_that_was_seen_in_parts_is_a_url() -> None:
    listed = [Indicator("url", "evil.example.com:8080/x/a.exe"), Indicator("url", "evil.example.com/b")]
    request = {"source__ip": OURS, "url__domain": "evil.example.com"}
    assert found(listed, event(**request, url__original="/x/a.exe?n=1", destination__port=8080))
    assert found(listed, event(**request, url__original="/b", destination__port=80))
    assert not found(listed, event(**request, url__original="/x/a.exe", destination__port=80))


def test_repeats_of_an_hour_are_one_alert_and_a_replay_gives_the_same_id() -> None:
    first = event(source__ip=OURS, destination__ip=THEIRS)
    again = {**first, "event.id": "f" * 24, "@timestamp": "2026-11-24T05:59:59.000Z"}
    other = {**first, "source.ip": "192.168.7.10"}
    later = {**first, "@timestamp": "2026-11-24T06:00:00.000Z"}
    alerts = found([C2], first, again, other, later)
    assert len({each["event.id"] for each in alerts}) == len(alerts) == 3
    assert [each["event.id"] for each in found([C2], first, again, other, later)] == [
        each["event.id"] for each in alerts
    ]
    matcher = Matcher([Few([C2])], Allow(()))
    (stored,) = alerts_of(first, matcher.hits(first), SITE, afterwards=True)
    assert stored["event.id"] == alerts[0]["event.id"]
    assert stored["alert.found_afterwards"] is True
    assert "afterwards" in stored["rule.description"]


def test_an_indicator_that_has_ended_before_the_event_is_none() -> None:
    contact = event(source__ip=OURS, destination__ip=THEIRS)
    moment = 1_795_497_464.0  # of the event
    assert found([C2._replace(expires=moment)], contact)
    assert not found([C2._replace(expires=moment - 1)], contact)
    matcher = Matcher([Few([C2])], Allow(()), {"report": moment - 1})
    assert not alerts_of(contact, matcher.hits(contact), SITE)


def test_what_is_allowed_never_alerts_whatever_a_list_says() -> None:
    allow = of_settings(Indicators(allow=["45.9.0.0/16", "example.com", "bad.vn/x"]))
    listed = [
        C2, DOMAIN, Indicator("network", "8.8.0.0/16"), Indicator("url", "example.com/virus.exe"),
        Indicator("url", "bad.vn/x"), Indicator("network", "45.0.0.0/8"), Indicator("domain", "chinhphu.vn"),
    ]  # fmt: skip
    for fields in (
        {"destination__ip": THEIRS}, {"dns__question__name": "a.evil.example.com"}, {"destination__ip": "8.8.8.8"},
        {"url__full": "http://bad.vn/x"}, {"dns__question__name": "www.chinhphu.vn"},
    ):  # fmt: skip
        assert not found(listed, event(**fields), allow=allow), fields
    assert found(listed, event(destination__ip="8.8.9.9"), allow=allow)
    assert found(listed, event(destination__ip="45.10.0.1"), allow=allow)
    assert found(listed, event(url__full="https://example.com/virus.exe"), allow=allow)  # a file is not its host
    assert found(listed, event(destination__ip="8.8.8.8"), allow=of_settings(Indicators(built_in_allow=False)))
    with pytest.raises(HaidangError, match="allow-list"):
        Allow(["no domain"])


def test_an_allow_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "allow.txt").write_text("# ours\nevil.example.com # known\n\n", "utf-8")
    allow = of_settings(Indicators(allow_files=[tmp_path / "allow.txt"]))
    assert not found([DOMAIN], event(dns__question__name="evil.example.com"), allow=allow)
    with pytest.raises(HaidangError, match="cannot be read"):
        of_settings(Indicators(allow_files=[tmp_path / "nothing.txt"]))


def test_connections_of_the_traffic_of_other_tests_are_found() -> None:
    made = flow(1, OURS, THEIRS, 443)
    (alert,) = found([C2], made)
    assert alert["@timestamp"] == made["@timestamp"]


def test_events_of_a_real_capture_show_its_server(shared_data: Path) -> None:
    from collectors.decoders import Hints
    from collectors.envelope import Origin, encoding, zone
    from collectors.reading import read_file

    capture = shared_data / "pcap" / "c2" / "30a385ed-171e-4f15-ac3f-08c96be7bfd1.pcap"
    need(capture.is_file(), str(capture))
    origin = Origin("detect", "", "", Hints(timezone=zone("UTC")), encoding("auto"))
    events = [decode(line) for lines, _ in read_file(capture, origin, 131_072) for line in lines]
    for number, each in enumerate(events):
        each["event.id"] = event_id("capture", number)
    by_address = found([C2._replace(value="186.169.47.11")], *events)
    by_ja3 = found([Indicator("ja3", "8b79783b7a50d6785ef5365a464f97d1", "report", "c2", 90)], *events)
    assert {each["alert.direction"] for each in by_address} == {"contact", "lookup"}
    assert {each["destination.ip"] for each in by_ja3} == {"186.169.47.11"}
    assert found([Indicator("domain", "never-seen.com")], *events) == []


def test_the_docs_name_every_field_that_is_looked_up() -> None:
    page = (Path(__file__).parents[3] / "docs" / "indicators.md").read_text("utf-8")
    holders = ("process.", "dll.", "email.attachments.")  # named together
    missing = [field for field in FIELDS if f"`{field}`" not in page and not field.startswith(holders)]
    assert missing == []
