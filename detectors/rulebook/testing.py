"""The vectors that lie beside rules are tried: rules and the paths of their files enter, findings and counts leave."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detectors.rulebook import vectors
from detectors.rulebook.checks import ERROR, Finding
from detectors.rulebook.vectors import ReadLine, vector_path
from detectors.sigma import RuleSet
from detectors.sigma.documents import MAX_FILE
from pipeline.messages import HaidangError


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of it: rules that are refused and vectors that fail are findings; `without`: files without vectors."""

    findings: list[Finding]
    vectors: int
    rules: int
    failed: int
    without: int

    def counts(self) -> dict[str, int]:
        """Return the counts."""
        return {"vectors": self.vectors, "rules": self.rules, "failed": self.failed, "without": self.without}


def tested(
    rules: RuleSet, paths: Sequence[str], read_line: ReadLine | None = None, until: float | None = None
) -> Tested:
    """Try the vectors beside these rule files; `rules` were loaded from them, and maybe from others.

    Raises:
        HaidangError: vectors cannot be read, or not all were tried by `until` (`vectors.failures`).
    """
    beside = {path: Path(vector_path(path)) for path in paths}
    tests = {path: read_text(file) for path, file in beside.items() if file.is_file()}
    tried, failed = vectors.failures(rules, tests, read_line, until)
    found = [Finding(ERROR, each.place, each.rule, each.reason) for each in rules.refused]
    found += [Finding(ERROR, vector_path(each.path), each.rule, each.says()) for each in failed]
    return Tested(found, tried, len(tests), len(failed), len(paths) - len(tests))


def read_text(path: Path) -> str:
    """Read a rule file.

    Raises:
        HaidangError: it cannot be read, is no text, or is too large.
    """
    try:
        if path.stat().st_size > MAX_FILE:
            raise HaidangError("rulebook.file_too_large", file=path, limit=MAX_FILE)
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise HaidangError("rulebook.cannot_read", source=path, fault=error.strerror or error) from error
    except UnicodeDecodeError as error:
        raise HaidangError("rulebook.no_text", file=path, byte=error.start) from error
