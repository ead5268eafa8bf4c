"""`haidang rules check` against the `sigma check` of sigma-cli, run as a person runs it: the same kinds of issues.

The two validators that ask the internet for the lists of ATT&CK and D3FEND are left out on both sides. Correlations are
not compared: sigma-cli stops altogether where one refers to a rule of another file.
"""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from detectors.rulebook import checks
from detectors.sigma import RuleSet
from pipeline.shipped import shipped_rules

SIGMA = str(Path(sys.executable).parent / "sigma")
_WITHOUT = ("-x", "attacktag", "-x", "d3_fendtag")
_HEAD = "title: {title}\nid: {number:08}-2222-4333-8444-555555555555\nlogsource: {{product: windows, category: process_creation}}\n"
#: What makes sigma-cli complain, and more than one thing at a time.
ODD = {
    "wildcards": "detection:\n  s: {Image: '*cmd.exe', CommandLine: 'a*', ParentImage: '*x*'}\n  condition: s\n",
    "all of one": "detection:\n  s: {Image|contains|all: one}\n  condition: s\n",
    "dangling": "detection:\n  s: {a: b}\n  unused: {c: d}\n  condition: s\n",
    "them": "detection:\n  s: {a: b}\n  condition: all of them\n",
    "no fields": "detection:\n  keywords: [a, 1]\n  condition: keywords\n",
    "log source": "detection:\n  s: {EventID: 1, Channel: Security}\n  condition: s\n",
    "tags": "tags: [attack.t1059, attack.t1059, tlp.pink, cve.2021-1, nobody.knows]\ndetection:\n  s: {a: b}\n  condition: s\n",
    "meta": "status: test\nlevel: high\ndate: 2026-11-24\nmodified: 2020-01-01\nreferences: [a, a]\nfalsepositives: [none]\ndetection:\n  s: {a: b}\n  condition: s\n",
    "escapes": "detection:\n  s: {a|contains: 'x\\\\\\\\*y', b|re: 'a|b', c: '\u2013x\\\\?'}\n  condition: s\n",
    "base64": "detection:\n  s: {a|base64offset: xyz, b|base64: y}\n  condition: s\n",
    "good": "description: Something happened that is worth looking at.\nauthor: a\nstatus: test\nlevel: low\ndate: 2026-11-24\ndetection:\n  s: {a: b}\n  condition: s\n",
}  # fmt: skip


def name_of(path: Path) -> str:
    """A file with its folder: names alone are not unique."""
    return "/".join(path.parts[-2:])


def of_sigma_cli(paths: list[Path]) -> tuple[dict[str, set[str]], str]:
    """The kinds of issues of each file; and all that was printed."""
    done = subprocess.run(
        [SIGMA, "check", *_WITHOUT, *map(str, paths)], capture_output=True, text=True, timeout=120, check=False
    )
    found: dict[str, set[str]] = defaultdict(set)
    for kind, rule in re.findall(r"^issue=(\w+) severity=.*? rule=(.*)$", done.stdout, re.MULTILINE):
        for path in paths:
            if str(path.resolve()) in rule:
                found[name_of(path)].add(kind.removesuffix("Issue"))
    return found, done.stdout


def of_ours(paths: list[Path]) -> dict[str, set[str]]:
    """The same, of what we say that `sigma check` says; under "" what is said of all files together."""
    found: dict[str, set[str]] = defaultdict(set)
    files = {name_of(path): path.read_text("utf-8") for path in paths}
    for each in checks.check(files):
        kind = re.search(r"\((\w+), \w+\)$", each.text)
        if each.text.startswith("sigma check: ") and kind:
            found[each.path if each.path in files else ""].add(kind[1])
    return found


def assert_same(ours: dict[str, set[str]], theirs: dict[str, set[str]]) -> None:
    """Compare; what we say of all files together, sigma-cli says of each that it is about."""
    together = ours.pop("", set())
    assert together <= set().union(*theirs.values())
    assert ours == {name: own for name, kinds in theirs.items() if (own := kinds - together)}


@pytest.mark.slow
def test_issues_are_those_of_sigma_check(tmp_path: Path) -> None:
    for number, (title, text) in enumerate(ODD.items()):
        (tmp_path / f"{title}.yml").write_text(_HEAD.format(title=title, number=number) + text, "utf-8")
    shipped = RuleSet.load(shipped_rules())
    whole = {rule.path for rule in shipped.rules} - {rule.path for rule in shipped.correlations}
    paths = [*sorted(tmp_path.glob("*.yml")), *map(Path, sorted(whole))]
    theirs, printed = of_sigma_cli(paths)
    assert "Found 0 errors, 0 condition errors" in printed
    assert_same(of_ours(paths), theirs)
    assert len(set().union(*theirs.values())) >= 10


@pytest.mark.slow
def test_issues_of_public_rules_are_those_of_sigma_check(shared_data: Path) -> None:
    paths = sorted((shared_data / "sigma" / "rules").rglob("*.yml"))[::20]
    theirs, _ = of_sigma_cli(paths)
    assert_same(of_ours(paths), theirs)
    assert theirs


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "detection:\n  s: {a|nope: b}\n  condition: s\n",
        "detection:\n  s: {a|re: '('}\n  condition: s\n",
        "detection:\n  s: {a|cidr: 10.0.0.0/40}\n  condition: s\n",
        "detection:\n  s: {a: b}\n  condition: s and t\n",
        "status: brilliant\ndetection:\n  s: {a: b}\n  condition: s\n",
        "tags: [weird]\ndetection:\n  s: {a: b}\n  condition: s\n",
        "detection:\n  s: {a: b}\n",
    ],
)
def test_what_sigma_check_calls_an_error_is_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yml"
    path.write_text(_HEAD.format(title="Broken", number=1) + text, "utf-8")
    done = subprocess.run([SIGMA, "check", *_WITHOUT, str(path)], capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert any(each.severity == checks.ERROR for each in checks.check({path.name: path.read_text("utf-8")}))


def test_what_is_wrong_with_one_rule_of_a_file_hides_no_other_and_ends_nothing() -> None:
    good = "title: good\nlogsource: {product: linux}\ndetection:\n  s: {a|contains: x}\n  condition: s\n"
    for bad in ("detection:\n  s: {a|containz: x}\n  condition: s", "detection: []", "correlation: []", "status: test",
                "detection:\n  s: {}\n  condition: s", "detection:\n  s: {a|re: '(x'}\n  condition: s"):  # fmt: skip
        found = checks.check({"two.yml": f"{good}---\ntitle: bad\nlogsource: {{product: linux}}\n{bad}\n"})
        assert [each.rule for each in found if each.severity == checks.ERROR] == ["bad"], found
        assert any(each.rule == "good" for each in found)
