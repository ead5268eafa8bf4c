"""Rule files: a directory enters, YAML documents leave, each with its path; what cannot be read is
refused.

Scalars are read as YAML 1.2 with the exceptions Sigma needs: `0x3e7`, `010`, `12:30`, `yes` and
dates stay text.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.messages import Sentence

MAX_FILE = 1_048_576  # bytes; SigmaHQ's largest rule has about 30 KB
MAX_NESTING = 100  # levels; PyYAML's C loader would exhaust the stack, and the process with it
MAX_NODES = 100_000  # YAML nodes of a file with every alias written out
TESTS = ".test.yml"
SUFFIXES = (".yml", ".yaml")


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document of a rule file with the line where it begins, or the reason why the file gave none."""

    path: str
    content: Any = None
    error: str = ""
    line: int = 0


#: What a line begins with before its first value: blanks, and the marks of lists and keys.
_INDENT = re.compile(r"^[ \t?:-]*", re.MULTILINE)
_TEXT = "tag:yaml.org,2002:str"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A safe loader that refuses duplicate keys and alias bombs."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 -- PyYAML's own class attribute

    def __init__(self, text: str) -> None:
        super().__init__(text)
        # Without an anchor there is no alias, and a node takes two characters at least.
        self.has_anchors = "&" in text or len(text) > 2 * MAX_NODES

    def construct_document(self, node: yaml.Node) -> Any:
        if self.has_anchors:
            _written_out(node, {}, ())
        return super().construct_document(node)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag == _TEXT and isinstance(
            node, yaml.ScalarNode
        ):  # nine of ten nodes; the rest of the way says no more
            return node.value
        return super().construct_object(node, deep=deep)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} is there twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+", "-+0123456789"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(rf"(?:{_pattern})\Z"),
        [one if one != "\0" else "" for one in _first],
    )


def rule_files(directory: Path) -> list[Path]:
    """The rule files under a directory, or the file itself, in the order of their paths."""
    if directory.is_file():
        return [directory]
    return sorted(
        path
        for path in directory.rglob("*")
        if path.suffix in SUFFIXES and not path.name.endswith(TESTS) and path.is_file()
    )


def read_documents(path: Path) -> Iterator[Document]:
    """The YAML documents of a file; a broken file gives one document with an error."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE:
            yield Document(str(path), error=Sentence("sigma.file_too_large", size=size, most=MAX_FILE))
            return
        text = path.read_text(encoding="utf-8-sig")
        _refuse_deep_nesting(text)
        documents = list(_documents(str(path), text))
    except OSError as error:
        yield Document(str(path), error=Sentence("sigma.file_unreadable", why=str(error.strerror)))
    except UnicodeDecodeError as error:
        yield Document(str(path), error=Sentence("sigma.file_no_text", byte=error.start))
    except (yaml.YAMLError, ValueError) as error:
        why = " ".join(str(error).split())
        yield Document(str(path), error=Sentence("sigma.file_no_yaml", why=why))
    else:
        yield from documents


def line_of(path: str, line: int, at: Sequence[str]) -> int:
    """Return the line of a key in the detection of a file's document, which begins in `line`; `line` where there is no
    such key."""
    if not at:
        return line
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        (node,) = (each for each in yaml.compose_all(text, Loader=_Loader) if each.start_mark.line + 1 == line)
    except (OSError, ValueError, yaml.YAMLError):
        return line
    found = _key(node, "detection") or _key(node, "filter")
    for key in at:
        below = found and _key(found[1], key)
        if not below:
            break
        found = below
    return found[0].start_mark.line + 1 if found else line


def _key(node: yaml.Node, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Return a key with its value, of a list that of the first entry that has it."""
    if isinstance(node, yaml.SequenceNode):
        return next(filter(None, (_key(each, name) for each in node.value)), None)
    if not isinstance(node, yaml.MappingNode):
        return None
    return next(((key, value) for key, value in node.value if key.value == name), None)


def _documents(path: str, text: str) -> Iterator[Document]:
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            content = loader.construct_document(node)
            if content is not None:
                yield Document(path, content, line=node.start_mark.line + 1)
    finally:
        loader.dispose()


def _refuse_deep_nesting(text: str) -> None:
    if _is_flat(text):
        return
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_NESTING:
                raise yaml.YAMLError(f"it is nested too deeply, more than {MAX_NESTING} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _is_flat(text: str) -> bool:
    """Whether a glance shows that a text cannot be nested too deeply.

    A level of nesting has a bracket, or a column further right than the level above (a list may share its column).
    """
    brackets = text.count("[") + text.count("{")
    column = max((found.end() - found.start() for found in _INDENT.finditer(text)), default=0)
    return brackets + 2 * (column + 1) <= MAX_NESTING


def _written_out(node: yaml.Node, known: dict[int, int], above: tuple[int, ...]) -> int:
    """How many nodes there are when every alias is written out; raises above `MAX_NODES`."""
    if id(node) in above:
        raise yaml.YAMLError("an alias contains itself")
    if id(node) not in known:
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        inside = (*above, id(node))
        known[id(node)] = 1 + sum(_written_out(child, known, inside) for child in children)
    if known[id(node)] > MAX_NODES:
        raise yaml.YAMLError(f"more than {MAX_NODES} nodes once the aliases are written out")
    return known[id(node)]
