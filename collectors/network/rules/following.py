"""Files of packet rules enter, the rules in use leave: loaded at the start, and whole anew when a file has changed."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from collectors.network.rules.ruleset import Loading, RuleSet, files_of, load
from pipeline.logs import log

#: How often the files are looked at, in seconds, and how many refusals health names.
LOOK_SECONDS, MAX_NAMED = 3.0, 20
_Print = list[tuple[str, int, int]]


class Following(threading.Thread):
    """Looks at the files in a thread of its own; who asks the rules takes the new ones when it has time."""

    def __init__(
        self,
        patterns: Sequence[Path],
        variables: Mapping[str, str],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        super().__init__(name="packet rules", daemon=True)
        self.stopping = threading.Event()
        #: Why the files that are there now could not be loaded at all.
        self.fault = ""
        self._patterns, self._variables = patterns, variables
        self._look_seconds = look_seconds
        self._seen: _Print | None = None
        self._fresh: RuleSet | None = None

    def taken(self) -> RuleSet | None:
        """Return rules that are newer than those that were taken last."""
        if self._fresh is None:
            return None
        fresh, self._fresh = self._fresh, None
        return fresh

    def look(self) -> None:
        """Load the rules where a file has changed; what cannot be loaded changes nothing."""
        seen = _print(files_of(self._patterns))
        if seen == self._seen:
            return
        try:
            loading = load(self._patterns, self._variables)
            rules = RuleSet(loading)
        except Exception as fault:  # one of ours; it must not cost the rules that are in use
            log("collectors").exception("packet_rules_failed", files=list(map(str, self._patterns)))
            self._seen, self.fault = seen, repr(fault)
            return
        self.fault = ""
        self._seen, self._fresh = seen, rules
        log("collectors").info("packet_rules", loaded=len(loading.rules), refused=len(loading.refused))

    def run(self) -> None:
        """Look until `stopping`."""
        while not self.stopping.wait(self._look_seconds):
            self.look()


def summary(loading: Loading) -> dict[str, Any]:
    """Return what health says of the rules."""
    return {
        "loaded": len(loading.rules), "refused": len(loading.refused),
        "reasons": dict(loading.reasons().most_common(MAX_NAMED)),
        "unread": [each.text for each in loading.refused if each.kind == "file"][:MAX_NAMED],
        "first": [each.text for each in loading.refused[:MAX_NAMED]],
    }  # fmt: skip


def _print(paths: Sequence[Path]) -> _Print:
    found = []
    for path in paths:
        try:
            state = path.stat()
        except OSError:
            found.append((str(path), 0, 0))
            continue
        found.append((str(path), state.st_mtime_ns, state.st_size))
    return found
