"""A fault of Python's TOML parser enters, the same as a sentence that people may hear in their own language leaves."""

import re

from pipeline.messages import Sentence

_PLACE = re.compile(r"(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL)
#: What `tomllib` says, and our sentence; a group is the value that it names.
_FAULTS = tuple(
    (re.compile(said, re.DOTALL), key)
    for said, key in (
        (r"Invalid statement", "statement"),
        (r"Expected newline or end of document after a statement", "after_statement"),
        (r"Expected '=' after a key in a key/value pair", "equals"),
        (r"Expected (?P<value>'\]+') at the end of .*", "expected"),
        (r"Expected (?P<value>.+)", "expected"),
        (r"Cannot declare \((?P<value>.+?),?\) twice", "twice"),
        (r"Cannot overwrite a value", "overwrite"),
        (r"Duplicate inline table key (?P<value>.+)", "twice"),
        (r"Cannot (?:mutate immutable|redefine) namespace (?P<value>.+)", "namespace"),
        (r"Invalid initial character for a key part", "key"),
        (r"Unclosed array", "array"),
        (r"Unclosed inline table", "table"),
        (r"Unescaped '\\' in a string", "backslash"),
        (r"Invalid hex value|Escaped character is not a Unicode scalar value", "escape"),
        (r"Unterminated string", "string"),
        (r"Illegal character '\\n'", "string"),
        (r"Illegal character (?P<value>.+)", "character"),
        (r"Invalid date or datetime", "date"),
        (r"Invalid value", "value"),
    )
)


def toml_fault(error: Exception) -> Sentence:
    """Return what is wrong with a text, and where."""
    found = _PLACE.fullmatch(str(error))
    if found is None:
        return Sentence("toml.other", what=str(error))
    what: str = found["what"]
    for pattern, key in _FAULTS:
        if (fits := pattern.fullmatch(what)) is not None:
            what = Sentence(f"toml.{key}", **fits.groupdict())
            break
    if found["line"] is None:
        return Sentence("toml.at_end", what=what)
    return Sentence("toml.at", what=what, line=found["line"], column=found["column"])
