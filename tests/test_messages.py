"""Both catalogues have the same keys with the same values, every key that is used, and none that is not."""

import ast
import json
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.messages import LANGUAGES, HaidangError, language, say, speaking

ROOT = Path(__file__).parent.parent
PACKAGES = ("pipeline", "collectors", "detectors", "response", "sharing", "workbench", "api")
#: Keys that are put together when they are used: a piece of code (all of whose values are known) and its keys.
_BUILT = {
    "command.{}": r"command\.(run|import|detect|search|alerts|queue|cases|sharing|systems|report|notify|evidence|rules|packet-rules|indicators|sources|devices|c2|canary|deadletter|doctor|demo|config|user|role|token|audit|grafana|backup|restore|plan|bench)",
    #: What each action of a command does.
    "command.{}.{}": "|".join(
        (
            r"command\.rules\.(list|show|explain|history|exceptions|packs|keys|alert|enable|observe|disable|default|except|unexcept|add|remove|rollback|reload|import|update|remove-pack|keygen|sign|trust|distrust|backup|restore|check|test|backtest|fields)",
            r"command\.devices\.(list|show|set|unset|import|scan)",
            r"command\.queue\.(list|show|entities|budget|take|true|false|reopen|suppress|unsuppress|suppressions)",
            r"command\.notify\.(channels|status|test|list|dead|resend|drop)",
            r"command\.cases\.(verify|list|show|open|add|set|done|remove|get|mark|close|reopen|export)",
            r"command\.indicators\.[a-z-]+",
            r"command\.systems\.(list|import|remove|shares)",
            r"command\.report\.(list|make|get)",
            r"command\.sharing\.(profiles|add|check|confirm|stop|preview|send|status|list|show|approve|withdraw|resend|incident|carried|receipts|inbox|keygen|simulator|warn|taxii|misp)",
            r"command\.taxii\.(collections|clients|add|revoke|publish|look|poll|push)",
        )
    ),
    "grafana.{}": r"grafana\.(created|updated|same|folder|source|dashboard)",
    "grafana.source_{}": r"grafana\.source_(events|alerts)",
    "command.bench.{}": r"command\.bench\.(bus|store|pipeline|overload|queue|console|correlation|behaviours|sigma|network|indicators|delivery|sharing|stix|taxii)",
    "plan.{}": r"plan\.(count|cores|memory|disk)",
    "plan.machine.{}": r"plan\.machine\.\w+",
    "doctor.{}": r"doctor\.(good|attention|fault)",
    "show.{}": r"show\.(files|file|matches|time|level|rule|read|unreadable|received|retried|held|missing|stored|already_stored|dropped|examined|alerts|machine|source|kind|sent|last_good|seconds|failures|state|host|behind|seen|role|group|number|who|address|action|detail|user|token|view|expires|used|groups)",
    "show.user_{}": r"show\.user_(disabled|locked|must_change|second_factor)",
    "canaries.state.{}": r"canaries\.state\.(good|late|waiting)",
    "command.rules.would.{}": r"command\.rules\.would\.(packs|added|changed|removed|modes|excepted|unexcepted|trusted|distrusted)",
    "command.rules.fields_{}": r"command\.rules\.fields_(blind|partly)",
    "command.devices.set_{}": r"command\.devices\.set_(kind|label|unit|owner|note)",
    "command.notify.test_{}": r"command\.notify\.test_(waiting|joined|sent|dead|dropped)",
    "delivery.head.{}": r"delivery\.head\.\w+",
    "taxii.head.{}": r"taxii\.head\.\w+",
    "taxii.{}": r"taxii\.(full|crowded)",
    "stix.fault.{}": r"stix\.fault\.\w+",
    "systems.head.{}": r"systems\.head\.\w+",
    "incidents.part_{}": r"incidents\.part_(who|what|measures|affected|observables)",
    "incidents.spread_{}": r"incidents\.spread_(hosts|units)",
    "incidents.field_{}": r"incidents\.field_\w+",
    "incidents.title_{}": r"incidents\.title_(first|initial|report|closing)",
    "incidents.law_{}": r"incidents\.law_(first|initial|report|closing)",
    "incidents.head_{}": r"incidents\.head_\w+",
    "incidents.kind_{}": r"incidents\.kind_\w+",
    "reports.head_{}": r"reports\.head_\w+",
    "reports.more_{}": r"reports\.more_\w+",
    "reports.cases_{}": r"reports\.cases_\w+",
    "reports.title_{}": r"reports\.title_[\w-]+",
    "reports.kind_{}": r"reports\.kind_[\w-]+",
    "reports.column_{}": r"reports\.column_\w+",
    "sharing.attack_{}": r"sharing\.attack_\w+",
    "sharing.head.{}": r"sharing\.head\.\w+",
    "sharing.simulator_head_{}": r"sharing\.simulator_head_\w+",
    "sharing.simulator_mode_{}": r"sharing\.simulator_mode_[\w-]+",
    "sharing.state_{}": r"sharing\.state_(inactive|rehearsal|confirmed|changed|broken)",
    "sharing.status_{}": r"sharing\.status_\w+",
    "sharing.kind_{}": r"sharing\.kind_(statistics|indicators|incident|acknowledgement)",
    "sharing.way_{}": r"sharing\.way_(https|taxii|file)",
    "sharing.message_{}": r"sharing\.message_(refused|expired|queued|held)",
    "delivery.field.{}": r"delivery\.field\.\w+",
    "show.level.{}": r"show\.level\.\w+",
    "queue.head.{}": r"queue\.head\.\w+",
    "cases.changed.{}": r"cases\.changed\.\w+",
    "queue.status.{}": r"queue\.status\.\w+",
    "sigma.{}": r"sigma\.(correlation\.)?\w+",
    "sigma.issue.{}": r"sigma\.issue\.\w+",
    "vectors.{}": r"vectors\.\w+",
    "toml.{}": r"toml\.\w+",
    "queue.tactic.{}": r"queue\.tactic\.[\w-]+",
    "cases.status.{}": r"cases\.status\.(open|closed)",
    "cases.head.{}": r"cases\.head\.\w+",
    "cases.kind.{}": r"cases\.kind\.\w+",
    "cases.clock.{}": r"cases\.clock\.(notice|report)",
    "cases.no_{}": r"cases\.no_(level|tlp|pap)",
    "cases.{}_{}": r"cases\.(notice|report)_(soon|late)",
    "queue.did.{}": r"queue\.did\.\w+",
    "devices.kind.{}": r"devices\.kind\.\w+",
    "devices.field.{}": r"devices\.field\.\w+",
    "devices.hint.{}": r"devices\.hint\.\w+",
    "c2.by.{}": r"c2\.by\.\w+",
    "rules.mode.{}": r"rules\.mode\.(alert|observe|off)",
    "rules.head.{}": r"rules\.head\.\w+",
    "rules.action.{}": r"rules\.action\.\w+",
    "rules.{}": r"rules\.(error|warning)",
    "packet_rules.{}": r"packet_rules\.\w+",
    "detectors.of_{}": r"detectors\.of_(packet|suricata|zeek)",
    "behaviours.{}": r"behaviours\.\w+",
    "behaviours.{}_why": r"behaviours\.\w+_why",
    "behaviours.{}_response": r"behaviours\.\w+_response",
    "{}_why": r"(canaries|habits|clocks|detectors|queue|cases|delivery|audit|sharing)\.\w+_why",
    "command.indicators.head.{}": r"command\.indicators\.head\.\w+",
    "indicators.{}": r"indicators\.\w+",
    "indicators.{}_response": r"indicators\.\w+_response",
    "indicators.seen_{}": r"indicators\.seen_\w+",
    "indicators.refused.{}": r"indicators\.refused\.\w+",
    "indicators.search.{}": r"indicators\.search\.\w+",
    "command.deadletter.head.{}": r"command\.deadletter\.head\.\w+",
    "command.deadletter.{}_done": r"command\.deadletter\.(retry|drop)_done",
}
#: Names, keywords and units that stay as they are in Vietnamese.
_TERMS = frozenset(
    (
        "check",
        "condition",
        "correlation",
        "detection",
        "null",
        "selection",
        "Grafana",
        "grafana",
        "viewer",
        "markdown",
        "all",
        "behaviour",
        "behaviours",
        "open",
        "queue",
        "host",
        "install",
        "distrust",
        "ed",
        "exceptions",
        "false",
        "network",
        "filter",
        "from",
        "https",
        "kafka",
        "list",
        "ms",
        "netflow",
        "rollback",
        "servers",
        "trust",
        "zip",
        "now",
        "shell",
        "show",
        "size",
        "systems",
        "tls",
        "urls",
        "utf",
        "web",
        "windows",
        "zeek",
    )
)


