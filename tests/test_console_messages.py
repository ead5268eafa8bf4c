"""The console's catalogues: both languages have every key, no key is unused, and Vietnamese is Vietnamese.

That every key in the code exists is the compiler's to say: keys have a type of their own (`src/words.ts`).
"""

import inspect
import json
import re
from pathlib import Path

import pytest

from pipeline import health
from tests.test_messages import foreign_words, untranslated

CONSOLE = Path(__file__).parent.parent / "dashboards" / "console"
#: Names, and what is the same in both languages.
_SAME = {
    "language.vi",
    "language.en",
    "login.other_language",
    "device.camera",
    "case.tlp",
    "case.pap",
    "case.observable.url",
}


def catalogue(name: str) -> dict[str, str]:
    """Read a catalogue as it lies on the disk."""
    sentences: dict[str, str] = json.loads((CONSOLE / "locale" / f"{name}.json").read_text("utf-8"))
    return sentences


def _code() -> str:
    return "\n".join(path.read_text("utf-8") for path in sorted((CONSOLE / "src").rglob("*.ts*")))


def test_both_languages_have_the_same_keys_sorted_one_a_line() -> None:
    vietnamese, english = catalogue("vi"), catalogue("en")
    assert list(vietnamese) == list(english) == sorted(english)
    for name in ("vi", "en"):
        text = (CONSOLE / "locale" / f"{name}.json").read_text("utf-8")
        assert text == json.dumps(catalogue(name), ensure_ascii=False, indent=1) + "\n"


def test_every_problem_of_health_has_its_sentence() -> None:
    """What the site says of itself by a name, the console says in words; and it has none for what is never said."""
    said = set(re.findall(r'"what": "(\w+)"', inspect.getsource(health)))
    keys = {key.removeprefix("problem.") for key in catalogue("vi") if key.startswith("problem.")}
    assert keys - {"other", "stale"} == said


@pytest.mark.parametrize("key", sorted(catalogue("en")))
def test_both_languages_of_the_console_fill_in_the_same_values(key: str) -> None:
    vietnamese, english = (set(re.findall(r"\{(\w+)\}", catalogue(name)[key])) for name in ("vi", "en"))
    assert vietnamese == english
    assert catalogue("vi")[key].strip()


def test_no_key_of_the_console_is_unused() -> None:
    code = _code()
    literal = set(re.findall(r"""["'`]([a-z_0-9]+(?:\.[a-z_0-9A-Z]+)*)["'`]""", code))
    starts = tuple(f"{start}." for start in re.findall(r"`([a-z_0-9.]+)\.\$\{", code))
    families = tuple(f"{family}." for family in re.findall(r"""\bword\(\s*"([a-z_.]+)\"""", code))
    families += tuple(
        f"{family}."
        for family in re.findall(r"""FAMILIES[^}]*\}""", code)
        for family in re.findall(r': "(\w+)"', family)
    )
    unused = [key for key in catalogue("en") if key not in literal and not key.startswith((*starts, *families))]
    assert unused == []


def test_the_console_speaks_vietnamese() -> None:
    vietnamese = {key: text for key, text in catalogue("vi").items() if key not in _SAME}
    assert untranslated(vietnamese, catalogue("en")) == set()
    assert foreign_words(vietnamese) == {}


def test_no_two_screens_have_the_same_letter() -> None:
    letters = re.findall(r'letter: "(\w)"', (CONSOLE / "src" / "app.tsx").read_text("utf-8"))
    assert len(letters) > 10
    assert [letter for letter in letters if letters.count(letter) > 1] == []
