"""Fuzzing of everything that reads what a stranger sent: a number of inputs enters, faults leave (`make nightly`).

Each decoder gets lines of its own kind, mutated: bytes changed, cut, doubled, put together with those of other kinds.
It must not raise, must give what is an event or nothing, and must not keep memory.
"""

import argparse
import gc
import gzip
import json
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import zstandard

from collectors.decoders import DECODERS, Hints, decode, decode_object, decode_windows, syslog_header
from collectors.decoders.contract import Context, Decoder
from collectors.decoders.text import to_text
from collectors.decoders.zeek_layout import Layouts
from collectors.envelope import Origin
from collectors.netflow.exporters import Exporters
from collectors.syslog_framing import Framing
from collectors.unpacking import TooLarge, Unpacker
from pipeline.event import encode
from pipeline.frame import PoisonFrame, unpack
from pipeline.memory import resident_bytes
from tests.collectors.netflow.crafted import seeds

_NOW = datetime(2026, 11, 24, 5, 17, 44, tzinfo=UTC)
_LONGEST = 4_000
#: How much the process may grow after its first fifth, in bytes.
GROWTH_BYTES = 30_000_000

#: One line at least of each kind; the mutations come from here.
LINES = (
    "<38>Nov 24 05:17:44 web sshd[411]: Failed password for invalid user oracle from 203.0.113.9 port 4242 ssh2",
    "<38>1 2026-11-24T05:17:44.123+07:00 web sshd 411 ID7 [ex@32473 a=\"1\" b=\"đ\\]\"] \ufeffAccepted publickey for an",
    "Nov  4 05:17:44 web sudo:   an : TTY=pts/0 ; PWD=/home/an ; USER=root ; COMMAND=/usr/bin/cat /etc/shadow",
    "Nov 24 05:17:44 web su[9]: pam_unix(su:session): session opened for user root(uid=0) by an(uid=1000)",
    "Nov 24 05:17:44 web CRON[77]: (root) CMD (/usr/local/bin/backup.sh > /dev/null 2>&1)",
    "Nov 24 05:17:44 web systemd[1]: Started nginx.service - A high performance web server.",
    "Nov 24 05:17:44 fw kernel: [123.4] DROP IN=eth0 OUT= MAC=00:11 SRC=203.0.113.9 DST=10.0.0.1 LEN=60 PROTO=TCP SPT=1 DPT=22 SYN",
    "Nov 24 05:17:44 web passwd[9]: pam_unix(passwd:chauthtok): password changed for an",
    "Nov 24 05:17:44 web useradd[9]: new user: name=an, UID=1001, GID=1001, home=/home/an, shell=/bin/bash, from=/dev/pts/0",
    "Nov 24 05:17:44 web ftpd[3]: connection from 203.0.113.9 (x.example) at Tue Nov 24 05:17:44 2026",
    "type=EXECVE msg=audit(1764000000.123:24287): argc=3 a0=\"cat\" a1=\"-n\" a2=2F6574632F736861646F77",
    "type=SYSCALL msg=audit(1764000000.123:24287): arch=c000003e syscall=59 success=yes exit=0 auid=1000 comm=\"cat\" key=(null)",
    "CEF:0|Vendor|Pro\\|duct|1.0|100|Đăng nhập sai|7|src=203.0.113.9 dst=10.0.0.1 spt=4242 msg=a\\=b rt=Nov 24 2026 05:17:44",
    "LEEF:2.0|Vendor|Product|1.0|100|^|src=203.0.113.9^dst=10.0.0.1^sev=7^devTime=Nov 24 2026 05:17:44^usrName=an",
    '203.0.113.9 - an [24/Nov/2026:12:17:44 +0700] "GET /a?b=\\x22%27 HTTP/1.1" 200 512 "https://example.vn/" "Mozilla/5.0"',
    "[Tue Nov 24 05:17:44.123456 2026] [core:error] [pid 9:tid 7] [client 203.0.113.9:4242] AH00037: Symbolic link not allowed",
    "2026/11/24 05:17:44 [error] 1#1: *7 open() \"/var/www/x\" failed (2: No such file), client: 203.0.113.9, server: _, request: \"GET /x\"",
    "date=2026-11-24 time=05:17:44 devname=\"FG 100\" type=\"traffic\" srcip=203.0.113.9 dstport=22 action=\"deny\" msg=\"từ chối\"",
    '{"@timestamp":"2026-11-24T05:17:44Z","message":"xin chào","user":{"name":"an"},"source.ip":"203.0.113.9","n":[1,{"a":null}]}',
    '{"Event":{"System":{"Provider":{"#attributes":{"Name":"Microsoft-Windows-Sysmon"}},"EventID":1,"Channel":"Microsoft-Windows-Sysmon/Operational","TimeCreated":{"#attributes":{"SystemTime":"2026-11-24T05:17:44Z"}}},"EventData":{"Image":"C:\\\\Windows\\\\cmd.exe","CommandLine":"cmd /c whoami","Hashes":"MD5=0,SHA256=1"}}}',
    '{"EventID":4624,"Channel":"Security","TargetUserName":"an","LogonType":3,"IpAddress":"203.0.113.9","Keywords":"0x8020000000000000"}',
    '{"_path":"conn","ts":1601998366.786397,"uid":"CYwXsR3yfDq6hooIU2","id.orig_h":"10.0.0.5","id.orig_p":40000,"id.resp_h":"2001:db8::9","id.resp_p":445,"proto":"tcp","service":"gssapi,smb","duration":0.5,"conn_state":"SF","orig_bytes":1,"tunnel_parents":[]}',
    '{"ts":1601998366.786397,"uid":"C1","id.orig_h":"10.0.0.5","id.orig_p":40000,"id.resp_h":"10.0.0.9","id.resp_p":53,"proto":"udp","trans_id":1,"query":"a.vn.","answers":["1.2.3.4"],"TTLs":[1.0]}',
    '{"timestamp":"2026-11-24T05:17:44.123456+0700","flow_id":7,"event_type":"flow","src_ip":"10.0.0.5","src_port":40000,"dest_ip":"10.0.0.9","dest_port":443,"proto":"TCP","flow":{"pkts_toserver":6,"start":"2026-11-24T05:17:00.000001+0700","end":"2026-11-24T05:17:02Z"},"tcp":{"tcp_flags_ts":"1b"}}',
    '{"timestamp":"2026-11-24T05:17:44.123456+0700","flow_id":7,"event_type":"dns","src_ip":"10.0.0.5","src_port":53,"dest_ip":"10.0.0.9","dest_port":40000,"proto":"UDP","dns":{"version":3,"type":"response","id":9,"flags":"8180","queries":[{"rrname":"a"}],"answers":[{"rrname":"a","rrtype":"A","rdata":"1.2.3.4"}]}}',
    '{"timestamp":"2026-11-24T05:17:44.123456+0700","event_type":"alert","src_ip":"10.0.0.5","proto":"TCP","alert":{"signature_id":1,"severity":1},"http":{"hostname":"a","url":"/x?y"},"flow":{"src_ip":"10.0.0.9"}}',
    "Tiếng Việt có dấu, không theo khuôn dạng nào: “ngoặc kép”, emoji 🚨 và \u202e chữ ngược",
)  # fmt: skip
_TOKENS = (
    "\0", "\x1f", "\ud7ff", "\U0010ffff", "\\", '"', "'", "|", "=", "[", "]", "{", "}", "(", ")", "%", "\\x", "%00",
    "\n", "\r\n", "\t", "-", "-1", "0", "00", "99999999999999999999", "1e999", "NaN", "null", "١٢", "²", "2026-02-30",
    "25:61:61", "Feb 30", "::1", "::ffff:1.2.3.4", "256.256.256.256", "[::1]:99999", "a" * 300, "[" * 200, "{\"a\":" * 60,
)  # fmt: skip


