"""A rule ready for use, and a rule that was refused."""

from dataclasses import dataclass, field

from detectors.sigma.logsource import Route, origin
from detectors.sigma.nodes import Match, Node
from detectors.sigma.view import Event, View

LEVELS = ("informational", "low", "medium", "high", "critical")


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A compiled Sigma rule; equal to itself only, so that it can be a key.

    `logsource` holds product, category and service as far as the rule gives them; `extra` the keys
    that Sigma does not know (such as `title_vi`). `node` and `route` are its compiled detection and
    log source.
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
    logsource: dict[str, str]
    name: str = ""
    extra: dict[str, object] = field(default_factory=dict)
    node: Node = field(repr=False, kw_only=True)
    route: Route = field(repr=False, kw_only=True)

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
    """A rule, filter or file that is not used. `rule` is its title or identifier, empty when
    unknown.
    """

    path: str
    rule: str
    reason: str
