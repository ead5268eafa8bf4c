"""The part of Go's templates, with Helm's functions, that our chart uses: templates and values enter, text leaves.

For machines without `helm`; where it is there, the chart's tests hold this to it. What it does not know is an error.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

_ACTION = re.compile(r"\{\{(-?)\s*(/\*.*?\*/|.*?)\s*(-?)\}\}", re.DOTALL)
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|:=|[()|=,]|\$?[\w]*(?:\.\w+)+|\$\w*|\.|-?\d+|\w+)')
_Scope = dict[str, Any]


class Templates:
    """Named templates (`define`) and files, rendered with the same values."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values
        self._named: dict[str, list[Any]] = {}
        self._functions: dict[str, Callable[..., Any]] = {
            "include": lambda name, dot: self._run(self._named[name], dot, {"$": dot}),
            "toYaml": lambda value: yaml.safe_dump(value, sort_keys=True).rstrip("\n"),
            "nindent": lambda count, text: "\n" + "\n".join(f"{' ' * count}{line}" for line in text.split("\n")),
            "quote": lambda value: '"{}"'.format(str(value).replace("\\", "\\\\").replace('"', '\\"')),
            "default": lambda other, value: value or other,
            "eq": lambda one, other: one == other,
            "not": lambda value: not value,
            "list": lambda *values: list(values),
            "dict": lambda *pairs: dict(zip(pairs[::2], pairs[1::2], strict=True)),
        }

    def render(self, text: str) -> str:
        """Return the text that a file becomes; the templates that it defines are there for others."""
        return self._run(_parse(text), self._values, {"$": self._values})

    def _run(self, nodes: list[Any], dot: Any, scope: _Scope) -> str:
        return "".join(self._node(node, dot, scope) for node in nodes)

    def _node(self, node: Any, dot: Any, scope: _Scope) -> str:
        if isinstance(node, str):
            return node
        words, body, other = node
        match words[0]:
            case "define":
                self._named[words[1].strip('"')] = body
                return ""
            case "if":
                chosen = body if self._value(words[1:], dot, scope) else other
                return self._run(chosen, dot, scope)
            case "with":
                value = self._value(words[1:], dot, scope)
                return self._run(body, value, scope) if value else self._run(other, dot, scope)
            case "range":
                return "".join(self._run(body, each, inner) for each, inner in self._each(words[1:], dot, scope))
            case name if len(words) > 1 and words[1] in (":=", "="):
                scope[name] = self._value(words[2:], dot, scope)
                return ""
        value = self._value(words, dot, scope)
        return ("true" if value else "false") if isinstance(value, bool) else str(value)

    def _each(self, words: list[str], dot: Any, scope: _Scope) -> Iterator[tuple[Any, _Scope]]:
        names: list[str] = []
        if ":=" in words:
            names = [word for word in words[: words.index(":=")] if word != ","]
            words = words[words.index(":=") + 1 :]
        value = self._value(words, dot, scope)
        pairs = sorted(value.items()) if isinstance(value, dict) else enumerate(value or [])
        for key, each in pairs:
            yield each, {**scope, **dict(zip(names, (key, each), strict=bool(names)))} if names else {**scope}

    def _value(self, words: list[str], dot: Any, scope: _Scope) -> Any:
        found: list[Any] = []
        for command in _split(words):
            found = [self._call(command, dot, scope, found)]
        return found[0]

    def _call(self, words: list[str], dot: Any, scope: _Scope, last: list[Any]) -> Any:
        values = list(self._operands(words[1:], dot, scope))
        if words[0] in self._functions:
            return self._functions[words[0]](*values, *last)
        (value,) = self._operands(words, dot, scope)
        return value

    def _operands(self, words: list[str], dot: Any, scope: _Scope) -> Iterator[Any]:
        at = 0
        while at < len(words):
            if words[at] == "(":
                end = _closing(words, at)
                yield self._value(words[at + 1 : end], dot, scope)
                at = end
            else:
                yield _operand(words[at], dot, scope)
            at += 1


def _operand(word: str, dot: Any, scope: _Scope) -> Any:
    if word.startswith('"'):
        return yaml.safe_load(word)
    if re.fullmatch(r"-?\d+", word):
        return int(word)
    if word in ("true", "false"):
        return word == "true"
    start, *path = word.split(".")
    value = scope[start] if start else dot
    for name in path:
        if name:
            value = value.get(name)
    return value


def _parse(text: str) -> list[Any]:
    """Return nodes: text, or (words, body, what is after `else`)."""
    stack: list[tuple[list[Any], list[Any]]] = [([], [])]
    opened: list[list[str]] = []
    at, trim = 0, False
    for found in _ACTION.finditer(text):
        before = text[at : found.start()]
        before = before.lstrip() if trim else before
        stack[-1][0].append(before.rstrip() if found[1] else before)
        at, trim = found.end(), bool(found[3])
        words = [] if found[2].startswith("/*") else _words(found[2])
        if not words:
            continue
        if words[0] in ("if", "with", "range", "define"):
            opened.append(words)
            stack.append(([], []))
        elif words == ["else"]:
            body, _ = stack.pop()
            stack.append(([], [body]))
        elif words == ["end"]:
            last, earlier = stack.pop()
            body, other = (earlier[0], last) if earlier else (last, [])
            stack[-1][0].append((opened.pop(), body, other))
        else:
            stack[-1][0].append((words, [], []))
    assert not opened, f"not ended: {opened}"
    stack[-1][0].append(text[at:].lstrip() if trim else text[at:])
    return stack[0][0]


def _words(text: str) -> list[str]:
    words = _TOKEN.findall(text)
    assert "".join(words) == re.sub(r'\s+(?=(?:[^"]*"[^"]*")*[^"]*$)', "", text), f"not understood: {text}"
    return words


def _split(words: list[str]) -> Iterator[list[str]]:
    command: list[str] = []
    depth = 0
    for word in words:
        depth += (word == "(") - (word == ")")
        if word == "|" and not depth:
            yield command
            command = []
        else:
            command.append(word)
    yield command


def _closing(words: list[str], at: int) -> int:
    depth = 0
    for place in range(at, len(words)):
        depth += (words[place] == "(") - (words[place] == ")")
        if not depth:
            return place
    raise AssertionError(f"not closed: {words}")
