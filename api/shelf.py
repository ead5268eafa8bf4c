"""The revision in force, loaded once for all: a request enters, the rulebook as the one who asks changes it leaves.

Loading thousands of rules takes seconds and all of a processor, so it happens once for a revision, and on the threads
of searches.
"""

import threading

from fastapi import Request

from api.access import address_of
from collectors.decoders.pasted import decode_pasted
from detectors.rulebook import revisions
from detectors.rulebook.changes import Rulebook
from detectors.rulebook.loading import Loaded, load
from detectors.sigma.ruleset import Library
from pipeline.identity.users import User


class Shelf:
    """The revision in force, loaded; one for each application."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: Loaded | None = None
        self.library = Library()

    def loaded(self, request: Request) -> Loaded:
        """Return it, loaded anew where it is another one than the last time."""
        state = request.app.state
        with self._lock:
            revision = revisions.current(state.engine)
            if self._loaded is None or self._loaded.revision.number != revision.number:
                self._loaded = load(state.engine, state.settings, revision, self.library)
            return self._loaded


def loaded_of(request: Request) -> Loaded:
    """Return the revision in force."""
    shelf: Shelf = request.app.state.shelf
    return shelf.loaded(request)


def rulebook_of(request: Request, user: User, until: float | None = None) -> Rulebook:
    """Return the rulebook as this user changes it; vectors are tried no longer than `until` (monotonic clock)."""
    state = request.app.state
    return Rulebook(
        state.engine, state.settings, user.name, address_of(request), loaded_of(request), state.shelf.library,
        decode_pasted, until,
    )  # fmt: skip