#: Header lines and a record of each log of Zeek's, parted by tabs.
_ZEEK = (
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
    "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tduration\tlocal_orig\ttunnel_parents\n"
    "#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tinterval\tbool\tset[string]\n"
    "1601998366.785668\tC1\t10.0.0.5\t40000\t10.0.0.9\t443\ttcp\t0.5\tT\tC2,C3\\x2c\n1601998366.7\tC2\t-\t-\t-\t-\t-\t-\t-\t(empty)",
)  # fmt: skip
#: What only one reader is given to start from.
_OWN_LINES = {"zeek files": _ZEEK, "netflow": tuple(data.decode("latin-1") for data in seeds())}


def targets() -> dict[str, Callable[[str], Any]]:
    """Return what is fuzzed: the name of each reader, and how it is called with a text."""
    found: dict[str, Callable[[str], Any]] = {}
    for number, decoder in enumerate(DECODERS):
        name = "/".join(decoder.datasets) or "/".join(sorted(decoder.programs)[:3]) or f"content {number}"
        found[f"decoder {name}"] = partial(_decoder, decoder)
    found["syslog header"] = lambda text: syslog_header.parse(text, UTC, _NOW)
    found["any text"] = lambda text: _event(decode(text, Hints(syslog=len(text) % 2 == 0), _NOW))
    found["objects"] = _objects
    found["encodings"] = lambda text: [to_text(_bytes(text), kind) for kind in ("auto", "utf-16", "tcvn3", "vni")]
    found["whole events"] = _whole
    found["framing"] = _framing
    found["frames"] = _frames
    found["packed requests"] = _packed
    found["zeek files"] = _zeek
    found["netflow"] = partial(_netflow, Exporters(3600, 60, 1, 1, 0.0), [0])
    return found


