"""Words for people: a key and its values enter, a sentence in Vietnamese or English leaves.

The catalogues are `pipeline/locale/vi.json` and `en.json`; a test holds both to the same keys and the same values.
"""

import json
import locale
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, SupportsIndex

LANGUAGES = ("vi", "en")
_FOLDER = Path(__file__).parent / "locale"
_chosen: str | None = None
#: The language of the person who is being answered now, where that is not the process's own.
_spoken: ContextVar[str | None] = ContextVar("language", default=None)


class HaidangError(Exception):
    """A fault that a person can mend: its text says what, which value, where, what was expected and what to do."""

    #: What a command that meets it ends with.
    exit_status = 2

    def __init__(self, key: str, **values: Any) -> None:
        super().__init__(key, values)
        self.key = key
        self.values = values

    def __str__(self) -> str:
        return say(self.key, **self.values)


class Unavailable(HaidangError):
    """A service that we need does not answer now: what was to be done is kept and tried again."""


def choose_language(setting: str = "auto") -> str:
    """Set the language of this process: `vi`, `en`, or `auto` (HAIDANG_LANGUAGE, else the locale, else English)."""
    global _chosen  # noqa: PLW0603 - one process speaks one language at a time
    wanted = setting if setting in LANGUAGES else os.environ.get("HAIDANG_LANGUAGE", "")
    if wanted not in LANGUAGES:
        name = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
        wanted = "vi" if locale.normalize(name).startswith("vi") else "en"
    _chosen = wanted
    return wanted


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Answer in this language within the block, in this task or thread alone: one process serves many people."""
    token = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(token)


def language() -> str:
    """Return the language that is spoken here and now."""
    return _spoken.get() or _chosen or choose_language()


def say(key: str, /, **values: Any) -> str:
    """Return the sentence `key` with its values filled in, in the language that is spoken here and now."""
    return catalogue(language())[key].format(**{name: said(value) for name, value in values.items()})


class Sentence(str):
    """A sentence in English that others may hear in their own language (`said`): for what is found once and read by
    many, such as why a rule is refused. Two are the same where they say the same.
    """

    __slots__ = ("key", "values")
    key: str
    values: dict[str, Any]

    def __new__(cls, key: str, /, **values: Any) -> "Sentence":
        """Say `key` with its values; they may be sentences, too."""
        made = super().__new__(cls, catalogue("en")[key].format(**values))
        made.key, made.values = key, values
        return made

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (self.key,), self.values

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> "Sentence":
        """Return the sentence with a text in its values replaced."""
        values = {
            name: value.replace(old, new, count) if isinstance(value, str) else value
            for name, value in self.values.items()
        }
        return Sentence(self.key, **values)


def said(text: Any) -> Any:
    """Return a sentence in the language that is spoken here and now; anything else as it is."""
    return say(text.key, **text.values) if isinstance(text, Sentence) else text


def spoken(document: Mapping[str, Any], field: str) -> Any:
    """Return a field in the language that is spoken where it is there, as `rule.name_vi`; "" where it is not at all."""
    return document.get(f"{field}_{language()}") or document.get(field, "")


def in_each_language(key: str, /, **values: Any) -> dict[str, str]:
    """Return the sentence `key` in every language: for what is kept, and read by people who speak either.

    A value that is a mapping has its own word for each language.
    """

    def said(language: str) -> str:
        spoken = {name: each[language] if isinstance(each, Mapping) else each for name, each in values.items()}
        return catalogue(language)[key].format(**spoken)

    return {language: said(language) for language in LANGUAGES}


@cache
def catalogue(language: str) -> dict[str, str]:
    """Return all sentences of one language."""
    sentences: dict[str, str] = json.loads((_FOLDER / f"{language}.json").read_text("utf-8"))
    return sentences