def catalogue(name: str) -> dict[str, str]:
    """Read a catalogue as it lies on the disk."""
    sentences: dict[str, str] = json.loads((ROOT / "pipeline" / "locale" / f"{name}.json").read_text("utf-8"))
    return sentences


def _texts_of_code() -> Iterator[str]:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text("utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.JoinedStr):
                    yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
        for path in (ROOT / package).rglob("pages/*.html"):
            for key, rest in re.findall(r'say\("([\w.-]+)"(?: (~))?', path.read_text("utf-8")):
                yield key + ("{}" if rest else "")


def _keys_of_calls() -> Iterator[tuple[str, str]]:
    """Yield the first argument of every `say`, `fault` and error of ours, with its place."""
    speakers = {
        "say",
        "fault",
        "HaidangError",
        "Unavailable",
        "LeaseLost",
        "NothingHere",
        "SearchError",
        "LoginRefused",
    }
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not isinstance(node, ast.Call) or not node.args:
                    continue
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                first = node.args[0]
                if name in speakers and isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield first.value, f"{path.relative_to(ROOT)}:{node.lineno}"


def test_both_languages_have_the_same_keys_sorted_one_a_line() -> None:
    vietnamese, english = catalogue("vi"), catalogue("en")
    assert list(vietnamese) == list(english) == sorted(english)
    for name in LANGUAGES:
        text = (ROOT / "pipeline" / "locale" / f"{name}.json").read_text("utf-8")
        assert text == json.dumps(catalogue(name), ensure_ascii=False, indent=1) + "\n"


@pytest.mark.parametrize("key", sorted(catalogue("en")))
def test_both_languages_fill_in_the_same_values(key: str) -> None:
    def values(text: str) -> set[str]:
        if key.startswith("argparse."):
            return set(re.findall(r"%(?:\(\w+\))?\w", text))
        return {f"{name}!{how or ''}" for _, name, _, how in string.Formatter().parse(text) if name is not None}

    vietnamese, english = catalogue("vi")[key], catalogue("en")[key]
    assert values(vietnamese) == values(english)
    assert vietnamese.strip() or key.startswith("show.thousands")


def test_every_key_that_is_used_exists() -> None:
    known = catalogue("en")
    missing = [f"{place}: {key}" for key, place in _keys_of_calls() if key not in known]
    assert missing == []


def test_no_key_is_unused() -> None:
    texts = set(_texts_of_code())
    built = re.compile("|".join(pattern for start, pattern in _BUILT.items() if start in texts))
    unused = [key for key in catalogue("en") if key not in texts and not built.fullmatch(key)]
    assert unused == []


def test_vietnamese_is_vietnamese() -> None:
    assert untranslated(catalogue("vi"), catalogue("en")) <= {"command.import.encoding"}  # names of encodings
    assert foreign_words(catalogue("vi")) == {}


def untranslated(vietnamese: dict[str, str], english: dict[str, str]) -> set[str]:
    """Return the keys whose sentence is the same in both languages, though it has words."""
    return {key for key, text in vietnamese.items() if text == english[key] and re.search(r"[a-z]{4}", _prose(text))}


def foreign_words(vietnamese: dict[str, str]) -> dict[str, list[str]]:
    """Return the words of sentences that are no Vietnamese and no term that stays as it is."""
    return {
        key: words
        for key, text in vietnamese.items()
        if (words := [word for word in _words(text) if _is_foreign(word)])
    }


def _prose(text: str) -> str:
    """Return a sentence without its values, commands, names of fields and examples."""
    return re.sub(r"`[^`]*`|\{[^}]*\}|%(?:\(\w+\))?\w|\"[^\"]*\"|'[^']*'|\S*[._:/\\]\S+|--?\w+|[A-Z_]{2,}", " ", text)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", _prose(text))


def _is_foreign(word: str) -> bool:
    """Say whether no Vietnamese word is written so: it has no f, j, w and z, and ends in one of few consonants."""
    plain = word.lower()
    impossible = re.search(r"[fjwz]|(?:[bcdgklmnpqrstvx]s|ed|er|ck|st|ll|ss|tion)$", plain)
    return impossible is not None and plain.isascii() and plain not in _TERMS


def test_one_process_speaks_many_languages_at_once() -> None:
    with speaking("vi"):
        error = HaidangError("user.unknown", name="x")
        assert str(error) == "Không có người dùng 'x'."
        with speaking("en"):
            assert language() == "en"
            assert str(error) == "There is no user named 'x'."
        assert say("show.level") == "mức"
