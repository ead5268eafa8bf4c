"""Every format of list: what it says is read as it is meant, what cannot be used is told with its place and reason."""

import base64
import gzip
import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from detectors.indicators.formats import FORMATS, read, told
from detectors.indicators.indicator import Indicator
from detectors.indicators.listed import Defaults, Refusal
from pipeline.messages import HaidangError
from tests.detectors.indicators.lists import DEFAULTS, addresses, indicators, refusals

MD5, SHA256 = "aeeb74a57c1f9df4cfc4536d26a38b8c", "f72f898a3c91bd2eac496cf78b8b9c8048a4c054303b5b7110c93f555a438508"


def test_the_addresses_of_real_rules_are_a_plain_list(shared_data: Path) -> None:
    tor = addresses(shared_data, "tor.rules")
    assert len(tor) > 5000
    found = indicators("\n".join(tor).encode())
    assert [each.value for each in found] == tor
    beacons = addresses(shared_data, "threatview_CS_c2.rules")
    assert {each.kind for each in indicators(", # x\n".join(beacons).encode(), "csv")} == {"address"}


def test_a_plain_list_has_comments_and_any_kind() -> None:
    text = f"# head\n; other\n// third\n\n45.9.148.3 # why\n  evil[.]example.com\n{MD5}\nhxxp://a[.]vn/x\n10.0.0.1\n?\n"
    assert told(text.encode()) == "plain"
    assert [each.kind for each in indicators(text.encode())] == ["address", "domain", "md5", "url"]
    assert [(each.place, each.reason) for each in refusals(text.encode())] == [("9", "private"), ("10", "no_domain")]


def test_names_of_a_hosts_file_are_themselves_alone() -> None:
    text = b"127.0.0.1 localhost\n::1 ip6-localhost\n0.0.0.0 ads.example.net track.example.org # both\n0.0.0.0 x.com\n"
    assert told(text) == "hosts"
    assert [(each.kind, each.value) for each in indicators(text)] == [
        ("host", "ads.example.net"), ("host", "track.example.org"), ("host", "x.com"),
    ]  # fmt: skip
    assert {each.reason for each in refusals(text)} == {"own_name"}


def test_columns_are_found_by_their_names() -> None:
    text = (
        b"indicator;type;malware;confidence;expires;reference;tlp\r\n"
        b"45.9.148.3:443;ip:port;Cobalt Strike;91%;2030-01-02;https://r.vn/1;TLP:AMBER\r\n"
        b"evil.example.com;domain;;;;;\r\n45.9.0.0/16;ip;;300;;;\r\nmutex-x;mutex;;;;;\r\n"
    )
    first, second, third = indicators(text)
    assert first == Indicator(
        "address", "45.9.148.3", "list", "c2", 91, 1893542400.0, "Cobalt Strike", "https://r.vn/1", "amber"
    )
    assert (second.kind, second.confidence, second.expires) == ("domain", 80, 0)
    assert (third.kind, third.confidence) == ("network", 100)
    assert [(each.place, each.reason) for each in refusals(text)] == [("5", "unknown_kind")]


def test_the_names_of_the_columns_may_be_the_last_comment() -> None:
    """As abuse.ch writes its lists."""
    text = (
        b"################\n# Feodo\n#\n"
        b'# "first_seen_utc","dst_ip","dst_port","c2_status","last_online","malware"\n'
        b'"2021-01-17 07:30:05","45.9.148.3","443","offline","2024-04-24","Emotet"\n'
    )
    assert told(text) == "csv"
    (found,) = indicators(text)
    assert (found.value, found.family) == ("45.9.148.3", "Emotet")


def test_a_csv_file_without_names_gives_its_first_indicator() -> None:
    assert [each.value for each in indicators(b"2024,45.9.148.3,x\n2025,evil.example.com,y\n")] == [
        "45.9.148.3", "evil.example.com",
    ]  # fmt: skip
    assert [each.reason for each in refusals(b"2024,10.1.1.1,x\n1,2,3\n")] == ["private", "no_indicator"]


def test_datasets_of_suricata() -> None:
    names = [base64.b64encode(name.encode()).decode() for name in ("evil.example.com", "a.vn/x?y=ü")]
    data = "\n".join([*names, "", SHA256, f"{MD5},7"]).encode()
    assert told("\n".join(names).encode()) == "suricata"
    assert [each.kind for each in indicators(data, "suricata")] == ["domain", "url", "sha256", "md5"]
    assert [each.kind for each in indicators(f"{MD5}\n{SHA256}\n".encode())] == ["md5", "sha256"]


def _misp() -> dict[str, Any]:
    attribute = {"to_ids": True, "uuid": "5f0c9a3e-0000-4000-8000-000000000001"}
    return {"Event": {
        "info": "OSINT - Emotet botnet", "uuid": "5f0c9a3e-0000-4000-8000-00000000000a",
        "Tag": [{"name": "tlp:green"}, {"name": 'misp-galaxy:malpedia="Emotet"'}],
        "Attribute": [
            {**attribute, "type": "ip-dst|port", "value": "45.9.148.3|443"},
            {**attribute, "type": "hostname", "value": "C2.evil.example.com"},
            {**attribute, "type": "ip-src", "value": "10.0.0.7"},
            {**attribute, "type": "mutex", "value": "Global\\x"},
            {**attribute, "type": "domain", "value": "only-context.com", "to_ids": False},
            "nonsense",
        ],
        "Object": [{"Attribute": [
            {**attribute, "type": "filename|sha256", "value": f"a.exe|{SHA256}",
             "Tag": [{"name": 'misp:confidence-level="fairly-confident"'}]},
        ]}, None],
    }}  # fmt: skip


