"""A site with the feeds of sensors: a folder of Zeek's, a socket of Suricata's, a router's NetFlow; all are searchable."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.collectors.netflow.crafted import USUAL, part, template, v5, v9, values
from tests.e2e.conftest import Site

pytestmark = pytest.mark.slow

_SOURCES = """
[[sources]]
name = "zeek"
kind = "files"
paths = ["{folder}/zeek/*.log"]
[[sources]]
name = "suricata"
kind = "unix"
path = "{folder}/eve.sock"
[[sources]]
name = "router"
kind = "netflow"
host = "127.0.0.1"
port = 0
pair_seconds = 1
"""
_CONN = (
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
    "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tconn_state\n"
    "#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\n"
    "1795500000.5\tC1\t10.0.0.5\t40001\t203.0.113.9\t443\ttcp\tSF\n"
)
_DNS = (
    '{"ts":1795500000.5,"uid":"C2","id.orig_h":"10.0.0.5","id.orig_p":40002,"id.resp_h":"10.0.0.1","id.resp_p":53,"proto":"udp",'
    '"trans_id":7,"query":"xin-chao.example","qtype_name":"A"}\n'
)
_EVE = (
    '{"timestamp":"2026-11-24T05:20:00.5+0000","flow_id":77,"event_type":"flow","src_ip":"10.0.0.5","src_port":40003,'
    '"dest_ip":"203.0.113.9","dest_port":443,"proto":"TCP","flow":{"pkts_toserver":1,"pkts_toclient":0,'
    '"start":"2026-11-24T05:19:00+0000","end":"2026-11-24T05:20:00+0000"},"tcp":{"tcp_flags_ts":"02","tcp_flags_tc":"00"}}\n'
)


def test_the_feeds_of_sensors_become_searchable_and_say_the_same(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    (tmp_path / "zeek").mkdir()
    (tmp_path / "zeek" / "conn.log").write_text(_CONN)
    (tmp_path / "zeek" / "dns.log").write_text(_DNS)
    site = make_site(sources=_SOURCES.format(folder=tmp_path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as suricata:
        suricata.connect(str(tmp_path / "eve.sock"))
        suricata.sendall(_EVE.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as router:
        router.connect(("127.0.0.1", site.port("netflow")))
        back = {"src": "203.0.113.9", "dst": "10.0.0.5", "sport": 443, "dport": 40_004}
        router.send(v5({"sport": 40_004}, back))
        router.send(v9(part(256, values(sport=40_005))))  # before its template
        router.send(v9(part(0, template(256, *USUAL)), sequence=1))
        router.send(b"rubbish")
    site.await_count('event.action:network_flow AND source.ip:"10.0.0.5" AND destination.ip:"203.0.113.9"', 4)
    flows = {event["source.port"]: event for event in site.search("event.action:network_flow")}
    assert {port: flow["event.dataset"] for port, flow in flows.items()} == {
        40_001: "zeek.conn", 40_003: "suricata.flow", 40_004: "netflow", 40_005: "netflow",
    }  # fmt: skip
    assert {port: flow.get("event.outcome") for port, flow in flows.items()} == {
        40_001: "success", 40_003: "failure", 40_004: "success", 40_005: "success",
    }  # fmt: skip
    assert all(flow["network.community_id"].startswith("1:") for flow in flows.values())
    site.await_count("dns.question.name:xin-chao.example", 1)
    ledger = site.sources()
    assert ledger["zeek"]["stored"] == 2
    assert ledger["router"]["stored"] == 2
    assert ledger["router"]["dropped"] == 1
    assert "netflow_malformed" in str(ledger["router"])


def test_an_import_and_detect_read_zeek_s_files(make_site: Callable[..., Site], tmp_path: Path) -> None:
    file = tmp_path / "conn.log"
    file.write_text(_CONN)
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "rule.yml").write_text(
        "title: To a place\nid: 8a2b1f7e-3f6c-4d7c-9b0a-0d7d3f9a1c11\nstatus: test\nlogsource:\n  product: zeek\n  service: conn\n"
        "detection:\n  selection:\n    id.resp_h: 203.0.113.9\n    conn_state: SF\n  condition: selection\nlevel: low\n"
    )
    site = Site(tmp_path / "alone")
    found = site.run("detect", str(file), "--rules", str(rules)).stdout
    assert '"To a place"' in found
    site.run("import", str(file))
    assert site.count("event.dataset:zeek.conn") == 1
