"""Files of packet rules are loaded anew when they change; the network source says what is loaded and what is refused."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from collectors.network.rules.following import Following, summary
from collectors.network.rules.ruleset import RuleSet
from tests.conftest import eventually

GOOD = 'alert tcp any any -> any any (msg:"a"; content:"a"; sid:1;)\n'
BAD = "alert tcp any any -> any any (lua:a; sid:2;)\n"


@contextmanager
def following(*patterns: Path) -> Iterator[Following]:
    made = Following(patterns, {}, look_seconds=0.05)
    made.look()
    made.start()
    yield made
    made.stopping.set()
    made.join(60)


def test_a_changed_file_is_loaded_whole_and_a_new_one_is_found(tmp_path: Path) -> None:
    first, second = tmp_path / "a.rules", tmp_path / "b.rules"
    first.write_text(GOOD)
    with following(tmp_path) as made:
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
        said = summary(held[-1].loading)
        assert (said["loaded"], said["refused"], said["reasons"]) == (2, 1, {"no_such_keyword lua": 1})
        assert "b.rules:1: sid 2:" in said["first"][0]
        held.clear()
        first.unlink()
        eventually(fresh)
        assert [rule.sid for rule in held[-1].rules] == [3]


def test_a_file_that_is_not_there_is_said_and_found_when_it_comes(tmp_path: Path) -> None:
    later = tmp_path / "later.rules"
    with following(later) as made:
        rules = made.taken()
        assert rules is not None
        assert rules.rules == []
        assert summary(rules.loading)["refused"] == 1
        later.write_text(GOOD)
        os.utime(later, (time.time(), time.time()))
        eventually(lambda: (fresh := made.taken()) is not None and len(fresh.rules) == 1)


@pytest.mark.parametrize("pattern", ["*.rules", "[ab].rules"])
def test_patterns(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "a.rules").write_text(GOOD)
    (tmp_path / "c.txt").write_text(BAD)
    with following(tmp_path / pattern) as made:
        rules = made.taken()
        assert rules is not None
        assert [rule.sid for rule in rules.rules] == [1]
        assert rules.loading.refused == []
