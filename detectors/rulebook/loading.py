"""A book becomes a rule set: its packs are written out beside the data, loaded with the site's folders, and sorted by
what their rules may do.

The folders of packs are named by their content, so they are written once and never changed.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import Engine

from detectors.rulebook import revisions
from detectors.rulebook.book import ALERT, OBSERVE, OFF, SHIPPED, Book, ModeName, Pack, RuleException
from detectors.rulebook.revisions import Revision
from detectors.sigma import Correlation, Rule, RuleSet
from detectors.sigma.ruleset import Library
from pipeline.settings import Settings
from pipeline.shipped import shipped_rules

#: Where packs are written out, in the data directory.
_FOLDER = "rulebook"
#: How long what is not in use any more is kept: others may just be looking at it.
_KEPT_SECONDS = 86_400.0
#: The canaries' own rule; it works the same as any other.
CANARY_RULE = Path(__file__).parent.parent / "canary.yml"


def rule_folders(settings: Settings, book: Book | None = None) -> list[Path]:
    """Return the folders of the site's rules; the shipped ones unless the settings or a pack take their place."""
    if settings.detectors.rules:
        return settings.detectors.rules
    return [] if book is not None and SHIPPED in book.packs else [shipped_rules()]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A revision ready for use.

    `rules` has no rule that is off, but for those that a correlation needs: they are in `rules.silent`. `modes` are
    those of all rules, off ones too; `of_pack` says from which pack (or folder) each comes.
    """

    revision: Revision
    rules: RuleSet
    modes: Mapping[str, ModeName]
    of_pack: Mapping[str, str]
    off: tuple[Rule | Correlation, ...] = ()
    observed: frozenset[str] = field(default_factory=frozenset)
    next_expiry: float | None = None
    folders: tuple[Path, ...] = ()
    exceptions: tuple[RuleException, ...] = ()

    def without_paths(self, text: str) -> str:
        """Return a text in which no folder of this machine is named: packs and folders of rules by their names."""
        packs = {written_to(Path(), pack).name: name for name, pack in self.revision.book.packs.items()}
        for folder in self.folders:
            text = text.replace(f"{folder}{os.sep}", f"{packs.get(folder.name, folder.name)}:")
        return text

    @property
    def every(self) -> list[Rule | Correlation]:
        """All rules that loaded, also those that are off; without the canaries' own."""
        used = [rule for rule in self.rules.every if rule.path != str(CANARY_RULE)]
        there = set(used)
        return [*used, *(rule for rule in self.off if rule not in there)]

    def counts(self) -> dict[str, int]:
        """Return how many rules are in each mode."""
        names = [self.modes.get(rule.id, ALERT) for rule in self.every]
        return {mode: names.count(mode) for mode in (ALERT, OBSERVE, OFF)}


def load(
    engine: Engine, settings: Settings, revision: Revision | None = None, library: Library | None = None
) -> Loaded:
    """Load a revision, or the one that is in force.

    Raises:
        HaidangError: the files of a pack are missing or damaged.
        OSError: they cannot be written out.
    """
    found = revision if revision is not None else revisions.current(engine)
    contents = {pack.digest: revisions.contents(engine, pack.digest) for pack in found.book.packs.values()}
    return load_book(found, rule_folders(settings, found.book), contents, place_of(settings), library)


def load_book(
    revision: Revision,
    folders: Iterable[Path],
    contents: Mapping[str, Mapping[str, str]],
    place: Path,
    library: Library | None = None,
) -> Loaded:
    """Load a book whose packs have these files (by digest), with the rules in these folders; `place` is written to.

    With a `library` only what it does not have yet is compiled.
    """
    now, book = time.time(), revision.book
    packs = {name: _written(written_to(place, pack), contents[pack.digest]) for name, pack in book.packs.items()}
    in_force = book.in_force(now)
    exceptions = [_written_exceptions(place, in_force)] if in_force else []
    origins = {**{str(folder): str(folder) for folder in folders}, **{str(path): name for name, path in packs.items()}}
    rules = RuleSet.load(*(Path(origin) for origin in origins), *exceptions, CANARY_RULE, library=library)
    rules.refused = tuple(
        replace(each, path=_shown(each.path, packs), reason=_shown(each.reason, packs)) for each in rules.refused
    )
    rules.warnings = tuple(replace(each, path=_shown(each.path, packs)) for each in rules.warnings)
    of_pack = {rule.id: _origin(rule, origins) for rule in rules.every}
    modes = {identifier: _mode(book, identifier, pack) for identifier, pack in of_pack.items()}
    used, off = _without(rules, {identifier for identifier, mode in modes.items() if mode == OFF})
    observed = frozenset(identifier for identifier, mode in modes.items() if mode == OBSERVE)
    return Loaded(
        revision, used, modes, of_pack, off, observed, book.next_expiry(now), tuple(map(Path, origins)), tuple(in_force)
    )


