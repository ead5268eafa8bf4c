"""Rule directories enter, the rules that an event matches leave.

Rules are kept by the origin of events (`logsource.py`), so an event meets only the rules of its log
source.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from detectors.sigma.compiler import Compiler, Filter
from detectors.sigma.correlation import Correlation, Draft, Linker, draft, silenced
from detectors.sigma.documents import Document, read_documents, rule_files
from detectors.sigma.errors import RuleRefused
from detectors.sigma.fields import FieldMap
from detectors.sigma.garbage import uncollected
from detectors.sigma.logsource import LogSources, Origin, origin
from detectors.sigma.nodes import necessary_texts
from detectors.sigma.rule import Refused, Rule
from detectors.sigma.view import Event, View

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
    def load(cls, *directories: Path) -> "RuleSet":
        """All rules under the directories (or in the files), in the order of their paths.

        Never raises for a broken rule, filter or table: it is listed in `refused`. Files
        `*.test.yml` are no rules. A `fields.toml` or `logsources.toml` directly in a directory
        extends the built-in tables.
        """
        with uncollected():
            return cls._load(directories)

    @classmethod
    def _load(cls, directories: Sequence[Path]) -> "RuleSet":
        loading = _Loading()
        loading.tables(directories)
        for directory in directories:
            if not directory.exists():
                loading.refuse(str(directory), "", "the rule directory does not exist")
            for path in rule_files(directory):
                for document in read_documents(path):
                    loading.add(document)
        rules = loading.filtered_rules()
        correlations, silent = loading.linked(rules)
        return cls(rules, loading.refused, loading.warnings, correlations, silent)

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
        extensions = {
            name: [path for directory in directories if (path := directory / name).is_file()]
            for name in ("fields.toml", "logsources.toml")
        }
        try:
            self.compiler = Compiler(
                FieldMap.load(*extensions["fields.toml"]),
                LogSources.load(*extensions["logsources.toml"]),
            )
        except (ValueError, OSError) as error:
            self.refuse(str(error).partition(":")[0], "", str(error))
            self.compiler = Compiler(FieldMap.load(), LogSources.load())

    def add(self, document: Document) -> None:
        content, path = document.content, document.path
        if document.error:
            return self.refuse(path, "", document.error)
        if not isinstance(content, dict):
            return self.refuse(path, "", f"expected a map of a rule's attributes, not {content!r:.100}", document.line)
        name = str(content.get("title") or content.get("id") or "")
        try:
            if "filter" in content:
                made, warnings = self.compiler.filter(content, path)
                self.filters.append(made)
            elif "correlation" in content:
                correlation, warnings = draft(content, path, document.line)
                self._claim(str(correlation.about["id"]))
                self.drafts[correlation.about["id"]] = correlation
            else:
                rule, warnings = self.compiler.rule(content, path)
                self._claim(rule.id)
                self.rules[rule.id] = rule
        except RuleRefused as refusal:
            return self.refuse(path, name, str(refusal), document.line)
        self.warnings += [Warned(path, name, text) for text in warnings]
        return None

    def _claim(self, identifier: str) -> None:
        first = self.rules.get(identifier) or self.drafts.get(identifier)
        if first is not None:
            raise RuleRefused(f"the identifier {identifier} is already taken by {first.path}")

    def filtered_rules(self) -> list[Rule]:
        idle = list(self.filters)
        rules: list[Rule] = []
        for rule in self.rules.values():
            fitting = [each for each in self.filters if each.fits(rule)]
            idle = [each for each in idle if each not in fitting]
            rules.append(self.compiler.filtered(rule, fitting))
        self.warnings += [Warned(f.path, f.title, "the filter fits no rule") for f in idle]
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
                self.refuse(made.path, title, str(refusal), made.line)
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
