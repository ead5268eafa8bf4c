"""The benchmark's sender, a process of its own: lines over TCP syslog and Windows events over HTTP, nine to one.

Prints one JSON line: `seconds`, `sent` (moment, events so far), `marked` (moment, events that a rule matches so far).
"""

import http.client
import os
import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import orjson

#: Of ten events, nine are syslog lines and one is a Windows event.
_WINDOWS_SHARE = 10
_BATCH = 1_000
_NUMBER, _TIME = b"@number@", b"@time@"
#: The source address of the lines that the shipped rule for log-ins of root matches.
MARK = "203.0.113.9"


def main() -> None:
    """Send `count` events to the ports, at `rate` a second, for no longer than `longest` seconds (0: no limit)."""
    syslog, web, line_file, record_file, count, rate, alert_every, longest = sys.argv[1:9]
    lines = Path(line_file).read_bytes().split(b"\n")
    records = [_template(line) for line in Path(record_file).read_bytes().split(b"\n")]
    stream = socket.create_connection(("127.0.0.1", int(syslog)))
    client = http.client.HTTPConnection("127.0.0.1", int(web))
    sent, started = 0, time.monotonic()
    moments: list[tuple[float, int]] = []
    marked: list[tuple[float, int]] = []
    marks = 0
    deadline = started + (float(longest) or float("inf"))
    while sent < int(count) and time.monotonic() < deadline:
        size = min(_BATCH, int(count) - sent)
        windows = size // _WINDOWS_SHARE
        batch = [b"<86>" + lines[(sent + number) % len(lines)] for number in range(size - windows)]
        if int(alert_every):
            every = int(alert_every)
            for number in range(0, len(batch), every):
                batch[number] = _mark(marks := marks + 1)
        moment = time.time()
        stream.sendall(b"\n".join(batch) + b"\n")
        if windows:
            _post(client, records, sent, windows)
        sent += size
        moments.append((moment, sent))
        if marks:
            marked.append((moment, marks))
        if int(rate):
            ahead = sent / int(rate) - (time.monotonic() - started)
            time.sleep(max(ahead, 0))
    stream.close()
    seconds = round(time.monotonic() - started, 2)
    sys.stdout.buffer.write(orjson.dumps({"seconds": seconds, "sent": moments, "marked": marked}) + b"\n")


def _mark(number: int) -> bytes:
    stamp = time.strftime("%b %d %H:%M:%S", time.gmtime())
    return f"<86>{stamp} may-chu sshd[{number}]: Accepted password for root from {MARK} port 4711 ssh2".encode()


def _post(client: http.client.HTTPConnection, records: list[bytes], first: int, count: int) -> None:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z").encode()
    lines = (records[number % len(records)].replace(_NUMBER, b"%d" % number) for number in range(first, first + count))
    body = b"\n".join(lines).replace(_TIME, now)
    headers = {"Authorization": f"Bearer {os.environ['HAIDANG_BENCH_TOKEN']}"}
    while True:
        client.request("POST", "/v1/events", body, headers)
        response = client.getresponse()
        response.read()
        if response.status == 200:
            return
        if response.status != 429:
            raise SystemExit(f"the HTTP source answered {response.status}")
        time.sleep(0.2)


def _template(line: bytes) -> bytes:
    """Return a Windows record with room for a number of its own (two equal records would be one event) and the time."""
    event = orjson.loads(line)["Event"]
    created = {"#attributes": {"SystemTime": _TIME.decode()}}
    event["System"] = {**event["System"], "EventRecordID": 0, "TimeCreated": created}
    return orjson.dumps({"Event": event}).replace(b'"EventRecordID":0', b'"EventRecordID":' + _NUMBER)


if __name__ == "__main__":
    main()
