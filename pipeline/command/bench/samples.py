"""Input for the benchmarks: files of real records where given, else records of our own making."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

#: Where a checkout with test data beside it has real records.
_REAL_LOGS = Path("../shared/data/logs/OpenSSH/OpenSSH_2k.log")
_REAL_EVTX = Path("../shared/data/evtx")
_WINDOWS_SAMPLES = 2_000


def syslog_lines(given: str | None) -> tuple[list[bytes], str]:
    """Return lines of sshd with a syslog header and no end, and where they come from."""
    path = Path(given) if given else _REAL_LOGS
    if path.is_file():
        return [line for line in path.read_bytes().splitlines() if line], str(path)
    return list(_made_lines(2_000)), "made"


def windows_records(given: str | None) -> tuple[list[dict[str, Any]], str]:
    """Return Windows events as JSON objects (the shape that evtx tools write), and where they come from."""
    folder = Path(given) if given else _REAL_EVTX
    if folder.is_dir():
        return list(_read_evtx(folder)), str(folder)
    return [_made_record(number) for number in range(_WINDOWS_SAMPLES)], "made"


def _read_evtx(folder: Path) -> Iterator[dict[str, Any]]:
    from evtx import PyEvtxParser

    count = 0
    for path in sorted(folder.rglob("*.evtx")):
        for record in PyEvtxParser(str(path)).records_json():
            if record is None:
                break
            yield orjson.loads(record["data"])
            count += 1
            if count >= _WINDOWS_SAMPLES:
                return


def _made_lines(count: int) -> Iterator[bytes]:
    chance = random.Random(20261124)  # noqa: S311 - test input, the same each time
    users = ["root", "admin", "nguyen.van.an", "postgres", "test", "oracle", "tran.thi.binh"]
    texts = [
        "Failed password for invalid user {user} from {ip} port {port} ssh2",
        "Failed password for {user} from {ip} port {port} ssh2",
        "Invalid user {user} from {ip}",
        "Received disconnect from {ip}: 11: Bye Bye [preauth]",
        "Connection closed by {ip} [preauth]",
        "Accepted password for {user} from {ip} port {port} ssh2",
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={ip}  user={user}",
        "pam_unix(sshd:session): session opened for user {user} by (uid=0)",
    ]
    for number in range(count):
        ip = f"203.0.113.{chance.randrange(1, 60)}"
        text = chance.choice(texts).format(user=chance.choice(users), ip=ip, port=chance.randrange(1024, 65536))
        stamp = f"Nov 24 {number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}"
        yield f"{stamp} may-chu sshd[{chance.randrange(1000, 30000)}]: {text}".encode()


def _made_record(number: int) -> dict[str, Any]:
    images = [
        "C:\\Windows\\System32\\svchost.exe",
        "C:\\Windows\\explorer.exe",
        "C:\\Program Files\\Office\\WINWORD.EXE",
    ]
    return {
        "Event": {
            "System": {
                "Provider": {"#attributes": {"Name": "Microsoft-Windows-Security-Auditing"}},
                "EventID": 4688, "Level": 0, "Channel": "Security", "Computer": f"MAY-{number % 50:03}.xa.local",
                "TimeCreated": {"#attributes": {"SystemTime": "2026-11-24T02:00:00.000000Z"}}, "EventRecordID": number,
            },
            "EventData": {
                "SubjectUserName": f"user{number % 40}", "SubjectDomainName": "XA", "SubjectLogonId": "0x3e7",
                "NewProcessId": hex(number), "NewProcessName": images[number % 3], "TokenElevationType": "%%1936",
                "CommandLine": f"{images[number % 3]} -k netsvcs -p {number}", "ParentProcessName": images[0],
            },
        }
    }  # fmt: skip
