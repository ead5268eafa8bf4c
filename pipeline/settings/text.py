"""The text of a settings file: TOML enters, the same text without its secrets leaves, and comes back with them.

A secret is shown as `"[secret 1]"`; who sends that back at the place of a secret keeps it. The numbers are those of the
secrets' order in the text, so they mean something only together with the version that was shown.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, SecretStr

from pipeline.messages import HaidangError
from pipeline.settings import Settings, secret_settings
from pipeline.toml_faults import toml_fault

#: So long may a settings file be, in characters.
MOST = 256_000
_STRING_OR_COMMENT = re.compile(
    r"""(?P<comment>\#[^\n]*)
    | \"\"\"(?:\\.|[^\\])*?\"\"\"\"{0,2} | '''.*?''''{0,2} | "(?:\\.|[^"\\\n])*" | '[^'\n]*'""",
    re.DOTALL | re.VERBOSE,
)
_SHOWN = re.compile(r"\[secret (\d{1,6})\]")
_LINE = re.compile(r"at line (\d+)")
_HEAD = re.compile(r"\[(\[)?\s*([\w.\- ]+?)\s*\]")
_KEY = re.compile(r"([\w.-]+)\s*=")
#: What a comment is hidden for: a setting that was taken out, and its value.
_NAMED = re.compile(r"(password|token|secrets?|url|key)\s*[=:]", re.IGNORECASE)
_SOUNDS = re.compile(r"passw|pasw|passphrase|token|secret|api_?key", re.IGNORECASE)
#: What says to whom a secret is shown, and how openly.
_ADDRESSES = ("kind", "host", "port", "url", "urls", "servers", "issuer", "security")
#: A secret that is shorter is not looked for in comments: any word may be it.
_TELLING = 6


def hidden(text: str) -> str:
    """Return a text without its secrets.

    Raises:
        HaidangError: it is no TOML, so that nobody knows what in it is secret.
    """
    kept = _kept(text)
    numbers = {literal: number for number, literal in enumerate(kept, 1)}

    def shown(found: re.Match[str]) -> str:
        number = numbers.get(found.group())
        if number is None:
            return found.group()
        return f"# [secret {number}]" if found["comment"] else f'"[secret {number}]"'

    return _STRING_OR_COMMENT.sub(shown, text)


def restored(text: str, before: str) -> str:
    """Return a text with the secrets of the text that was there before in the places of `[secret N]`.

    Raises:
        HaidangError: it is no TOML, or names a secret that is not there, one in the place of what is none, or one that
            would be shown to another receiver than before.
    """
    new = _parsed(text)
    for place, value in _texts(new):
        if (found := _SHOWN.search(value)) and not (found.group() == value and _is_secret(place)):
            raise HaidangError("settings.secret_elsewhere", place=place, value=found.group())
    kept = _kept(before) if _SHOWN.search(text) else []
    _check_receivers(new, _parsed(hidden(before)) if kept else {})

    def back(found: re.Match[str]) -> str:
        named = _SHOWN.search(found.group())
        if named is None:
            return found.group()
        number = int(named[1])
        if not 0 < number <= len(kept) or kept[number - 1].startswith("#") != bool(found["comment"]):
            raise HaidangError("settings.no_such_secret", value=named.group())
        return kept[number - 1]

    return _STRING_OR_COMMENT.sub(back, text)


def line_of_fault(text: str, fault: str) -> int | None:
    """Return the line (from 1) that a fault is about, which begins with its place, or None where none is."""
    named = re.match(r"[\w.-]+", fault)
    lines = _lines(text)
    parts = named.group().rstrip(".").split(".") if named else []
    return next((lines[place] for end in range(len(parts), 0, -1) if (place := ".".join(parts[:end])) in lines), None)


def line_of_toml(text: str, fault: str) -> int | None:
    """Return the line that a fault of the TOML itself is in; the last one where something is not closed."""
    if "at end of document" in fault:
        return text.count("\n") + 1
    found = _LINE.search(fault)
    return int(found[1]) if found else None


def changes(before: Settings, after: Settings) -> list[dict[str, Any]]:
    """Return what differs: `{"setting", "before", "after"}`; null is what is not there, and secrets are `…`."""
    old, new = dict(_flat(before)), dict(_flat(after))
    return [
        {"setting": place, "before": _told(old.get(place)), "after": _told(new.get(place))}
        for place in {**old, **new}
        if old.get(place) != new.get(place)
    ]


def _kept(text: str) -> list[str]:
    """Return the pieces of a text that are hidden, in its order, each once."""
    secret = {value for place, value in _texts(_parsed(text)) if value and _is_secret(place)}
    found: dict[str, None] = {}
    for piece in _STRING_OR_COMMENT.finditer(text):
        literal = piece.group()
        if piece["comment"]:
            tells = any(len(value) >= _TELLING and value in literal for value in secret)
            is_kept = bool(_NAMED.search(literal)) or tells or bool(_SHOWN.search(literal))
        else:
            is_kept = tomllib.loads(f"value = {literal}")["value"] in secret
        if is_kept:
            found[literal] = None
    return list(found)


def _check_receivers(new: dict[str, Any], before: dict[str, Any]) -> None:
    """Refuse a secret that was not written anew beside another address: whoever may change settings does not thereby
    get to know what they do not."""
    known = list(_beside_secrets(before))
    for place, secret, receiver in _beside_secrets(new):
        if (secret, receiver) not in [(each, there) for _, each, there in known] and secret in {
            each for _, each, _ in known
        }:
            raise HaidangError("settings.secret_moved", place=place, value=secret)


def _beside_secrets(value: Any, place: str = "") -> Iterator[tuple[str, str, list[Any]]]:
    """Yield the place of each `[secret N]`, itself, and the address that stands in the same section."""
    if isinstance(value, list):
        for each in value:
            yield from _beside_secrets(each, place)
    elif isinstance(value, dict):
        receiver = [value.get(name) for name in _ADDRESSES]
        for name, each in value.items():
            inner = f"{place}.{name}".lstrip(".")
            for text in each if isinstance(each, list) else [each]:
                if isinstance(text, str) and _SHOWN.fullmatch(text):
                    yield inner, text, receiver
            yield from _beside_secrets(each, inner)


def _is_secret(place: str) -> bool:
    """Say whether what stands here is secret: by the settings, or, where it may be misspelt, by its name."""
    name = place.rpartition(".")[2]
    return place in secret_settings() or (bool(_SOUNDS.search(name)) and not name.endswith("_file"))


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise HaidangError("settings.text_not_toml", fault=toml_fault(error)) from error


def _texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text with its place; lists have no number in it."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _texts(each, f"{place}.{name}".lstrip("."))
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, place)
    elif isinstance(value, str):
        yield place, value


