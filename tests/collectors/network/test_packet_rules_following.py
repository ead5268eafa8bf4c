"""Files of packet rules are loaded anew when they change; the network source says what is loaded and what is refused."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from collectors.network.rules.following import Following
from collectors.network.rules.ruleset import RuleSet
from tests.conftest import eventually

GOOD = 'alert tcp any any -> any any (msg:"a"; content:"a"; sid:1;)\n'
BAD = "alert tcp any any -> any any (lua:a; sid:2;)\n"


class Taking:
    """Takes rules, and keeps what was said of them."""

    def __init__(self, following: Following, told: list[dict[str, Any]]) -> None:
        self._following, self._told = following, told

    def taken(self) -> RuleSet | None:
        fresh = self._following.taken()
        if fresh is None:
            return None
        self._told.append(fresh[1])
        return fresh[0]


@contextmanager
def following(*patterns: Path) -> Iterator[tuple[Taking, list[dict[str, Any]]]]:
    told: list[dict[str, Any]] = []
    made = Following(patterns, {}, look_seconds=0.05)
    made.look()
    made.start()
    yield Taking(made, told), told
    made.stopping.set()
    made.join(5)


def test_a_changed_file_is_loaded_whole_and_a_new_one_is_found(tmp_path: Path) -> None:
    first, second = tmp_path / "a.rules", tmp_path / "b.rules"
    first.write_text(GOOD)
    with following(tmp_path) as (made, told):
        rules = made.taken()
        assert rules is not None
        assert [rule.sid for rule in rules.rules] == [1]
        assert made.taken() is None
        second.write_text(BAD + GOOD.replace("sid:1", "sid:3"))
        held: list[RuleSet] = []

        def fresh() -> bool:
            if (found := made.taken()) is not None:
                held.append(found)
            return bool(held)

        eventually(fresh)
        assert sorted(rule.sid for rule in held[-1].rules) == [1, 3]
        assert (told[-1]["loaded"], told[-1]["refused"]) == (2, 1)
        assert "b.rules:1: sid 2:" in told[-1]["first"][0]
        held.clear()
        first.unlink()
        eventually(fresh)
        assert [rule.sid for rule in held[-1].rules] == [3]


def test_a_file_that_is_not_there_is_said_and_found_when_it_comes(tmp_path: Path) -> None:
    later = tmp_path / "later.rules"
    with following(later) as (made, told):
        rules = made.taken()
        assert rules is not None
        assert rules.rules == []
        assert (told[-1]["loaded"], told[-1]["refused"]) == (0, 1)
        later.write_text(GOOD)
        os.utime(later, (time.time(), time.time()))
        eventually(lambda: made.taken() is not None and told[-1]["loaded"] == 1)


@pytest.mark.parametrize("pattern", ["*.rules", "[ab].rules"])
def test_patterns(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "a.rules").write_text(GOOD)
    (tmp_path / "c.txt").write_text(BAD)
    with following(tmp_path / pattern) as (made, told):
        rules = made.taken()
        assert rules is not None
        assert [rule.sid for rule in rules.rules] == [1]
        assert told[-1]["refused"] == 0
