"""What a rulebook says: packs, modes, exceptions. Plain data; a change makes another book."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

#: What a rule does: raise alerts; be counted only; nothing.
ALERT: Final = "alert"
OBSERVE: Final = "observe"
OFF: Final = "off"
MODES: Final = (ALERT, OBSERVE, OFF)
ModeName = Literal["alert", "observe", "off"]
#: The pack of the rules that a site writes itself.
OWN = "own"
#: A pack of this name takes the place of the rules that came with the program.
SHIPPED = "haidang"
PACK_NAME: Final = r"[a-z0-9][a-z0-9._-]{0,49}"
PackName = Annotated[str, Field(pattern=f"^{PACK_NAME}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Pack(_Part):
    """Rule files that came together. `digest` names them (`revisions.contents`)."""

    digest: str
    version: str = ""
    source: str = ""  # where they came from, and updates come from: a folder, an archive, an https address
    licence: str = ""
    added: float  # seconds since 1970
    mode: ModeName = "alert"  # of rules that have none of their own
    key: str = ""  # name of the key that signed them; updates must be signed with it, too
    created: float = 0.0  # when they were signed; an update is never older
    every_hours: float = 0.0  # how often updates are looked for; 0: when somebody asks


class RuleMode(_Part):
    """What somebody decided about one rule."""

    mode: ModeName
    who: str
    reason: str = ""
    changed: float


class RuleException(_Part):
    """A Sigma filter: the rules that it names do not fire on the events that it says."""

    id: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{1,100}$")]  # it is written to the disk under this name
    rules: tuple[str, ...]
    text: str  # YAML
    author: str
    reason: str
    created: float
    expires: float | None = None  # seconds since 1970; None: never


class Book(_Part):
    """All of it."""

    packs: dict[PackName, Pack] = {}
    modes: dict[str, RuleMode] = {}  # by rule id
    exceptions: dict[str, RuleException] = {}
    keys: dict[str, str] = {}  # names and public Ed25519 keys (base64) of whom bundles are accepted

    def with_pack(self, name: str, pack: Pack | None) -> "Book":
        """Return a book with this pack, or without it."""
        packs = {**self.packs, name: pack} if pack else {key: each for key, each in self.packs.items() if key != name}
        return self.model_copy(update={"packs": packs})

    def with_modes(self, modes: dict[str, RuleMode | None]) -> "Book":
        """Return a book in which these rules have another mode; with None the one of their pack."""
        merged = {key: each for key, each in {**self.modes, **modes}.items() if each is not None}
        return self.model_copy(update={"modes": merged})

    def with_exception(self, exception: RuleException) -> "Book":
        """Return a book with this exception."""
        return self.model_copy(update={"exceptions": {**self.exceptions, exception.id: exception}})

    def without_exception(self, identifier: str) -> "Book":
        """Return a book without this exception."""
        kept = {key: each for key, each in self.exceptions.items() if key != identifier}
        return self.model_copy(update={"exceptions": kept})

    def in_force(self, now: float) -> list[RuleException]:
        """Return the exceptions that have not expired."""
        return [each for each in self.exceptions.values() if each.expires is None or each.expires > now]

    def next_expiry(self, now: float) -> float | None:
        """Return when the next exception expires."""
        return min((each.expires for each in self.in_force(now) if each.expires is not None), default=None)
