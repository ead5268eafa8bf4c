"""What a rule says of itself, a rule ready for use, and a rule that was refused."""

from dataclasses import dataclass, field

from detectors.sigma.logsource import Route, origin
from detectors.sigma.nodes import Match, Node
from detectors.sigma.view import Event, View

LEVELS = ("informational", "low", "medium", "high", "critical")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class About:
    """What every rule says of itself; equal to itself only, so that it can be a key.

    `extra` holds the keys that Sigma does not know (such as `title_vi`).
    """

    id: str
    title: str
    level: str
    status: str
    description: str
    tags: tuple[str, ...]
    references: tuple[str, ...]
    falsepositives: tuple[str, ...]
    author: str
    path: str
    name: str = ""
    extra: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Rule(About):
    """A compiled Sigma rule.

    `logsource` holds product, category and service as far as the rule gives them; `node` and `route` are its compiled
    detection and log source.
    """

    logsource: dict[str, str]
    node: Node = field(repr=False)
    route: Route = field(repr=False)

    def applies(self, event: Event) -> bool:
        """Whether the event comes from the rule's log source."""
        return self.route.holds(origin(event))

    def matches(self, event: Event) -> bool:
        """Whether the event comes from the log source and satisfies the detection."""
        return self.applies(event) and self.node.test(View(event))

    def explain(self, event: Event) -> list[Match]:
        """The reasons why the rule matches, at least one; empty when it does not.

        A rule that matches only by what is absent gives one reason without field and value.
        """
        view = View(event)
        if not self.applies(event) or not self.node.test(view):
            return []
        return list(dict.fromkeys(self.node.reasons(view))) or [Match("condition", "", "")]


@dataclass(frozen=True, slots=True)
class Refused:
    """A rule, filter or file that is not used. `rule` is its title or identifier, empty when unknown; `line` where what
    is wrong with it stands, else where its document begins, 0 when unknown.
    """

    path: str
    rule: str
    reason: str
    line: int = 0

    @property
    def place(self) -> str:
        """The file, and the line in it."""
        return f"{self.path}:{self.line}" if self.line else self.path
