"""CEF, LEEF and key=value lines of security devices."""

from datetime import datetime, timedelta, timezone

import pytest

from collectors.decoders import Hints, decode

LINES = [
    (
        "CEF:0|Security|threatmanager|1.0|100|detected a \\| in message|10|src=10.0.0.1 "
        "act=blocked a | dst=1.1.1.1 spt=1232 dpt=80 proto=TCP suser=nam duser=root",
        {
            "event.dataset": "cef",
            "observer.vendor": "Security",
            "observer.product": "threatmanager",
            "cef.name": "detected a | in message",
            "event.code": "100",
            "event.severity": 10,
            "source.ip": "10.0.0.1",
            "event.action": "blocked a |",
            "destination.ip": "1.1.1.1",
            "source.port": 1232,
            "destination.port": 80,
            "network.transport": "tcp",
            "source.user.name": "nam",
            "destination.user.name": "root",
            "user.name": "nam",
            "message": "detected a | in message",
        },
    ),
    (
        "CEF:0|V\\\\W|P|1|1|N|High|msg=a\\=b\\nc cs1=My Policy cs1Label=Policy Name "
        "request=http://e.vn/a/b?c\\=d fileHash=D41D8CD98F00B204E9800998ECF8427E "
        "rt=1795497464123 outcome=Failed",
        {
            "observer.vendor": "V\\W",
            "message": "a=b\nc",
            "event.severity": 8,
            "cef.extensions.cs1": "My Policy",
            "cef.extensions.Policy_Name": "My Policy",
            "url.original": "http://e.vn/a/b?c=d",
            "url.path": "/a/b",
            "url.query": "c=d",
            "file.hash.md5": "d41d8cd98f00b204e9800998ecf8427e",
            "@timestamp": "2026-11-24T05:17:44.123Z",
            "event.outcome": "failure",
        },
    ),
    (
        "<13>Nov 24 05:17:43 relay CEF:0|A|B|1|2|N|3|rt=Nov 24 2026 05:17:44 UTC shost=pc1 start=1795497464000",
        {
            "host.name": "relay",
            "@timestamp": "2026-11-24T05:17:44.000Z",
            "event.start": "2026-11-24T05:17:44.000Z",
            "source.domain": "pc1",
            "source.address": "pc1",
        },
    ),
    (
        "LEEF:1.0|Microsoft|MSExchange|4.0|15345|src=192.0.2.1\tdst=172.50.123.1\tsev=5\tsrcPort=81\tusrName=joe.black",
        {
            "event.dataset": "leef",
            "observer.product": "MSExchange",
            "event.code": "15345",
            "source.ip": "192.0.2.1",
            "source.port": 81,
            "event.severity": 5,
            "user.name": "joe.black",
            "leef.attributes.sev": "5",
        },
    ),
    (
        "LEEF:2.0|Lancope|StealthWatch|1.0|41|^|src=192.0.2.1^dst=192.0.2.2^proto=UDP^devTime=Nov 24 2026 05:17:44",
        {
            "source.ip": "192.0.2.1",
            "destination.ip": "192.0.2.2",
            "network.transport": "udp",
            "@timestamp": "2026-11-24T05:17:44.000Z",
        },
    ),
    (
        "LEEF:2.0|A|B|1.0|41|0x7C|src=192.0.2.1|dst=192.0.2.2",
        {"source.ip": "192.0.2.1", "destination.ip": "192.0.2.2"},
    ),
    (
        "LEEF:2.0|A|B|1.0|41|src=192.0.2.1\tdst=192.0.2.2",
        {"source.ip": "192.0.2.1", "destination.ip": "192.0.2.2"},
    ),
    (
        '<190>date=2026-11-24 time=12:17:44 devname="FG 100" devid="FG1" logid="0000000013" '
        'type="traffic" subtype="forward" level="notice" tz="+0700" srcip=10.1.1.1 srcport=5555 '
        'srcintf="lan" dstip=8.8.8.8 dstport=53 dstintf="wan1" proto=17 action="deny" policyid=7 '
        'service="DNS" sentbyte=10 rcvdbyte=0 user="nam"',
        {
            "event.dataset": "key_value",
            "observer.vendor": "Fortinet",
            "host.name": "FG 100",
            "source.ip": "10.1.1.1",
            "source.port": 5555,
            "destination.ip": "8.8.8.8",
            "network.transport": "udp",
            "network.protocol": "dns",
            "event.type": ["connection", "denied"],
            "observer.ingress.interface.name": "lan",
            "source.bytes": 10,
            "destination.bytes": 0,
            "user.name": "nam",
            "rule.id": "7",
            "fortinet.firewall.srcip": "10.1.1.1",
            "@timestamp": "2026-11-24T05:17:44.000Z",
        },
    ),
    (
        'level=info ts=2026-11-24T05:17:44Z msg="he said \\"hi\\"" user=nam src_ip=10.0.0.1',
        {
            "event.dataset": "key_value",
            "message": 'he said "hi"',
            "user.name": "nam",
            "source.ip": "10.0.0.1",
            "log.level": "info",
            "key_value.level": "info",
            "@timestamp": "2026-11-24T05:17:44.000Z",
        },
    ),
]


@pytest.mark.parametrize(("line", "expected"), LINES, ids=[line[:50] for line, _ in LINES])
def test_device_line(line: str, expected: dict[str, object], received: datetime) -> None:
    fields = decode(line, Hints(), received)
    assert {key: fields.get(key) for key in expected} == expected


NEAR_MISSES = [
    "CEF:0|only|three|parts",
    "LEEF:1.0|A|B",
    "one=1 two=2 only two",
    "this is a=b sentence with c=d and e=f words which are no pairs at all",
    "CEF is a format",
]


@pytest.mark.parametrize("line", NEAR_MISSES)
def test_near_miss_is_text(line: str, received: datetime) -> None:
    fields = decode(line, Hints(), received)
    assert fields["event.dataset"] == "text"
    assert fields["message"] == line


def test_settings_make_two_pairs_enough(received: datetime) -> None:
    fields = decode("one=1 two=2", Hints(dataset="key_value"), received)
    assert fields["key_value.one"] == "1"


def test_device_clock_without_offset_uses_the_source_s_zone(received: datetime) -> None:
    hanoi = Hints(timezone=timezone(timedelta(hours=7)))
    line = 'date=2026-11-24 time=12:17:44 devname="F" devid="1" logid="1" type="event"'
    assert decode(line, hanoi, received)["@timestamp"] == "2026-11-24T05:17:44.000Z"


def test_bad_device_time_is_told(received: datetime) -> None:
    fields = decode("CEF:0|A|B|1|2|N|3|rt=yesterday src=10.0.0.1", Hints(), received)
    assert "rt not understood" in fields["error.message"]
    assert fields["source.ip"] == "10.0.0.1"


def test_address_that_is_none_stays_in_the_extension_only(received: datetime) -> None:
    fields = decode("CEF:0|A|B|1|2|N|3|src=unknown spt=99999", Hints(), received)
    assert "source.ip" not in fields
    assert "source.port" not in fields
    assert fields["cef.extensions.src"] == "unknown"