def written_to(place: Path, pack: Pack) -> Path:
    """Return where the files of a pack are written out."""
    return place / pack.digest[:20]


def place_of(settings: Settings) -> Path:
    """Return where the packs of a site are written out."""
    return settings.data_dir / _FOLDER


def drop(place: Path, digests: Iterable[str], kept: Iterable[str]) -> None:
    """Remove what was written out of packs that came to nothing, but for what is to be kept (`folders_in`)."""
    for name in {digest[:20] for digest in digests}.difference(kept):
        shutil.rmtree(place / name, ignore_errors=True)


def folders_in(place: Path) -> set[str]:
    """Return the names of the folders that are written out."""
    return {path.name for path in place.iterdir()} if place.is_dir() else set()


def tidy(place: Path, book: Book) -> None:
    """Remove what was written out some time ago and is not of this book. What is missed is written out again."""
    named = {pack.digest[:20] for pack in book.packs.values()} | {_digest(book.in_force(time.time()))}
    for path in place.iterdir() if place.is_dir() else ():
        if path.name not in named and time.time() - path.stat().st_mtime > _KEPT_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


def _mode(book: Book, identifier: str, pack: str) -> ModeName:
    if identifier in book.modes:
        return book.modes[identifier].mode
    return book.packs[pack].mode if pack in book.packs else ALERT


def _origin(rule: Rule | Correlation, origins: Mapping[str, str]) -> str:
    within = (name for path, name in origins.items() if rule.path == path or rule.path.startswith(f"{path}{os.sep}"))
    return next(within, "")


def _shown(text: str, packs: Mapping[str, Path]) -> str:
    """Return a path, or a text with paths, as people know those of packs: the pack's name, and where in it."""
    for name, folder in packs.items():
        text = text.replace(f"{folder}{os.sep}", f"{name}:")
    return text


def _without(rules: RuleSet, identifiers: set[str]) -> tuple[RuleSet, tuple[Rule | Correlation, ...]]:
    """Return the rule set without these rules; those that a correlation in use needs stay, and are silent."""
    off = tuple(rule for rule in rules.every if rule.id in identifiers)
    if not off:
        return rules, ()
    needed: set[str] = set()
    for correlation in (each for each in rules.correlations if each.id not in identifiers):
        needed |= {rule.id for rule in _parts(correlation)}
    kept = RuleSet(
        [rule for rule in rules.rules if rule.id not in identifiers or rule.id in needed],
        rules.refused,
        rules.warnings,
        [rule for rule in rules.correlations if rule.id not in identifiers or rule.id in needed],
        {*rules.silent, *(rule for rule in off if rule.id in needed)},
    )
    return kept, off


def _parts(correlation: Correlation) -> Iterable[Rule | Correlation]:
    for part in correlation.parts:
        yield part.rule
        if isinstance(part.rule, Correlation):
            yield from _parts(part.rule)


def _written_exceptions(place: Path, exceptions: list[RuleException]) -> Path:
    return _written(place / _digest(exceptions), {f"{each.id}.yml": each.text for each in exceptions})


def _digest(exceptions: list[RuleException]) -> str:
    return "exceptions-" + hashlib.sha256("\0".join(f"{e.id}{e.text}" for e in exceptions).encode()).hexdigest()[:20]


def _written(folder: Path, files: Mapping[str, str]) -> Path:
    """Write files into a folder, whole or not at all; what is there already is right."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        for name, text in files.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        fresh.rename(folder)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        if not folder.is_dir():  # else another process was faster, with the same files
            raise
    return folder
