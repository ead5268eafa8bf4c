"""Real logs of ordinary machines enter; how many alerts our rules raise on the lines that are no attack leaves.

`python -m tests.rules.benign [FOLDER]` prints it. How lines are labelled: the logs of two machines, both open to the
internet, hold attacks among ordinary work (somebody guesses SSH passwords). A line is an attack where it belongs to an
SSH connection (the same process id) whose address failed at least `GUESSES` times and never got in: a person who
mistypes gets in sooner or later, and a machine of the site does not try `root`, `test` and `mysql` in one minute.
All other lines count as benign, also those that could be called scans, such as 23 FTP connections of one stranger in
a second: where the log does not say what they wanted, an alert would be one too many.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from collectors.decoders import Hints, decode
from detectors.correlations import Correlations, Limits
from detectors.sigma import RuleSet
from pipeline.event import event_id, format_time
from tests.conftest import SHARED

RULES = Path(__file__).parents[2] / "rules"
RECEIVED = datetime(2026, 11, 24, tzinfo=UTC)
#: Log-ins that one address fails before it counts as guessing.
GUESSES = 3
#: What the settings of a source would say about each set; all others are text, found by content.
HINTS = {
    "Apache": Hints(dataset="apache.error"),
    "Linux": Hints(syslog=True),
    "OpenSSH": Hints(syslog=True),
}
_SSHD = re.compile(r" sshd(?:\(pam_unix\))?\[(\d+)\]: (.*)")
_ADDRESS = re.compile(r"(?: from |rhost=|\[|closed by )((?:\d{1,3}\.){3}\d{1,3}|[\w-]+(?:\.[\w-]+)+)")
_FAILED = re.compile(r"^(?:Failed |Invalid user |authentication failure|.*\(sshd:auth\): authentication failure)")
_REPEATED = re.compile(r"message repeated (\d{1,6}) times: \[ Failed ")


@dataclass(slots=True)
class Outcome:
    """Lines and alerts (by rule) of benign lines and of attacks."""

    benign: int = 0
    attacks: int = 0
    false: Counter[str] = field(default_factory=Counter)
    true: Counter[str] = field(default_factory=Counter)

    @property
    def per_10_000(self) -> float:
        """False alerts for each 10,000 benign lines."""
        return sum(self.false.values()) * 10_000 / self.benign


def measure(folder: Path) -> Outcome:
    """Run all rules of ours over all logs of a folder; the name of a log's folder says what it is.

    The alert of a correlation is one of an attack where the line that completed it is.
    """
    rules = RuleSet.load(RULES)
    names = {rule.id: Path(rule.path).stem for rule in rules.every}
    outcome = Outcome()
    for path in sorted(folder.rglob("*.log")):
        hints = HINTS.get(path.parent.name, Hints())
        correlations = Correlations(rules.correlations, Limits(), early=True)
        for number, (line, is_attack) in enumerate(labelled(path.read_text("utf-8", "replace").splitlines())):
            event = decode(line, hints, RECEIVED)
            event = {"@timestamp": format_time(RECEIVED), **event, "event.id": event_id("benign", str(path), number)}
            matching = rules.evaluate(event)
            fired = [names[rule.id] for rule in matching if rule not in rules.silent]
            alerts = correlations.feed(event, [rule.id for rule in matching])
            fired += [names[alert["rule.id"]] for alert in alerts]
            if is_attack:
                outcome.attacks += 1
                outcome.true.update(fired)
            else:
                outcome.benign += 1
                outcome.false.update(fired)
    return outcome


def labelled(lines: list[str]) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it is part of an attack."""
    failures: Counter[str] = Counter()
    entered: set[str] = set()
    address_of: dict[str, str] = {}
    for pid, text in filter(None, map(_sshd, lines)):
        found = _ADDRESS.search(text)
        if found is None:
            continue
        address_of.setdefault(pid, found[1])
        if text.startswith("Accepted "):
            entered.add(found[1])
        elif _FAILED.match(text):
            failures[found[1]] += 1
        elif repeated := _REPEATED.match(text):
            failures[found[1]] += int(repeated[1])
    guessing = {address for address, count in failures.items() if count >= GUESSES} - entered
    for line in lines:
        said = _sshd(line)
        yield line, said is not None and address_of.get(said[0]) in guessing


def _sshd(line: str) -> tuple[str, str] | None:
    found = _SSHD.search(line)
    return (found[1], found[2]) if found else None


def told(outcome: Outcome) -> str:
    """The outcome in words: the sum, then each rule that fired."""
    lines = [
        f"{outcome.benign} benign lines, {sum(outcome.false.values())} alerts: {outcome.per_10_000:.2f} on 10,000",
        *(f"  {count:5} {rule}" for rule, count in outcome.false.most_common()),
        f"{outcome.attacks} lines of attacks, {sum(outcome.true.values())} alerts",
        *(f"  {count:5} {rule}" for rule, count in outcome.true.most_common()),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(told(measure(Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED / "logs")) + "\n")
