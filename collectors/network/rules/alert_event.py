"""A hit of a packet rule enters, the fields of its event leave: those that Suricata's alerts have (docs/network.md)."""

import re
from typing import Any

from collectors.network import events
from collectors.network.flows import Flow
from collectors.network.rules.matching import Hit

#: Bytes of what was looked at that the event shows, and how many of them stand before the first content.
SHOWN, BEFORE = 256, 32
#: Contents that the event names, and bytes of each.
MAX_PLACES, MAX_CONTENT = 20, 64
#: Passwords in clear text: HTTP's `Authorization` and form fields, `PASS` of FTP and POP3. They are never kept.
_SECRETS = re.compile(
    rb"((?:\bauthorization:[ \t]*\w+[ \t]+)|(?:^|[\r\n])pass[ \t]+|\b(?:password|passwd|passwort|pass|pwd|mat_?khau)=)"
    rb"([^\r\n&\s]+)",
    re.IGNORECASE,
)
_SERVICES = {"krb5": "kerberos", "dcerpc": "dce_rpc"}


def alert_fields(flow: Flow, hit: Hit) -> dict[str, Any]:
    """Return the event. `source` is who began the connection; `rule.direction` says whose packet it was."""
    rule = hit.rule
    first = min((place.offset for place in hit.places[:1]), default=0)
    begin = max(0, first - BEFORE)
    shown = masked(hit.looked_at)[begin : begin + SHOWN]
    fields = {
        **events.of_transaction(flow, "alert", hit.time, {}),
        "event.kind": "alert", "event.category": ["network", "intrusion_detection"], "event.type": ["info"],
        "event.action": "allowed", "event.severity": rule.priority,
        "rule.id": str(rule.sid), "rule.name": rule.message, "rule.version": str(rule.revision),
        "rule.ruleset": str(rule.gid),
        "packet_rule.direction": "to_server" if hit.to_server else "to_client",
        "packet_rule.matches": [
            {"buffer": place.buffer, "offset": place.offset, "content": printable(masked(place.content)[:MAX_CONTENT])}
            for place in hit.places[:MAX_PLACES]
        ],
    }  # fmt: skip
    if rule.category:
        fields["rule.category"] = rule.category
    if rule.references:
        fields["rule.reference"] = rule.references
    if severity := rule.metadata.get("signature_severity"):
        fields["packet_rule.severity"] = severity[0]
    if title := rule.metadata.get("title_vi"):
        fields["packet_rule.title_vi"] = title[0]
    if techniques := rule.metadata.get("mitre_technique_id"):
        fields["packet_rule.techniques"] = techniques
    if shown:
        fields |= {
            "packet_rule.payload.offset": begin, "packet_rule.payload.text": printable(shown),
            "packet_rule.payload.hex": shown.hex(),
        }  # fmt: skip
    if hit.app:
        fields["network.protocol"] = _SERVICES.get(hit.app, hit.app)
    return fields


def masked(data: bytes) -> bytes:
    """Return bytes with stars instead of passwords, as far as the form says that it is one."""
    return _SECRETS.sub(lambda found: found[1] + b"*" * len(found[2]), data)


def printable(data: bytes) -> str:
    """Return bytes as text; what is no printable ASCII is a dot."""
    return "".join(chr(sign) if 32 <= sign < 127 else "." for sign in data)