def _lines(text: str) -> dict[str, int]:
    """Return the line of each section, entry of a list and setting, as faults name them."""
    bare = _STRING_OR_COMMENT.sub(lambda found: "" if found["comment"] else "\x01" * found.group().count("\n"), text)
    found: dict[str, int] = {}
    entries: dict[str, int] = {}
    section, depth, number = "", 0, 1
    for line in bare.split("\n"):
        start = line.strip("\x01 \t\r")
        if not depth and (head := _HEAD.match(start)):
            section = _section(head[2].replace(" ", ""), bool(head[1]), entries)
            found[section] = number
        elif not depth and (key := _KEY.match(start)):
            found.setdefault(f"{section}.{key[1]}".lstrip("."), number)
            depth += _open(start)
        elif depth:
            depth += _open(start)
        number += 1 + line.count("\x01")
    return found


def _open(line: str) -> int:
    return line.count("[") + line.count("{") - line.count("]") - line.count("}")


def _section(name: str, is_entry: bool, entries: dict[str, int]) -> str:
    """Return a section's place: `channels.1` for the second `[[channels]]`, `channels.1.x` for what belongs to it."""
    if is_entry:
        entries[name] = entries.get(name, -1) + 1
        return f"{name}.{entries[name]}"
    above = max((each for each in entries if name.startswith(f"{each}.")), key=len, default=None)
    return name if above is None else f"{above}.{entries[above]}{name.removeprefix(above)}"


def _flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting; entries of lists by their names where they have some."""
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _flat(each, f"{place}.{name}".lstrip("."))
    elif isinstance(value, list) and value and all(isinstance(each, BaseModel) for each in value):
        for number, each in enumerate(value):
            yield from _flat(each, f"{place}[{getattr(each, 'name', number)}]")
    else:
        yield place, value


def _told(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return "…" if value.get_secret_value() else ""
    if isinstance(value, (list, tuple)):
        return [_told(each) for each in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
