"""Rules about doors, and their vectors, as text."""


def rule(number: int, title: str, value: str, extra: str = "") -> str:
    """A rule's text."""
    return (
        f"title: {title}\nid: 00000000-0000-4000-8000-{number:012d}\n{extra}"
        f"logsource: {{product: door}}\ndetection: {{selection: {{event.action: {value}}}, condition: selection}}\n"
    )


def vectors(hit: str, miss: str) -> str:
    """A rule's vectors."""
    event = "{{event.dataset: door, event.action: {}}}"
    return f"hits: [{event.format(hit)}]\nmisses: [{event.format(miss)}]\n"
