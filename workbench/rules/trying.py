"""`haidang rules check|test`: rules are looked at and tried, and nothing is changed."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from collectors.decoders.pasted import decode_pasted
from detectors.rulebook import checks, vectors
from detectors.rulebook.checks import ERROR, Finding
from detectors.rulebook.sources import read_source
from detectors.rulebook.vectors import vector_path
from detectors.sigma import RuleSet
from detectors.sigma.documents import MAX_FILE, TESTS, rule_files
from pipeline.command import show
from pipeline.messages import HaidangError, say
from workbench.rules.site import OnSite


def read_files(paths: Sequence[Path]) -> dict[str, str]:
    """Read rule files and the vectors beside them, by their names.

    Raises:
        HaidangError: one is not there, no text, or too large; two have one name.
    """
    files: dict[str, str] = {}
    for path in paths:
        beside = Path(vector_path(str(path)))
        for each in (path, *([beside] if not path.name.endswith(TESTS) and beside.is_file() else [])):
            text = _text(each)
            if files.get(each.name, text) != text:
                raise HaidangError("rulebook.same_name", name=each.name)
            files[each.name] = text
    return files


def print_findings(findings: Sequence[Finding], as_json: bool = False) -> None:
    """Print what was found."""
    for finding in findings:
        if as_json:
            show.json_line({name: getattr(finding, name) for name in ("severity", "path", "rule", "text")})
        else:
            named = f"{finding.rule}: " if finding.rule else ""
            show.line(show.plain(f"{say(f'rules.{finding.severity}')}: {finding.path}: {named}{finding.text}"))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE:
            raise HaidangError("rulebook.file_too_large", file=path, limit=MAX_FILE)
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise HaidangError("rulebook.cannot_read", source=path, fault=error) from error


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="+", type=Path, help=say("command.rules.check_files"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _check(chosen: argparse.Namespace, site: OnSite) -> int:
    """Look at files beside the rules of the site, at folders by themselves; 1 where something is an error."""
    folders = [path for path in chosen.file if path.is_dir()]
    files = read_files([path for path in chosen.file if not path.is_dir()])
    findings = site.rulebook.check(files) if files else []
    for folder in folders:
        found = read_source(str(folder))
        findings += [Finding(ERROR, path, "", reason) for path, reason in found.left_out]
        findings += checks.check(found.files, read_line=decode_pasted)
    print_findings(findings, chosen.json)
    errors = sum(finding.severity == ERROR for finding in findings)
    if not chosen.json:
        show.line(say("command.rules.checked", errors=errors, warnings=len(findings) - errors))
    return 1 if errors else 0


def _test_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="*", type=Path, help=say("command.rules.test_files"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def _test(chosen: argparse.Namespace, site: OnSite) -> int:
    """Try the vectors of these files or folders, or of all rules in use; 1 where one fails, or there are none."""
    places = chosen.file or list(site.rulebook.loaded.folders)
    rules = RuleSet.load(*places)
    paths = [str(path) for place in places for path in rule_files(place)]
    tests = {path: _text(Path(vector_path(path))) for path in paths if Path(vector_path(path)).is_file()}
    tried, failed = vectors.failures(rules, tests, decode_pasted)
    found = [Finding(ERROR, each.place, each.rule, each.reason) for each in rules.refused]
    found += [Finding(ERROR, vector_path(each.path), each.rule, str(each)) for each in failed]
    print_findings(found, chosen.json)
    values = {"vectors": tried, "rules": len(tests), "failed": len(failed), "without": len(paths) - len(tests)}
    if chosen.json:
        show.json_line(values)
    else:
        show.line(say("command.rules.tested", **{name: show.number(value) for name, value in values.items()}))
    return 1 if found or not tried else 0


COMMANDS = {"check": (_check_arguments, _check), "test": (_test_arguments, _test)}