def test_an_event_of_misp() -> None:
    data = json.dumps(_misp()).encode()
    assert told(data) == "misp"
    first, second, third = indicators(data, defaults=Defaults("list", "suspicious", 80))
    assert (first.kind, first.value, first.tlp, first.family) == ("address", "45.9.148.3", "green", "Emotet")
    assert (first.threat, first.reference) == ("c2", "MISP 5f0c9a3e-0000-4000-8000-00000000000a OSINT - Emotet botnet")
    assert (second.kind, second.value) == ("host", "c2.evil.example.com")
    assert (third.kind, third.value, third.confidence) == ("sha256", SHA256, 50)
    assert [each.reason for each in refusals(data)] == ["private", "unknown_kind"]
    assert len(indicators(json.dumps({"response": [_misp(), _misp()]}).encode())) == 6


def _stix() -> dict[str, Any]:
    def indicator(number: int, pattern: str, **more: Any) -> dict[str, Any]:
        return {
            "type": "indicator", "spec_version": "2.1", "pattern_type": "stix", "pattern": pattern,
            "id": f"indicator--00000000-0000-4000-8000-{number:012}", "valid_from": "2024-01-01T00:00:00Z", **more,
        }  # fmt: skip

    return {"type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000000", "objects": [
        indicator(1, "[ipv4-addr:value = '45.9.148.3'] OR [domain-name:value IN ('evil.example.com', 'b.vn')]",
                  confidence=95, indicator_types=["malicious-activity"], valid_until="2030-01-01T00:00:00Z",
                  object_marking_refs=["marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"]),
        indicator(2, f"[file:hashes.'SHA-256' = '{SHA256}' AND file:name = 'a.exe']"),
        indicator(3, "[url:value = 'https://evil.example.com/it\\'s']"),
        indicator(4, "[ipv4-addr:value = '45.9.148.9' AND network-traffic:dst_port = 443]"),
        indicator(5, "[domain-name:value LIKE '%.evil.com']"),
        indicator(6, "[ipv4-addr:value ISSUBSET '45.9.0.0/16']"),
        indicator(7, "[ipv4-addr:value = '45.9.148.8']", revoked=True),
        indicator(8, "rule x { condition: true }", pattern_type="yara"),
        indicator(9, "[process:command_line = 'x']"),
        {"type": "malware", "id": "malware--1", "name": "Agent Tesla", "is_family": True},
        {"type": "relationship", "relationship_type": "indicates", "target_ref": "malware--1",
         "source_ref": "indicator--00000000-0000-4000-8000-000000000002"},
        {"type": "identity", "name": "x"}, 7,
    ]}  # fmt: skip


def test_a_bundle_of_stix() -> None:
    data = json.dumps(_stix()).encode()
    assert told(data) == "stix"
    found = indicators(data)
    assert [(each.kind, each.value) for each in found] == [
        ("address", "45.9.148.3"), ("domain", "evil.example.com"), ("domain", "b.vn"), ("sha256", SHA256),
        ("url", "evil.example.com/it's"), ("network", "45.9.0.0/16"),
    ]  # fmt: skip
    assert found[0][3:6] == ("malware", 95, 1893456000.0)
    assert (found[0].tlp, found[3].family) == ("amber", "Agent Tesla")
    assert [(each.place[-1], each.reason) for each in refusals(data)] == [
        ("4", "pattern"), ("5", "pattern"), ("7", "expired"), ("8", "pattern"), ("9", "unknown_kind"),
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["misp", "stix"])
@pytest.mark.parametrize("data", [b"{}", b"[7]", b'{"objects": 7}', b"{", b'"x"'])
def test_a_document_of_another_kind_is_refused_whole(form: str, data: bytes) -> None:
    with pytest.raises(HaidangError):
        list(read(data, form, DEFAULTS, "feed.json"))


def test_packed_lists_are_read_and_damaged_or_endless_ones_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = b"45.9.148.3\n"
    zipped = BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("full.csv", plain)
    for packed in (gzip.compress(plain), zstandard.compress(plain), zipped.getvalue()):
        assert [each.value for each in indicators(packed)] == ["45.9.148.3"]
        with pytest.raises(HaidangError, match="damaged"):
            indicators(packed[:-7])
    monkeypatch.setattr("detectors.indicators.formats.MAX_BYTES", 100_000)
    with pytest.raises(HaidangError, match="larger than"):
        indicators(gzip.compress(b"x" * 1_000_000))


def test_what_has_expired_is_not_taken() -> None:
    text = b"value,expires\n45.9.148.3,2020-01-01\n45.9.148.4,2040-01-01\n"
    found = list(read(text, "auto", Defaults("list", now=1_795_000_000)))
    assert [each.reason for each in found if isinstance(each, Refusal)] == ["expired"]
    assert [each.value for each in found if isinstance(each, Indicator)] == ["45.9.148.4"]


@given(st.binary(max_size=300), st.sampled_from(FORMATS))
def test_any_bytes_are_read_or_refused(data: bytes, form: str) -> None:
    try:
        found = list(read(data, form, DEFAULTS))
    except HaidangError:
        return
    assert all(isinstance(each, (Indicator, Refusal)) for each in found)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["Event", "Attribute", "type", "value", "to_ids", "objects", "pattern", "Tag", "name", "Object",
                         "id", "labels", "confidence", "external_references"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(_JSON, st.sampled_from(["misp", "stix"]))
def test_any_json_is_read_or_refused(document: Any, form: str) -> None:
    try:
        found = list(read(json.dumps(document).encode(), form, DEFAULTS))
    except HaidangError:
        return
    assert all(isinstance(each, (Indicator, Refusal)) for each in found)
