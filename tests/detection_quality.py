"""What rules and behaviours say of recorded traffic: folders of captures and Zeek logs enter, two tables leave.

`python -m tests.detection_quality` prints what docs/detection-quality.md has: of each recording of an attack what is
found, and of the many of everyday protocols what is found wrongly.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from collectors.envelope import Origin
from collectors.network.rules.ruleset import RuleSet as PacketRules
from collectors.network.rules.ruleset import load
from detectors.sigma import RuleSet
from pipeline.shipped import shipped_rules
from workbench.stream import Detection, File

SHARED = Path(__file__).parents[2] / "shared" / "data"
#: Recordings of attacks: captures of one each, folders of Zeek logs of one each.
ATTACKS = ("pcap/attack", "pcap/c2", "pcap/dns-tunnels", "pcap/slips")
ZEEK = ("zeek/port-scans/vertical", "zeek/malicious15", "zeek/mixed")
#: Everyday protocols, with a few attacks among them.
EVERYDAY = "pcap/ndpi"
ATTACKS_AMONG = frozenset(
    ("bad-dns-traffic.pcap", "dns-exf.pcap", "tor.pcap", "WebattackSQLinj.pcap", "emotet.pcap", "tcp_scan.pcapng")
)
_QUIET = frozenset(("low", "informational"))


@dataclass(frozen=True, slots=True)
class Said:
    """What was found in a recording: levels and titles."""

    name: str
    events: int
    found: tuple[tuple[str, str], ...]

    @property
    def loud(self) -> tuple[tuple[str, str], ...]:
        """What is above low."""
        return tuple(each for each in self.found if each[0] not in _QUIET)


def said_of(name: str, paths: Sequence[Path], rules: RuleSet) -> Said:
    """Return what is found in the files of a recording."""
    packet_rules = PacketRules(load([shipped_rules() / "packets"]))
    detection = Detection(rules, Origin("detect", "", ""), lambda _: None, True, packet_rules)
    found = {(each.rule.level, each.rule.title) for each in detection.findings(File(str(path), path) for path in paths)}
    return Said(name, detection.events, tuple(sorted(found)))


def attacks(shared: Path, rules: RuleSet) -> Iterator[Said]:
    """What is found in each recording of an attack."""
    for folder in ATTACKS:
        for path in sorted((shared / folder).rglob("*.pcap*")):
            yield said_of(path.name, [path], rules)
    for folder in ZEEK:
        yield said_of(folder, sorted((shared / folder).glob("*.log")), rules)


def everyday(shared: Path, rules: RuleSet) -> Iterator[Said]:
    """What is found in each recording of an everyday protocol."""
    for path in sorted((shared / EVERYDAY).glob("*.pcap*")):
        yield said_of(path.name, [path], rules)


def _row(said: Said) -> str:
    found = "; ".join(f"{title} ({level})" for level, title in said.found) or "-"
    return f"| `{said.name}` | {said.events:,} | {found} |"


def main() -> int:
    """Print both tables."""
    rules = RuleSet.load(shipped_rules())
    out = ["| recording of an attack | events | found |", "|---|---|---|", *map(_row, attacks(SHARED, rules)), ""]
    among = list(everyday(SHARED, rules))
    benign = [each for each in among if each.name not in ATTACKS_AMONG]
    loud = sum(bool(each.loud) for each in benign)
    out += [
        "| everyday recording | events | found |",
        "|---|---|---|",
        *(_row(each) for each in among if each.found),
        "",
    ]
    told = ", ".join(f"`{each.name}`" for each in among if each.name in ATTACKS_AMONG)
    out += [
        f"Without those that show an attack, or what nobody should do ({told}): above low in {loud} of {len(benign)}."
    ]
    sys.stdout.write("\n".join(out) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