def fuzz(name: str, inputs: int, seed: int, lines: tuple[str, ...] = LINES) -> int:
    """Give a reader so many inputs; return by how many bytes the process grew.

    Raises:
        AssertionError: it raised, or gave what is no event; the text has the input.
    """
    target, chance = targets()[name], random.Random(f"{seed} {name}")
    every = _OWN_LINES.get(name) or [*lines, *_without_headers(lines)]
    known = [line for line in every if target(line)] or every
    before = 0
    for number in range(inputs):
        if number == inputs // 5:
            before = _memory()
        text = mutated(chance, known if chance.randrange(5) else every, every)
        try:
            target(text)
        except Exception as error:
            raise AssertionError(f"{name}: {error!r} at {text!r}\n{traceback.format_exc()}") from error
    return _memory() - before


def mutated(chance: random.Random, lines: Sequence[str], others: Sequence[str]) -> str:
    """Return one of the lines, broken in some way, perhaps with a part of another one."""
    text = chance.choice(lines)
    for _ in range(chance.choice((0, 1, 1, 2, 3, 8))):
        at, end = sorted((chance.randint(0, len(text)), chance.randint(0, len(text))))
        match chance.randrange(7):
            case 0:
                text = text[:at] + text[end:]
            case 1:
                text = text[:at] + chance.choice(_TOKENS) + text[at:]
            case 2:
                text = (
                    text[:at] + chr(chance.choice((chance.randrange(128), chance.randrange(0xD800)))) + text[at + 1 :]
                )
            case 3:
                text = text[:end] + text[at:]
            case 4:
                other = chance.choice(others)
                text = text[:at] + other[chance.randint(0, len(other)) :]
            case 5:
                text = text[:at] + text[at:end] * chance.randrange(2, 9) + text[end:]
            case 6:
                text = text[:at]
        text = text[:_LONGEST]
    return text


def _without_headers(lines: tuple[str, ...]) -> Iterator[str]:
    for line in lines:
        if header := syslog_header.parse(line, UTC, _NOW):
            yield line[header[1] :]


def _decoder(decoder: Decoder, text: str) -> bool:
    if decoder.looks_like is not None:
        decoder.looks_like(text)
    program = next(iter(decoder.programs), None)
    dataset = decoder.datasets[len(text) % len(decoder.datasets)] if decoder.datasets else None
    fields = decoder.decode(text, Context(program, UTC, _NOW, dataset))
    if fields is not None:
        _fields(fields)
    return fields is not None


def _event(fields: dict[str, Any]) -> None:
    assert isinstance(fields["event.dataset"], str)
    assert isinstance(fields["message"], str)
    assert "decoder failed" not in str(fields.get("error.message", "")), fields["error.message"]
    _fields(fields)


def _fields(fields: dict[str, Any]) -> None:
    encode(fields)  # as the envelope does: also numbers beyond 64 bits
    for name, value in fields.items():
        assert isinstance(name, str)
        assert not isinstance(value, dict), f"{name} is not flat: {value!r}"


