"""The rulebook as lists: a loaded revision enters, one JSON object a rule leaves, for the command and the API."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detectors.rulebook.book import ALERT
from detectors.rulebook.coverage import looked_for
from detectors.rulebook.loading import Loaded
from detectors.rulebook.vectors import vector_path
from detectors.sigma import Correlation, Rule
from detectors.sigma.correlation import base_rules

Hits = Mapping[str, tuple[int, int]]


def listed(
    loaded: Loaded,
    hits: Hits,
    text: str = "",
    pack: str | None = None,
    mode: str | None = None,
    level: str | None = None,
) -> list[dict[str, Any]]:
    """Return the rules that fit, those that matched most first. `text` is looked for in id, titles and tags."""
    wanted = text.casefold()
    found = [
        entry(loaded, rule, hits)
        for rule in loaded.every
        if (level is None or rule.level == level)
        and (mode is None or loaded.modes.get(rule.id, ALERT) == mode)
        and (pack is None or loaded.of_pack.get(rule.id) == pack or _pack_name(loaded, rule) == pack)
        and (not wanted or wanted in _words(rule))
    ]
    return sorted(found, key=lambda each: (-each["alerts"] - each["observed"], each["title"]))


def entry(loaded: Loaded, rule: Rule | Correlation, hits: Hits) -> dict[str, Any]:
    """Return what a list says of a rule."""
    alerts, observed = hits.get(rule.id, (0, 0))
    return {
        "id": rule.id, **titles_of(rule), "file": Path(rule.path).name, "level": rule.level,
        "status": rule.status, "tags": list(rule.tags), "mode": loaded.modes.get(rule.id, ALERT),
        "silent": rule in loaded.rules.silent, "pack": loaded.of_pack.get(rule.id, ""),
        "pack_name": _pack_name(loaded, rule), "kind": "correlation" if isinstance(rule, Correlation) else "rule",
        "logsource": _log_source(rule), "alerts": alerts, "observed": observed,
    }  # fmt: skip


def shown(loaded: Loaded, rule: Rule | Correlation, hits: Hits) -> dict[str, Any]:
    """Return all that there is to say of a rule: also its text, its vectors and its exceptions."""
    path = Path(rule.path)
    tests = Path(vector_path(rule.path))
    mode = loaded.revision.book.modes.get(rule.id)
    return {
        **entry(loaded, rule, hits),
        "description": rule.description, "description_vi": rule.extra.get("description_vi"), "author": rule.author,
        "references": list(rule.references), "falsepositives": list(rule.falsepositives), "extra": rule.extra,
        "fields": [
            {"name": name, "keys": list(keys)}
            for keys, name in {on.keys: on.name for base in base_rules([rule]) for on in looked_for(base)}.items()
        ],
        "parts": [
            {"id": part.rule.id, **titles_of(part.rule)}
            for part in (rule.parts if isinstance(rule, Correlation) else ())
        ],
        "path": str(path), "text": path.read_text("utf-8-sig"),
        "tests": tests.read_text("utf-8-sig") if tests.is_file() else None,
        "set_by": mode.model_dump() if mode else None,
        "exceptions": [
            each.model_dump() for each in loaded.revision.book.exceptions.values()
            if rule.id in each.rules or "any" in each.rules
        ],
    }  # fmt: skip


def titles_of(rule: Rule | Correlation) -> dict[str, Any]:
    """Return what a rule is called, in each language."""
    return {"title": rule.title, "title_vi": rule.extra.get("title_vi")}


def _log_source(rule: Rule | Correlation) -> dict[str, str]:
    """Return the log source; of a correlation the one of the rules that it refers to, where they have the same."""
    found = [base.logsource for base in base_rules([rule])]
    return found[0] if found and all(each == found[0] for each in found) else {}


def _pack_name(loaded: Loaded, rule: Rule | Correlation) -> str:
    """Return the pack's name, or the last part of the folder's."""
    pack = loaded.of_pack.get(rule.id, "")
    return Path(pack).name if pack.startswith("/") else pack


def _words(rule: Rule | Correlation) -> str:
    return " ".join((rule.id, rule.title, str(rule.extra.get("title_vi", "")), *rule.tags)).casefold()
