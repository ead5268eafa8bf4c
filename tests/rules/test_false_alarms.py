"""All rules of ours together on logs of ordinary machines: at most one alert in 10,000 benign lines."""

from pathlib import Path

from tests.rules.benign import labelled, measure, told

MOST_PER_10_000 = 1.0


def test_benign_lines_raise_hardly_an_alert(shared_data: Path) -> None:
    outcome = measure(shared_data / "logs")
    print(told(outcome))
    assert outcome.benign > 10_000
    assert outcome.per_10_000 <= MOST_PER_10_000, told(outcome)
    assert sum(outcome.true.values()) > 0, "the attacks among them are seen"


def test_who_mistypes_is_no_attacker_and_who_guesses_is() -> None:
    lines = [
        "Dec 10 06:55:46 srv sshd[1]: Failed password for lan from 10.0.0.9 port 1 ssh2",
        "Dec 10 06:55:46 srv sshd[1]: Failed password for lan from 10.0.0.9 port 1 ssh2",
        "Dec 10 06:55:46 srv sshd[1]: Failed password for lan from 10.0.0.9 port 1 ssh2",
        "Dec 10 06:55:47 srv sshd[1]: Accepted password for lan from 10.0.0.9 port 1 ssh2",
        "Dec 10 06:55:48 srv sshd[2]: Failed password for root from 203.0.113.9 port 1 ssh2",
        "Dec 10 06:55:48 srv sshd[2]: Failed password for test from 203.0.113.9 port 1 ssh2",
        "Dec 10 06:55:48 srv sshd[2]: Failed password for mysql from 203.0.113.9 port 1 ssh2",
        "Dec 10 06:55:49 srv sshd[2]: Disconnecting: Too many authentication failures for mysql [preauth]",
        "Dec 10 06:55:50 srv sshd[3]: Failed password for lan from 198.51.100.7 port 1 ssh2",
        "Dec 10 06:55:51 srv ftpd[2]: connection from 203.0.113.9 () at Sun Dec 10 06:55:51 2026",
    ]
    assert [is_attack for _, is_attack in labelled(lines)] == [False] * 4 + [True] * 4 + [False] * 2
