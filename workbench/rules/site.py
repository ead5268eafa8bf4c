"""What every subcommand works on, and what it says of a change."""

from dataclasses import asdict, dataclass

from sqlalchemy import Engine

from detectors.rulebook.changes import Rulebook
from detectors.rulebook.preview import AnyRule
from detectors.rulebook.revisions import Revision
from detectors.sigma.rule import Refused
from pipeline.command import show
from pipeline.messages import language, said, say
from pipeline.settings import Settings


@dataclass(frozen=True, slots=True)
class OnSite:
    """A site and its rulebook."""

    settings: Settings
    engine: Engine
    rulebook: Rulebook

    def confirm(self, revision: Revision, as_json: bool = False) -> int:
        """Say whether the detectors use a revision; 1 where they took it back."""
        done = self.rulebook.confirm(revision)
        if as_json:
            show.json_line({"revision": revision.number, **asdict(done)})
            return 1 if done.failed or done.late else 0
        if done.failed:
            show.line(say("command.rules.failed", revision=revision.number, reason=done.failed))
            return 1
        if done.late:
            show.line(say("command.rules.late", revision=revision.number, seconds=done.seconds))
            return 1
        key = "command.rules.confirmed" if done.copies else "command.rules.nobody"
        show.line(say(key, revision=revision.number, copies=done.copies, seconds=done.seconds))
        return 0


def refusal(refused: Refused) -> str:
    """Return where something was refused, which rule if it was one, and why."""
    return ": ".join(filter(None, (refused.place, refused.rule, said(refused.reason))))


def title_of(rule: AnyRule) -> str:
    """Return a rule's title in the language that is spoken, where it has one."""
    return str((language() == "vi" and rule.extra.get("title_vi")) or rule.title)
