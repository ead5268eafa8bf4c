"""Syslog headers: RFC 3164, RFC 5424 and the dialects."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from collectors.decoders import Hints, decode

PLAIN = Hints()
HANOI = Hints(timezone=timezone(timedelta(hours=7)))

HEADERS = [
    (
        "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
        {
            "log.syslog.facility.code": 4,
            "log.syslog.facility.name": "auth",
            "log.syslog.severity.code": 2,
            "log.syslog.severity.name": "critical",
            "host.name": "mymachine",
            "process.name": "su",
            "@timestamp": "2026-10-11T22:14:15.000Z",
            "message": "'su root' failed for lonvick on /dev/pts/8",
        },
    ),
    (
        "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \ufeff'su root' failed",
        {
            "log.syslog.version": "1",
            "log.syslog.appname": "su",
            "log.syslog.msgid": "ID47",
            "host.name": "mymachine.example.com",
            "@timestamp": "2003-10-11T22:14:15.003Z",
            "message": "'su root' failed",
        },
    ),
    (
        '<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 app 8710 - [ex@1 iut="3" q="a \\"b\\"'
        ' \\]"][p@1 class="high"] An event',
        {
            "host.ip": "192.0.2.1",
            "process.pid": 8710,
            "log.syslog.procid": "8710",
            "log.syslog.structured_data.ex@1.iut": "3",
            "log.syslog.structured_data.ex@1.q": 'a "b" ]',
            "log.syslog.structured_data.p@1.class": "high",
            "@timestamp": "2003-08-24T12:14:15.000003Z",
            "message": "An event",
        },
    ),
    (
        "2026-11-24T12:17:44.123456+07:00 web1 nginx[42]: hello",
        {
            "host.name": "web1",
            "process.name": "nginx",
            "process.pid": 42,
            "@timestamp": "2026-11-24T05:17:44.123456Z",
            "message": "hello",
        },
    ),
    (
        "<189>000123: Nov 24 05:17:44.123 UTC: %SYS-5-CONFIG_I: Configured from console",
        {
            "event.sequence": 123,
            "event.code": "CONFIG_I",
            "observer.vendor": "Cisco",
            "observer.product": "IOS",
            "@timestamp": "2026-11-24T05:17:44.123Z",
            "message": "%SYS-5-CONFIG_I: Configured from console",
        },
    ),
    (
        "<166>Nov 24 2026 05:17:44 fw01 : %ASA-6-302013: Built outbound TCP connection 1",
        {
            "host.name": "fw01",
            "observer.product": "ASA",
            "event.code": "302013",
            "@timestamp": "2026-11-24T05:17:44.000Z",
        },
    ),
    (
        "<166>:Nov 24 05:17:44 UTC: %ASA-session-6-302013: Built",
        {"event.code": "302013", "@timestamp": "2026-11-24T05:17:44.000Z"},
    ),
    (
        "Jun 14 15:16:01 combo sshd(pam_unix)[19939]: check pass; user unknown",
        {"process.name": "sshd", "process.pid": 19939, "message": "check pass; user unknown"},
    ),
    (
        "Jun 14 15:16:01 combo syslogd 1.4.1: restart.",
        {"process.name": "syslogd", "message": "restart."},
    ),
    (
        "Nov 24 05:17:44 h last message repeated 3 times",
        {"host.name": "h", "message": "last message repeated 3 times"},
    ),
    (
        "Nov  4 05:17:44 fe80::1 tag: x",
        {"host.ip": "fe80::1", "@timestamp": "2026-11-04T05:17:44.000Z"},
    ),
    ("<13>no header at all", {"log.syslog.facility.code": 1, "message": "no header at all"}),
]


@pytest.mark.parametrize(("line", "expected"), HEADERS, ids=[line[:40] for line, _ in HEADERS])
def test_header_becomes_fields(line: str, expected: dict[str, object], received: datetime) -> None:
    fields = decode(line, PLAIN, received)
    assert {key: fields.get(key) for key in expected} == expected


NO_HEADERS = [
    "<999>priority out of range",
    "<34 no end",
    "Nov24 05:17:44 h x: y",
    "2026-11-24T05:17:44Z INFO main: a program's own log",
    "2026-11-24T05:17:44Z started without a tag",
    "Marvin said: hello",
]


@pytest.mark.parametrize("line", NO_HEADERS)
def test_near_misses_have_no_host(line: str, received: datetime) -> None:
    fields = decode(line, PLAIN, received)
    assert "host.name" not in fields
    assert fields["message"] == line
    assert fields["event.dataset"] == "text"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


YEARS = [
    ("Dec 31 23:59:59", "2026-01-01T00:00:05", "2025-12-31T23:59:59.000Z"),
    ("Jan  1 00:00:05", "2025-12-31T23:59:59", "2026-01-01T00:00:05.000Z"),
    ("Feb 29 12:00:00", "2026-03-01T00:00:00", "2024-02-29T12:00:00.000Z"),
    ("Feb 29 12:00:00", "2024-02-29T12:00:01", "2024-02-29T12:00:00.000Z"),
    ("Nov 25 05:00:00", "2026-11-24T05:17:44", "2026-11-25T05:00:00.000Z"),
    ("Nov 25 06:00:00", "2026-11-24T05:17:44", "2025-11-25T06:00:00.000Z"),
    ("Nov 23 05:00:00", "2026-11-24T05:17:44", "2026-11-23T05:00:00.000Z"),
]


@pytest.mark.parametrize(("stamp", "now", "expected"), YEARS)
def test_missing_year_is_the_nearest_and_at_most_a_day_ahead(stamp: str, now: str, expected: str) -> None:
    fields = decode(f"{stamp} h x: y", PLAIN, _moment(now))
    assert fields["@timestamp"] == expected


def test_stamp_without_an_offset_is_in_the_source_s_time_zone(received: datetime) -> None:
    fields = decode("Nov 24 12:17:44 h x: y", HANOI, received)
    assert fields["@timestamp"] == "2026-11-24T05:17:44.000Z"


def test_impossible_stamp_is_told_and_the_rest_is_kept(received: datetime) -> None:
    fields = decode("<13>Nov 99 05:17:44 h x: y", PLAIN, received)
    assert "not understood" in fields["error.message"]
    assert fields["host.name"] == "h"
    assert "@timestamp" not in fields


def test_broken_structured_data_stays_in_the_message(received: datetime) -> None:
    fields = decode('<165>1 - h app 1 - [id a="1] text', PLAIN, received)
    assert fields["message"] == '[id a="1] text'
    assert "structured data" in fields["error.message"]


def test_repeated_message_is_read_and_counted(received: datetime) -> None:
    fields = decode(
        "Nov 24 05:17:44 h sshd[1]: message repeated 5 times: [ Failed password for root from 192.0.2.4 port 5 ssh2]",
        PLAIN,
        received,
    )
    assert fields["log.syslog.repeated"] == 5
    assert fields["source.ip"] == "192.0.2.4"
