"""Access and error lines of Apache httpd and nginx."""

from datetime import datetime

import pytest

from collectors.decoders import Hints, decode

ACCESS = [
    (
        '203.0.113.5 - - [24/Nov/2026:12:17:44 +0700] "GET /a?b=c HTTP/1.1" 200 512',
        {
            "source.ip": "203.0.113.5",
            "http.request.method": "GET",
            "url.original": "/a?b=c",
            "url.path": "/a",
            "url.query": "b=c",
            "http.version": "1.1",
            "http.response.status_code": 200,
            "http.response.body.bytes": 512,
            "event.outcome": "success",
            "@timestamp": "2026-11-24T05:17:44.000Z",
        },
    ),
    (
        "www.example.vn:443 2001:db8::5 - nguyễn an [24/Nov/2026:12:17:44 +0700] "
        '"POST /login HTTP/2.0" 401 - "https://x/?q=\\"1\\"" "Mozilla/5.0 (\\"x\\")"',
        {
            "url.domain": "www.example.vn",
            "url.port": 443,
            "source.ip": "2001:db8::5",
            "user.name": "nguyễn an",
            "http.response.status_code": 401,
            "event.outcome": "failure",
            "http.request.referrer": 'https://x/?q="1"',
            "user_agent.original": 'Mozilla/5.0 ("x")',
        },
    ),
    (
        '203.0.113.5 - - [24/Nov/2026:12:17:44 +0700] "\\x16\\x03\\x01" 400 226 "-" "-"',
        {
            "event.reason": "not an HTTP request",
            "http.response.status_code": 400,
            "http.request.body.content": "\\x16\\x03\\x01",
        },
    ),
    (
        '203.0.113.5 - - [24/Nov/2026:12:17:44 +0700] "-" 408 -',
        {"http.response.status_code": 408, "event.reason": "not an HTTP request"},
    ),
    (
        'client.example - - [24/Nov/2026:12:17:44 +0700] "GET http://b.example/p?q HTTP/1.0" 403 9'
        ' "-" "curl" "198.51.100.9, 10.0.0.1"',
        {
            "source.domain": "client.example",
            "url.domain": "b.example",
            "url.path": "/p",
            "url.scheme": "http",
            "network.forwarded_ip": "198.51.100.9",
        },
    ),
]


@pytest.mark.parametrize(("line", "expected"), ACCESS, ids=[line[:50] for line, _ in ACCESS])
def test_access_line(line: str, expected: dict[str, object], received: datetime) -> None:
    fields = decode(line, Hints(), received)
    assert fields["event.dataset"] == "apache.access"
    assert {key: fields.get(key) for key in expected} == expected


@pytest.mark.parametrize("hints", [Hints(dataset="nginx.access"), Hints(dataset="nginx.access", syslog=True)])
def test_settings_tell_nginx_from_apache(hints: Hints, received: datetime) -> None:
    assert decode(ACCESS[0][0], hints, received)["event.dataset"] == "nginx.access"


def test_syslog_tag_tells_nginx_from_apache(received: datetime) -> None:
    line = "<190>Nov 24 05:17:44 web1 nginx: " + ACCESS[0][0]
    fields = decode(line, Hints(), received)
    assert fields["event.dataset"] == "nginx.access"
    assert fields["host.name"] == "web1"


ERRORS = [
    (
        "[Sun Dec 04 04:47:44 2005] [error] [client 203.0.113.5] Directory index forbidden",
        {
            "event.dataset": "apache.error",
            "log.level": "error",
            "source.ip": "203.0.113.5",
            "message": "Directory index forbidden",
            "@timestamp": "2005-12-04T04:47:44.000Z",
        },
    ),
    (
        "[Tue Nov 24 04:47:44.123456 2026] [core:error] [pid 5:tid 77] (13)Permission denied: "
        "[client 2001:db8::5:4711] AH00124: Request exceeded, referer: http://a/",
        {
            "apache.error.module": "core",
            "process.pid": 5,
            "process.thread.id": 77,
            "source.ip": "2001:db8::5",
            "source.port": 4711,
            "event.code": "AH00124",
            "http.request.referrer": "http://a/",
        },
    ),
    (
        "[Sun Dec 04 04:47:44 2005] [notice] workerEnv.init() ok /etc/httpd/conf/workers2",
        {"event.dataset": "apache.error", "log.level": "notice", "event.type": ["info"]},
    ),
    (
        "2026/11/24 05:17:44 [crit] 123#456: *789 SSL_do_handshake() failed, client: 203.0.113.5, "
        'server: x, request: "GET /y?z HTTP/1.1", host: "x.vn", referrer: "http://a/"',
        {
            "event.dataset": "nginx.error",
            "log.level": "crit",
            "source.ip": "203.0.113.5",
            "url.path": "/y",
            "url.domain": "x.vn",
            "http.request.method": "GET",
            "http.request.referrer": "http://a/",
            "process.pid": 123,
        },
    ),
]


@pytest.mark.parametrize(("line", "expected"), ERRORS, ids=[line[:50] for line, _ in ERRORS])
def test_error_line(line: str, expected: dict[str, object], received: datetime) -> None:
    fields = decode(line, Hints(), received)
    assert {key: fields.get(key) for key in expected} == expected


NEAR_MISSES = [
    '203.0.113.5 - - [24/Nov/2026 12:17:44] "GET / HTTP/1.1" 200 512',
    "[Sun] [error] text",
    "2026/11/24 05:17:44 no level here",
    "[main] INFO started",
]


@pytest.mark.parametrize("line", NEAR_MISSES)
def test_near_miss_is_text(line: str, received: datetime) -> None:
    assert decode(line, Hints(), received)["event.dataset"] == "text"


def test_line_of_another_kind_in_an_access_log_is_told(received: datetime) -> None:
    fields = decode("hello", Hints(dataset="apache.access"), received)
    assert fields["event.dataset"] == "apache.access"
    assert fields["error.message"] == "not a record of the kind apache.access"
    assert fields["message"] == "hello"


def test_impossible_day_is_told(received: datetime) -> None:
    line = '203.0.113.5 - - [31/Feb/2026:12:17:44 +0700] "GET / HTTP/1.1" 200 512'
    fields = decode(line, Hints(), received)
    assert "not understood" in fields["error.message"]
    assert fields["source.ip"] == "203.0.113.5"
