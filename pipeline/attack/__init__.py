"""Techniques of MITRE ATT&CK: a code as `T1110.003` enters, what it is called leaves, in the language that is spoken.

The names in English are MITRE's (© The MITRE Corporation; attack.mitre.org, terms of use: reproduced with permission),
those in Vietnamese ours. `techniques.json` has all techniques that public rules name, and the sub-techniques that ours
name; of another sub-technique its technique is told.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pipeline.messages import language


def called(code: str) -> str:
    """Return a technique's name; "" of one that is not known."""
    known = names(language())
    return known.get(code) or known.get(code.partition(".")[0], "")


@cache
def names(spoken: str) -> Mapping[str, str]:
    """Return all names in a language by their codes."""
    told: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("techniques.json").read_text("utf-8"))
    return {code: each[spoken] for code, each in told.items()}