def _zeek(text: str) -> bool:
    layouts = Layouts("conn.log")
    layouts.recover(lambda size, at: _bytes(text)[at : at + size], len(text) // 2)
    for line in text.split("\n"):
        if not layouts.is_header(line.encode("utf-8", "replace")):
            _event(decode(line, Hints(layout=layouts.layout), _NOW))
    return True


def _netflow(exporters: Exporters, clock: list[int], text: str) -> bool:
    clock[0] += 1
    now = clock[0] / 100
    data = text.encode("latin-1", "replace")
    ready = exporters.feed(f"10.0.0.{clock[0] % 9}", data, 1_795_500_000_000_000_000 + clock[0] * 10_000_000, now)
    for each in [*ready, *exporters.ripe(now)]:
        _fields(each.fields)
    if clock[0] % 500 == 0:
        exporters.count_lost(now, settle=True)
        exporters.lost.clear()
    return True


def _objects(text: str) -> None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(found, dict):
        _event(decode_object(found, Hints(), _NOW))
        _event(decode_windows(found) if "Event" in found else decode_object({"EventID": 1, **found}, Hints(), _NOW))


def _whole(text: str) -> None:
    origin = Origin("fuzz", "may", "vn", Hints(syslog=True), "auto")
    line = origin.event(_bytes(text), ("fuzz", 1), _NOW, {})
    assert b"\n" not in line
    event = orjson.loads(line)
    assert {"@timestamp", "event.id", "event.ingested", "labels.source"} <= event.keys()


def _framing(text: str) -> None:
    data = _bytes(text)
    framing = Framing(500)
    cut = len(data) // 2
    found = [*framing.feed(data[:cut]), *framing.feed(data[cut:]), *framing.end()]
    assert all(len(message) <= 501 for message in found)


def _frames(text: str) -> None:
    packed = zstandard.compress(_bytes(text))
    at = len(text) % len(packed)
    for payload in (packed, packed[:at], packed[:at] + b"\xff" + packed[at:]):
        try:
            unpack(payload)
        except PoisonFrame:
            continue


def _packed(text: str) -> None:
    for encoding, pack in (("gzip", gzip.compress), ("zstd", zstandard.compress), ("deflate", _bytes_of)):
        packed = pack(_bytes(text))
        at = len(text) % max(len(packed), 1)
        for payload in (packed, packed[:at] + b"\x00" + packed[at + 1 :]):
            unpacker = Unpacker(encoding, 100_000)
            try:
                for piece in unpacker.feed(payload):
                    assert len(piece) <= 100_000
                unpacker.end()
            except (TooLarge, ValueError):
                continue


def _bytes_of(data: bytes) -> bytes:
    return data


def _bytes(text: str) -> bytes:
    encoding = ("utf-8", "utf-16-le", "latin-1", "cp1258")[len(text) % 4]
    return text.encode(encoding, "replace")


def _memory() -> int:
    gc.collect()
    return resident_bytes()


def _more_lines(folder: Path) -> Iterator[str]:
    for file in sorted(folder.glob("*/*.log")):
        yield from file.read_text("utf-8", "replace").splitlines()[:200]


def main() -> int:
    """Run by `make nightly`; exit status 1 at the first fault of any reader."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="for each reader")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    chosen = parser.parse_args()
    lines = (*LINES, *_more_lines(Path(__file__).parents[2] / "shared" / "data" / "logs"))
    sys.stdout.write(f"seed {chosen.seed}, {len(lines)} lines to start from\n")
    status = 0
    for name in targets():
        started = time.monotonic()
        try:
            grown = fuzz(name, chosen.inputs, chosen.seed, lines)
        except AssertionError as error:
            sys.stdout.write(f"FAILED {error}\n")
            status = 1
            continue
        rate = chosen.inputs / (time.monotonic() - started)
        verdict = "good" if grown < GROWTH_BYTES else "GROWS"
        status |= grown >= GROWTH_BYTES
        sys.stdout.write(f"{verdict} {name}: {chosen.inputs} inputs, {rate:.0f}/s, grew {grown / 1e6:.1f} MB\n")
        sys.stdout.flush()
    return status


if __name__ == "__main__":
    sys.exit(main())
