"""Any parsed value in, its JSON text out: for what is kept whole inside one field."""

import json

import orjson

TOO_DEEP = "(nested too deep to be written as JSON)"


def to_json(value: object) -> str:
    """Never raises: what JSON lacks is written as its text, what is too deep by a remark."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError):  # integers above 64 bits, lone surrogates, deep nesting
        return _slowly(value)


def _slowly(value: object) -> str:
    try:
        return json.dumps(value, default=str, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return TOO_DEEP
