"""Whether a regular expression can take exponential time in a backtracking matcher.

A pattern enters, a yes or no leaves. It is "yes" when a repeated part reads one text in two ways
(`(a+)+`, `(a|a)*`, `(\\w|\\d)*`), the criterion EDA of Weber & Seidl, "On the degree of ambiguity
of finite automata" (1991): in the product of the position automaton (Glushkov 1961) with itself, a
pair (q, q) lies on a cycle with a pair (p, p'). Character classes are compared over a sample of
characters; look-around is checked by itself; counted repeats of up to `FEW` are taken as one.
Expressions without nested repeats are never exponential and are not examined.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

FEW = 7  # repeats taken as one; 7 nested in 7 are still fewer than a million ways
MAX_STEPS = 1_000_000  # of the product, about a second; beyond that the answer is yes
_SAMPLE = [*map(chr, range(128)), "\xa0", "é", "đ", "ế", "\u2003", "中"]

_Part = tuple[bool, frozenset[int], frozenset[int]]  # may be empty, first and last positions
_EMPTY: _Part = (True, frozenset(), frozenset())


def ambiguous_repeat(pattern: str, flags: re.RegexFlag = re.NOFLAG) -> bool:
    """True when matching `pattern` (valid for `re`) can take exponential time."""
    tree = parser.parse(pattern, flags)
    return _nests(tree, inside=False) and _Automaton(tree.state.flags).is_ambiguous(tree)


def _nests(tree: Any, *, inside: bool) -> bool:
    """Whether a repeated part holds a choice: another repeat, or alternatives."""
    for code, argument in tree:
        if inside and (code in _REPEATS or code is codes.BRANCH):
            return True
        loops = inside or (code in _REPEATS and argument[1] > FEW)
        if any(_nests(child, inside=loops) for child in _children(code, argument)):
            return True
    return False


def _children(code: Any, argument: Any) -> list[Any]:
    if code in _REPEATS:
        return [argument[2]]
    if code is codes.SUBPATTERN:
        return [argument[3]]
    if code is codes.BRANCH:
        return list(argument[1])
    if code in (codes.ASSERT, codes.ASSERT_NOT):
        return [argument[1]]
    if code is codes.ATOMIC_GROUP:
        return [argument]
    if code is codes.GROUPREF_EXISTS:
        return [child for child in argument[1:] if child is not None]
    return []


class _Automaton:
    """Positions, the characters each accepts, and how often each may follow another."""

    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.accepts: list[frozenset[str]] = []
        self.follow: dict[tuple[int, int], int] = defaultdict(int)
        self.apart: list[Any] = []  # bodies of look-around, checked by themselves

    def is_ambiguous(self, tree: Any) -> bool:
        self.sequence(tree)
        if any(_Automaton(self.flags).is_ambiguous(body) for body in self.apart):
            return True
        after: dict[int, list[int]] = defaultdict(list)
        for before, behind in self.follow:
            after[before].append(behind)
        component = _components({(p, p): [(q, q) for q in after[p]] for p in range(len(self.accepts))})
        for (p, q), ways in self.follow.items():
            if ways > 1 and component[(p, p)] == component[(q, q)]:
                return True
        return self._diverges(after)

    def _diverges(self, after: dict[int, list[int]]) -> bool:
        graph: dict[tuple[int, int], list[tuple[int, int]]] = {}
        waiting = [(position, position) for position in range(len(self.accepts))]
        steps = 0
        while waiting:
            pair = waiting.pop()
            if pair in graph:
                continue
            steps += 1 + len(after[pair[0]]) * len(after[pair[1]])
            if steps > MAX_STEPS:
                return True
            graph[pair] = [
                (p, q) for p in after[pair[0]] for q in after[pair[1]] if p == q or self.accepts[p] & self.accepts[q]
            ]
            waiting.extend(graph[pair])
        component = _components(graph)
        equal = {component[pair] for pair in graph if pair[0] == pair[1]}
        return any(component[pair] in equal for pair in graph if pair[0] != pair[1])

    def sequence(self, tree: Any) -> _Part:
        whole = _EMPTY
        for code, argument in tree:
            part = self.item(code, argument)
            self.link(whole[2], part[1])
            whole = (
                whole[0] and part[0],
                whole[1] | part[1] if whole[0] else whole[1],
                whole[2] | part[2] if part[0] else part[2],
            )
        return whole

    def item(self, code: Any, argument: Any) -> _Part:
        if code in _REPEATS:
            least, most, body = argument
            empty, first, last = self.sequence(body)
            if most > FEW:
                self.link(last, first)
            return empty or least == 0, first, last
        if code in (codes.ASSERT, codes.ASSERT_NOT):
            self.apart.append(argument[1])
            return _EMPTY
        if code is codes.AT:
            return _EMPTY
        if code is codes.BRANCH:
            return _either([self.sequence(branch) for branch in argument[1]])
        if code is codes.GROUPREF_EXISTS:
            return _either([self.sequence(branch) for branch in _children(code, argument)] + [_EMPTY])
        if code is codes.SUBPATTERN:
            self.flags |= argument[1]  # taken for the rest too: at worst more looks ambiguous
        if children := _children(code, argument):
            return self.sequence(children[0])
        position = len(self.accepts)
        self.accepts.append(_characters(code, argument, self.flags))
        return code is codes.GROUPREF, frozenset({position}), frozenset({position})

    def link(self, before: Iterable[int], behind: Iterable[int]) -> None:
        for p in before:
            for q in behind:
                self.follow[p, q] += 1


def _either(parts: list[_Part]) -> _Part:
    return (
        any(part[0] for part in parts),
        frozenset().union(*(part[1] for part in parts)),
        frozenset().union(*(part[2] for part in parts)),
    )


def _characters(code: Any, argument: Any, flags: int) -> frozenset[str]:
    """The characters of the sample (and the literal itself) that one position accepts."""
    if code is codes.LITERAL:
        one = chr(argument)
        return frozenset({one.lower(), one.upper()} if flags & re.IGNORECASE else {one})
    if code is codes.IN:
        return frozenset().union(*_class(argument, flags))
    if code is codes.NOT_LITERAL:
        return frozenset(_SAMPLE) - {chr(argument)}
    return frozenset(_SAMPLE)  # any character, or a reference to a group


def _class(items: Any, flags: int) -> list[frozenset[str]]:
    found: list[frozenset[str]] = []
    negated = False
    for code, argument in items:
        if code is codes.NEGATE:
            negated = True
        elif code is codes.RANGE:
            low, high = argument
            found.append(frozenset(one for one in _SAMPLE if low <= ord(one) <= high))
            found.append(frozenset({chr(low), chr(high)}))
        elif code is codes.CATEGORY:
            found.append(frozenset(filter(_CATEGORIES[str(argument)].match, _SAMPLE)))
        else:
            found.append(_characters(code, argument, flags))
    if flags & re.IGNORECASE:
        found = [frozenset(c for one in chars for c in (one.lower(), one.upper())) for chars in found]
    if negated:
        return [frozenset(_SAMPLE).difference(*found)]
    return found


def _components(graph: dict[tuple[int, int], list[tuple[int, int]]]) -> dict[tuple[int, int], int]:
    """Strongly connected components (Kosaraju): node to the number of its component."""
    order: list[tuple[int, int]] = []
    seen: set[tuple[int, int]] = set()
    for root, first in graph.items():
        stack = [(root, iter(first))] if root not in seen else []
        seen.add(root)
        while stack:
            node, rest = stack[-1]
            for successor in rest:
                if successor not in seen:
                    seen.add(successor)
                    stack.append((successor, iter(graph[successor])))
                    break
            else:
                order.append(node)
                stack.pop()
    backward: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for node, successors in graph.items():
        for successor in successors:
            backward[successor].append(node)
    component: dict[tuple[int, int], int] = {}
    for number, root in enumerate(reversed(order)):
        waiting = [root]
        while waiting:
            node = waiting.pop()
            if node not in component:
                component[node] = number
                waiting.extend(backward[node])
    return component


_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT)
_CATEGORIES = {
    f"CATEGORY_{name}": re.compile(source)
    for name, source in {
        "DIGIT": r"\d",
        "NOT_DIGIT": r"\D",
        "SPACE": r"\s",
        "NOT_SPACE": r"\S",
        "WORD": r"\w",
        "NOT_WORD": r"\W",
    }.items()
}
