"""Rule directories enter, the rules that an event matches leave.

Rules are kept by the origin of events (`logsource.py`), so an event meets only the rules of its log
source.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from detectors.sigma.compiler import Compiler, Filter
from detectors.sigma.correlation import Correlation, Draft, Linker, draft, silenced
from detectors.sigma.documents import Document, line_of, read_documents, rule_files
from detectors.sigma.errors import RuleRefused
from detectors.sigma.fields import BUILT_IN, FieldMap
from detectors.sigma.garbage import uncollected
from detectors.sigma.logsource import LogSources, Origin, origin
from detectors.sigma.nodes import necessary_texts
from detectors.sigma.rule import Refused, Rule
from detectors.sigma.view import Event, View
from pipeline.messages import Sentence

MAX_ORIGINS = 8_192  # origins whose rules are remembered; a foreign sender may invent any number


@dataclass(frozen=True, slots=True)
class Warned:
    """Something about a rule or filter that its author should know; it is used all the same."""

    path: str
    rule: str
    text: str


class RuleSet:
    """Rules that loaded, those that were refused, and warnings.

    `rules` have a detection, `correlations` refer to rules; what is in `silent` raises no alerts of its own.
    """

    __slots__ = ("_by_origin", "_event_codes", "correlations", "refused", "rules", "silent", "warnings")

    def __init__(
        self,
        rules: Iterable[Rule],
        refused: Iterable[Refused] = (),
        warnings: Iterable[Warned] = (),
        correlations: Iterable[Correlation] = (),
        silent: Iterable[Rule | Correlation] = (),
    ) -> None:
        self.rules = tuple(rules)
        self.correlations = tuple(correlations)
        self.silent = silenced(self.correlations).union(silent)
        self.refused = tuple(refused)
        self.warnings = tuple(warnings)
        self._by_origin: dict[Origin, tuple[Rule, ...]] = {}
        self._event_codes = [necessary_texts(rule.node, "event.code") for rule in self.rules]

    @classmethod
    def load(cls, *directories: Path, library: "Library | None" = None) -> "RuleSet":
        """All rules under the directories (or in the files), in the order of their paths.

        With a `library` files that did not change since the last time are not compiled again.

        Never raises for a broken rule, filter or table: it is listed in `refused`. Files
        `*.test.yml` are no rules. A `fields.toml` or `logsources.toml` directly in a directory
        extends the built-in tables.
        """
        with uncollected():
            return cls._load(directories, library if library is not None else Library())

    @classmethod
    def _load(cls, directories: Sequence[Path], shelf: "Library") -> "RuleSet":
        loading = _Loading()
        loading.tables(directories)
        with shelf.lock:
            shelf.start(loading.compiler)
            for directory in directories:
                if not directory.exists():
                    loading.refuse(str(directory), "", Sentence("sigma.no_folder"))
                for path in rule_files(directory):
                    for made in shelf.made(path):
                        loading.add(made)
            shelf.end()
            loading.compiler = shelf.compiler
        rules = loading.filtered_rules()
        correlations, silent = loading.linked(rules)
        return cls(rules, loading.refused, loading.warnings, correlations, silent)

    @property
    def every(self) -> list[Rule | Correlation]:
        """The rules with a detection and the correlations."""
        return [*self.rules, *self.correlations]

    def evaluate(self, event: Event) -> list[Rule]:
        """The rules that match the event, in the order of `rules`."""
        at = origin(event)
        rules = self._by_origin.get(at)
        if rules is None:
            rules = self._remember(at)
        if not rules:
            return []
        view = View(event)
        return [rule for rule in rules if rule.node.test(view)]

    def candidates(self, event: Event) -> tuple[Rule, ...]:
        """The rules that `evaluate` would test on the event."""
        at = origin(event)
        found = self._by_origin.get(at)
        return self._remember(at) if found is None else found

    def _remember(self, at: Origin) -> tuple[Rule, ...]:
        if len(self._by_origin) >= MAX_ORIGINS:
            self._by_origin.clear()
        self._by_origin[at] = found = tuple(
            rule
            for rule, codes in zip(self.rules, self._event_codes, strict=True)
            if rule.route.holds(at) and (codes is None or not at.code or at.code in codes)
        )
        return found


def compiler_of(directories: Iterable[Path]) -> Compiler:
    """What compiles rules with the built-in tables, extended by `fields.toml` and `logsources.toml` of the directories.

    Raises:
        ValueError, OSError: a table is broken, or cannot be read.
    """
    extensions = {
        name: [path for directory in directories if (path := directory / name).is_file()]
        for name in ("fields.toml", "logsources.toml")
    }
    tables = tuple(path.read_bytes() for paths in extensions.values() for path in (*paths, BUILT_IN))
    return Compiler(FieldMap.load(*extensions["fields.toml"]), LogSources.load(*extensions["logsources.toml"]), tables)


@dataclass(frozen=True, slots=True)
class Made:
    """What became of one document by itself: a rule, a filter, a correlation that is not linked yet, or a refusal."""

    path: str
    line: int = 0
    name: str = ""
    rule: Rule | None = None
    filter: Filter | None = None
    draft: Draft | None = None
    refused: Refused | None = None
    warnings: tuple[Warned, ...] = ()


class Library:
    """Compiled files, kept from one load to the next: what did not change is not compiled again.

    A file is the same when its place, size, time of change and inode are. What a load does not ask for is forgotten.
    """

    def __init__(self) -> None:
        self.compiler = Compiler(FieldMap([]), LogSources([]))
        self.lock = threading.Lock()  # one load at a time
        self._known: dict[Path, tuple[_Signature, tuple[Made, ...]]] = {}
        self._used: dict[Path, tuple[_Signature, tuple[Made, ...]]] = {}

    def start(self, compiler: Compiler) -> None:
        """Begin a load with this compiler; another one than that of the last load makes everything anew."""
        self._used = {}
        if compiler != self.compiler:
            self.compiler, self._known = compiler, {}

    def made(self, path: Path) -> tuple[Made, ...]:
        """The documents of a file, compiled now or before."""
        try:
            stat = path.stat()
            signature = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except OSError:
            signature = (0, 0, 0)
        known = self._known.get(path)
        if known is None or known[0] != signature:
            known = (signature, tuple(_made(document, self.compiler) for document in read_documents(path)))
        self._used[path] = known
        return known[1]

    def end(self) -> None:
        """The load is done."""
        self._known = self._used


_Signature: TypeAlias = tuple[int, int, int]


def _made(document: Document, compiler: Compiler) -> Made:
    content, path, line = document.content, document.path, document.line
    if document.error:
        return Made(path, refused=Refused(path, "", document.error))
    if not isinstance(content, dict):
        reason = Sentence("sigma.no_map_of_attributes", value=f"{content!r:.100}")
        return Made(path, refused=Refused(path, "", reason, line))
    name = str(content.get("title") or content.get("id") or "")
    rule = made_filter = made_draft = None
    try:
        if "filter" in content:
            made_filter, warnings = compiler.filter(content, path)
        elif "correlation" in content:
            made_draft, warnings = draft(content, path, line)
        else:
            rule, warnings = compiler.rule(content, path)
    except RuleRefused as refusal:
        return Made(path, refused=Refused(path, name, refusal.why, line_of(path, line, refusal.at)))
    told = tuple(Warned(path, name, text) for text in warnings)
    return Made(path, line, name, rule, made_filter, made_draft, warnings=told)


class _Loading:
    """What was read so far."""

    def __init__(self) -> None:
        self.rules: dict[str, Rule] = {}
        self.filters: list[Filter] = []
        self.drafts: dict[str, Draft] = {}
        self.refused: list[Refused] = []
        self.warnings: list[Warned] = []
        self.compiler = Compiler(FieldMap([]), LogSources([]))

    def refuse(self, path: str, rule: str, reason: str, line: int = 0) -> None:
        self.refused.append(Refused(path, rule, reason, line))

    def tables(self, directories: Iterable[Path]) -> None:
        try:
            self.compiler = compiler_of(directories)
        except (ValueError, OSError) as error:
            self.refuse(str(error).partition(":")[0], "", str(error))
            self.compiler = Compiler(FieldMap.load(), LogSources.load())

    def add(self, made: "Made") -> None:
        if made.refused is not None:
            self.refused.append(made.refused)
            return None
        try:
            if made.filter is not None:
                self.filters.append(made.filter)
            elif made.draft is not None:
                self._claim(str(made.draft.about["id"]))
                self.drafts[made.draft.about["id"]] = made.draft
            elif made.rule is not None:
                self._claim(made.rule.id)
                self.rules[made.rule.id] = made.rule
        except RuleRefused as refusal:
            return self.refuse(made.path, made.name, refusal.why, made.line)
        self.warnings += made.warnings
        return None

    def _claim(self, identifier: str) -> None:
        first = self.rules.get(identifier) or self.drafts.get(identifier)
        if first is not None:
            raise RuleRefused("identifier_taken", id=identifier, by=first.path)

    def filtered_rules(self) -> list[Rule]:
        idle = list(self.filters)
        rules: list[Rule] = []
        for rule in self.rules.values():
            fitting = [each for each in self.filters if each.fits(rule)]
            idle = [each for each in idle if each not in fitting]
            rules.append(self.compiler.filtered(rule, fitting))
        self.warnings += [Warned(f.path, f.title, Sentence("sigma.filter_fits_none")) for f in idle]
        return rules

    def linked(self, rules: list[Rule]) -> tuple[list[Correlation], set[Rule | Correlation]]:
        """The correlations, and the rules that stay silent though what refers to them is refused."""
        linker = Linker(self.drafts.values(), rules, self.compiler)
        correlations: list[Correlation] = []
        meant: set[str] = set()
        for identifier, made in self.drafts.items():
            title = str(made.about["title"])
            try:
                found = linker.link(identifier)
            except RuleRefused as refusal:
                self.refuse(made.path, title, refusal.why, made.line)
                meant |= _parts_beside(linker, made, self.rules)
                continue
            correlations.append(found)
            self.warnings += [Warned(made.path, title, text) for text in found.warnings]
        return correlations, {rule for rule in rules if rule.id in meant}


def _parts_beside(linker: Linker, made: Draft, rules: dict[str, Rule]) -> set[str]:
    """The rules in the file of a refused correlation that are its parts: alone they would alert on everything."""
    found: set[str] = set()
    for reference in made.rules if not made.generate else ():
        try:
            identifier = linker.identifier(made, reference)
        except RuleRefused:
            continue
        if identifier in rules and rules[identifier].path == made.path:
            found.add(identifier)
    return found
