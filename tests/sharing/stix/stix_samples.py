"""Alerts as the detectors raise them, an indicator and a case, as flat dicts."""

from typing import Any

from sharing.stix import Site

SITE = Site("vn.79.27", "UBND phường Bến Thành", "it@benthanh.example")
EVIL = "a" * 64

CONTACT: dict[str, Any] = {
    "@timestamp": "2026-11-30T01:02:03.123456Z", "event.id": "ab" * 12, "event.kind": "alert", "alert.count": 3,
    "rule.id": "indicator.c2", "rule.name": "Liên lạc với máy chủ điều khiển", "rule.level": "high",
    "tags": ["attack.command-and-control", "attack.t1071"], "threat.indicator.name": "45.9.148.3",
    "threat.indicator.type": "ipv4-addr", "threat.indicator.ip": "45.9.148.3", "threat.indicator.confidence": "High",
    "threat.software.name": "Emotet", "source.ip": "10.1.2.3", "source.port": 50_123, "destination.ip": "45.9.148.3",
    "destination.port": 443, "network.transport": "tcp", "network.protocol": "tls", "host.name": "pc-ke-toan-7",
    "user.name": "nguyenvana", "user.domain": "BENTHANH", "process.executable": "C:\\Users\\nguyenvana\\x.exe",
    "process.hash.sha256": EVIL, "process.command_line": "x.exe -k mậtkhẩu123", "process.pid": 4711,
    "dns.question.name": "C2.Evil.Example.", "url.full": "http://45.9.148.3/a?b=1",
    "file.path": "/home/nguyenvana/mã độc.bin", "file.size": 10, "file.hash.md5": "b" * 32,
    "organization.id": "vn.79.27", "alert.evidence": [{"message": "bí mật"}], "alert.note": "ghi chú nội bộ",
}  # fmt: skip
RULE: dict[str, Any] = {name: value for name, value in CONTACT.items() if not name.startswith("threat.")} | {
    "event.id": "cd" * 12,
    "rule.id": "haidang-1",
    "tags": ["attack.t1059.001", "attack.execution", "attack.T1027", 5],
}
INDICATOR: dict[str, Any] = {
    "kind": "domain", "value": "evil.example", "feed": "live", "threat": "c2", "confidence": 80,
    "expires": 1_830_000_000.0, "family": "Emotet", "reference": "https://cert.example/1", "tlp": "",
    "added": 1_790_000_000.5, "reason": "lý do nội bộ", "who": "nguyenvana", "address": "10.1.2.9",
}  # fmt: skip
CASE: dict[str, Any] = {
    "id": 12, "title": "Mã độc ở phòng kế toán", "summary": "Đã xử lý.", "level": "critical", "status": "closed",
    "created": 1_796_000_000.25, "changed": 1_796_003_600.0, "tlp": "green", "verdict": "true_positive",
    "owner": "nguyenvana", "observables": [
        {"kind": "address", "value": "45.9.148.3", "tlp": "amber"}, {"kind": "hash", "value": EVIL, "tlp": "amber"},
        {"kind": "host", "value": "pc-ke-toan-7", "tlp": "amber"}, {"kind": "url", "value": "http://evil.example/x", "tlp": "green"},
        {"kind": "domain", "value": "secret.example", "tlp": "red"}, {"kind": "user", "value": "nguyenvana", "tlp": "amber"},
    ],
}  # fmt: skip
