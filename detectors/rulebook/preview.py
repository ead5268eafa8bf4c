"""Two rulebooks that were loaded enter; what the second changes of the first leaves, and why it should not be made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detectors.rulebook.book import ModeName, Pack, RuleException
from detectors.rulebook.loading import Loaded
from detectors.sigma import Correlation, Rule
from pipeline.messages import Sentence, said

AnyRule = Rule | Correlation


@dataclass(frozen=True, slots=True)
class PackChange:
    """A pack in two books: what it is in each; empty where it is not there."""

    pack: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ModeChange:
    """A rule of both books whose mode differs."""

    rule: AnyRule
    before: ModeName
    after: ModeName


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change would do. `stops` is why it is not made, unless somebody insists; empty when it may be."""

    before: Loaded
    after: Loaded
    packs: list[PackChange] = field(default_factory=list)
    added: list[AnyRule] = field(default_factory=list)
    changed: list[AnyRule] = field(default_factory=list)
    removed: list[AnyRule] = field(default_factory=list)
    modes: list[ModeChange] = field(default_factory=list)
    excepted: list[RuleException] = field(default_factory=list)  # exceptions that come
    unexcepted: list[RuleException] = field(default_factory=list)  # and that go
    trusted: list[str] = field(default_factory=list)  # names of keys
    distrusted: list[str] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)  # newly: place, rule, reason
    left_out: list[tuple[str, str]] = field(default_factory=list)
    tests: int = 0
    stops: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return it as it is printed."""
        return {
            "packs": [{"pack": each.pack, "before": each.before, "after": each.after} for each in self.packs],
            **{name: list(map(_named, getattr(self, name))) for name in ("added", "changed", "removed")},
            "modes": [{**_named(each.rule), "before": each.before, "after": each.after} for each in self.modes],
            **{name: list(map(self._excepted, getattr(self, name))) for name in ("excepted", "unexcepted")},
            **{name: [{"key": key} for key in getattr(self, name)] for name in ("trusted", "distrusted")},
            "refused": [{"path": path, "rule": rule, "reason": said(reason)} for path, rule, reason in self.refused],
            "left_out": [{"path": path, "reason": said(reason)} for path, reason in self.left_out],
            "tests": self.tests,
            "stops": list(map(said, self.stops)),
        }

    def noted(self) -> dict[str, Any]:
        """Return what history and audit keep of it: how many rules, and which packs, exceptions and keys, if any."""
        named: dict[str, list[str]] = {
            "packs": [f"{each.pack}: {each.before or '-'} → {each.after or '-'}" for each in self.packs],
            **{name: [each.id for each in getattr(self, name)] for name in ("excepted", "unexcepted")},
            "trusted": self.trusted,
            "distrusted": self.distrusted,
        }
        counts = {name: len(getattr(self, name)) for name in ("added", "changed", "removed", "refused")}
        modes = {"modes": len(self.modes)} if self.modes else {}
        return {**counts, **modes, **{name: each for name, each in named.items() if each}}

    def rules_of(self, exception: RuleException) -> str:
        """Return the titles of an exception's rules."""
        titles = {rule.id: rule.title for loaded in (self.before, self.after) for rule in loaded.every}
        return ", ".join(titles.get(each, each) for each in exception.rules)

    def _excepted(self, exception: RuleException) -> dict[str, str]:
        return {"id": exception.id, "rules": self.rules_of(exception), "reason": exception.reason}


def compared(
    before: Loaded, after: Loaded, left_out: Sequence[tuple[str, str]], stops: Sequence[str], tests: int
) -> Preview:
    """Compare two books. What was left out of the new one, what stops it so far, and how many vectors were tried come
    in as they are."""
    old, new = ({rule.id: rule for rule in loaded.every} for loaded in (before, after))
    known = {(each.path, each.reason) for each in before.rules.refused}
    refused = [
        (each.place, each.rule, each.reason) for each in after.rules.refused if (each.path, each.reason) not in known
    ]
    removed = [rule for key, rule in old.items() if key not in new]
    lost = {title for _, title, _ in refused} & {rule.title for rule in removed}
    stops = [*stops, *(Sentence("rulebook.would_be_refused", rule=repr(title)) for title in sorted(lost))]
    if old and not new:
        stops.append(Sentence("rulebook.none_left"))
    keys, new_keys = before.revision.book.keys, after.revision.book.keys
    return Preview(
        before,
        after,
        packs=_packs(before.revision.book.packs, after.revision.book.packs),
        added=[rule for key, rule in new.items() if key not in old],
        changed=[rule for key, rule in new.items() if key in old and _differs(rule, old[key])],
        removed=removed,
        modes=[
            ModeChange(rule, before.modes[key], after.modes[key])
            for key, rule in new.items()
            if key in old and before.modes[key] != after.modes[key]
        ],
        excepted=[each for each in after.exceptions if each not in before.exceptions],
        unexcepted=[each for each in before.exceptions if each not in after.exceptions],
        trusted=[name for name, key in new_keys.items() if keys.get(name) != key],
        distrusted=[name for name, key in keys.items() if new_keys.get(name) != key],
        refused=refused,
        left_out=[*left_out],
        tests=tests,
        stops=stops,
    )


def _packs(old: Mapping[str, Pack], new: Mapping[str, Pack]) -> list[PackChange]:
    found = [PackChange(name, _state(old.get(name)), _state(new.get(name))) for name in sorted({*old, *new})]
    return [each for each in found if each.before != each.after]


def _state(pack: Pack | None) -> str:
    """Return the version of a pack, with what tells apart two that say the same."""
    if pack is None:
        return ""
    return f"{pack.version} ({pack.digest[:8]})" if pack.version else pack.digest[:8]


def _named(rule: AnyRule) -> dict[str, str]:
    return {"id": rule.id, "title": rule.title, "level": rule.level}


def _differs(one: AnyRule, other: AnyRule) -> bool:
    return one.path != other.path and Path(one.path).read_bytes() != Path(other.path).read_bytes()
