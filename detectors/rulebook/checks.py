"""Rules are looked at before they are used: rule texts enter, findings leave; errors keep a rule out.

Three readings: our compiler's (what it refuses is an error), pySigma's validators as `sigma check` of sigma-cli runs
them, and what we ask of a rule that somebody must act on. Two of pySigma's validators ask the internet for the lists of
ATT&CK and D3FEND; a site has none, so they are left out and the form of these tags alone is looked at.
"""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from sigma.collection import SigmaCollection
from sigma.exceptions import SigmaError, SigmaRuleLocation
from sigma.plugins import InstalledSigmaPlugins
from sigma.validation import SigmaValidator
from sigma.validators.base import SigmaRuleValidator, SigmaValidationIssue

from detectors.rulebook import vectors
from detectors.sigma import RuleSet
from detectors.sigma.documents import TESTS
from pipeline.messages import HaidangError, Sentence, catalogue, said

_ASK_THE_INTERNET = frozenset(("attacktag", "d3_fendtag"))
_TECHNIQUE = re.compile(r"attack\.(t\d{4}(\.\d{3})?|ta\d{4}|[gs]\d{4}|[a-z]+([-_][a-z]+)*)")
ERROR: Final = "error"
WARNING: Final = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a rule file. `rule` is empty when it is the file."""

    severity: Literal["error", "warning"]
    path: str
    rule: str
    text: str

    def as_json(self) -> dict[str, str]:
        """Return it as it is printed."""
        return {"severity": self.severity, "path": self.path, "rule": self.rule, "text": said(self.text)}


def check(
    files: Mapping[str, str], taken: Mapping[str, str] | None = None, read_line: vectors.ReadLine | None = None
) -> list[Finding]:
    """Look at rule files (a path and its text each), their vectors among them.

    `taken`: the identifiers that other rules have, and their titles; `read_line` decodes the lines of vectors.
    """
    with tempfile.TemporaryDirectory() as place:
        for name, text in files.items():
            path = Path(place) / name
            if Path(place).resolve() not in path.resolve().parents:
                raise HaidangError("rulebook.bad_name", name=name[:200])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        rules = RuleSet.load(Path(place))
        found = [
            *_of_compiler(rules, taken or {}),
            *_of_sigma(Path(place), rules),
            *_of_ours(rules, files, place, read_line),
        ]
    own = [Finding(f.severity, _relative(f.path, place), f.rule, f.text.replace(f"{place}/", "")) for f in found]
    return sorted(own, key=lambda finding: (finding.severity, finding.path, finding.rule))


def _of_compiler(rules: RuleSet, taken: Mapping[str, str]) -> list[Finding]:
    found = [Finding(ERROR, refused.place, refused.rule, refused.reason) for refused in rules.refused]
    found += [Finding(WARNING, warned.path, warned.rule, warned.text) for warned in rules.warnings]
    found += [
        Finding(ERROR, rule.path, rule.title, Sentence("sigma.identifier_taken", id=rule.id, by=repr(taken[rule.id])))
        for rule in rules.every
        if rule.id in taken
    ]
    return found


def _of_sigma(place: Path, rules: RuleSet) -> list[Finding]:
    broken = {refused.path for refused in rules.refused}  # pySigma cannot go on where it reads half a file
    titles = {rule.path: rule.title for rule in rules.every if rule.path not in broken}
    validator = SigmaValidator(_validators())
    try:
        collection = SigmaCollection.load_ruleset(list(titles), collect_errors=True)
        issues = [issue for rule in collection.rules for issue in validator.validate_rule(rule)]  # type: ignore[arg-type]
    except (SigmaError, NotImplementedError) as error:
        return [Finding(WARNING, str(place), "", Sentence("sigma.check_failed", why=str(error)))]
    found: dict[Finding, None] = {}
    for issue in [*issues, *validator.finalize()]:
        for source in [rule.source for rule in issue.rules] or [None]:
            path = str(source.path) if isinstance(source, SigmaRuleLocation) else str(place)
            found[Finding(WARNING, path, titles.get(path, ""), _words(issue))] = None
    return list(found)


def _of_ours(rules: RuleSet, files: Mapping[str, str], place: str, read_line: vectors.ReadLine | None) -> list[Finding]:
    empty = [path for path, text in files.items() if not path.endswith(TESTS) and _is_empty(text)]
    found = [Finding(ERROR, path, "", Sentence("sigma.no_rule_in_file")) for path in empty]
    for rule in rules.every:
        if rule in rules.silent:
            continue
        wanted = {
            "description": rule.description,
            "falsepositives": rule.falsepositives,
            "technique": any(re.match(r"attack\.t\d", tag) for tag in rule.tags),
            "vectors": vectors.vector_path(_relative(rule.path, place)) in files,
        }
        texts = [Sentence(f"sigma.lacks_{what}") for what, there in wanted.items() if not there]
        of_attack = (tag for tag in rule.tags if tag.startswith("attack."))
        texts += [Sentence("sigma.no_attack_tag", tag=repr(tag)) for tag in of_attack if not _TECHNIQUE.fullmatch(tag)]
        found += [Finding(WARNING, rule.path, rule.title, text) for text in texts]
    tests = vectors.tests_of(files, (path for path in files if not path.endswith(TESTS)))
    _, failed = vectors.failures(rules, {f"{place}/{path}": text for path, text in tests.items()}, read_line)
    return found + [Finding(ERROR, vectors.vector_path(each.path), each.rule, each.says()) for each in failed]


def _is_empty(text: str) -> bool:
    return not any(line.strip("- \t") and not line.lstrip().startswith("#") for line in text.splitlines())


@cache
def _validators() -> frozenset[type[SigmaRuleValidator]]:
    known: Mapping[str, Any] = InstalledSigmaPlugins.autodiscover().validators
    return frozenset(each for name, each in known.items() if name not in _ASK_THE_INTERNET)


def _words(issue: SigmaValidationIssue) -> Sentence:
    name, severity = type(issue).__name__.removesuffix("Issue"), issue.severity.name.lower()
    key = f"sigma.issue.{name}"
    # One that a newer pySigma brings has no words of ours yet.
    what = Sentence(key) if key in catalogue("en") else issue.description
    return Sentence("sigma.check", what=what, name=name, severity=severity)


def _relative(path: str, place: str) -> str:
    return path.removeprefix(f"{place}/")
