"""What people do with the rulebook: a change enters, is looked at and tried, and leaves as a new revision or not."""

import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import Engine

from detectors.rulebook import arrivals, bundle, checks, revisions, standing, vectors
from detectors.rulebook.arrivals import Arrived
from detectors.rulebook.book import OWN, PACK_NAME, Book, ModeName, Pack, RuleException, RuleMode
from detectors.rulebook.checks import Finding
from detectors.rulebook.loading import Loaded, load, load_book, place_of, rule_folders, written_to
from detectors.rulebook.preview import AnyRule, Preview, compared
from detectors.rulebook.revisions import Files, Revision, digest_of
from detectors.rulebook.testing import Tested, tested
from detectors.rulebook.vectors import ReadLine
from detectors.sigma import Correlation, RuleSet
from detectors.sigma.documents import SUFFIXES, TESTS, rule_files
from detectors.sigma.ruleset import Library
from pipeline.messages import HaidangError, Sentence, said
from pipeline.settings import Settings

#: How long a change waits for the detectors to use it, in seconds.
_CONFIRM_SECONDS = 30.0
_LOOK_SECONDS = 0.1
_DAY_SECONDS = 86_400
#: How far ahead the end of an exception may lie, in seconds: later dates do not fit into every clock.
_LONGEST_EXCEPTION = 36_500 * _DAY_SECONDS
_FILE_NAME = re.compile(r"[\w.-]{1,100}\.ya?ml")


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What became of a revision: `failed` says why it was taken back; `seconds` until all detectors used it.

    Without detectors that run there is nobody to use it: `copies` is 0, and it holds from their next start.
    """

    copies: int
    seconds: float
    failed: str = ""
    late: bool = False


class Rulebook:
    """The rulebook of a site, as one person changes it."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        who: str,
        address: str = "command",
        loaded: Loaded | None = None,
        library: Library | None = None,
        read_line: ReadLine | None = None,
        until: float | None = None,
    ) -> None:
        """`loaded` is the revision in force, where somebody has it ready; so has `library` what was compiled before.

        `read_line` decodes the lines of vectors; `until` is when their trial is given up, by the monotonic clock.
        """
        self._engine = engine
        self._settings = settings
        self._who = (who, address)
        self._loaded = loaded
        self._library = library if library is not None else Library()
        self._read_line = read_line
        self._until = until

    @property
    def loaded(self) -> Loaded:
        """The revision that was in force when it was first asked for, or after the last change."""
        if self._loaded is None:
            self._loaded = load(self._engine, self._settings, library=self._library)
        return self._loaded

    @property
    def revision(self) -> Revision:
        """The revision that changes start from."""
        return self.loaded.revision

    def find(self, name: str) -> AnyRule:
        """Return the rule with this id, title (in either language) or file name.

        Raises:
            HaidangError: there is none, or several.
        """
        wanted = name.casefold()
        every = self.loaded.every
        fits: list[Callable[[AnyRule], bool]] = [
            lambda rule: rule.id == wanted,
            lambda rule: wanted in (rule.title.casefold(), str(rule.extra.get("title_vi", "")).casefold()),
            lambda rule: name in (Path(rule.path).stem, Path(rule.path).name),
            lambda rule: len(wanted) >= 6 and rule.id.startswith(wanted),
        ]
        for fit in fits:
            found = [rule for rule in every if fit(rule)]
            if len(found) == 1:
                return found[0]
            if found:
                raise HaidangError("rulebook.several", name=name, ids=", ".join(rule.id for rule in found[:5]))
        raise HaidangError("rulebook.no_rule", name=name)

    def set_mode(self, names: Iterable[str], mode: ModeName | None, reason: str) -> Revision:
        """Give rules a mode of their own, or with None the one of their pack."""
        rules = [self.find(name) for name in names]
        made = None if mode is None else RuleMode(mode=mode, who=self._who[0], reason=reason, changed=time.time())
        book = self.revision.book.with_modes({rule.id: made for rule in rules})
        detail = {"rules": {rule.id: rule.title for rule in rules}, "reason": reason}
        return self._change(mode or "default", book, detail)

    def add_exception(self, text: str, reason: str, expires: float | None) -> RuleException:
        """Add a Sigma filter; its rules do not fire on what it says until it expires.

        Raises:
            HaidangError: it is no filter that fits rules of this site.
        """
        if not reason.strip():
            raise HaidangError("rulebook.no_reason")
        if expires is not None and not 0 < expires - time.time() < _LONGEST_EXCEPTION:
            raise HaidangError("rulebook.expired", days=f"{_LONGEST_EXCEPTION // _DAY_SECONDS:,}")
        exception = RuleException(
            id=str(uuid.uuid4()), rules=(), text=text, author=self._who[0], reason=reason, created=time.time(),
            expires=expires,
        )  # fmt: skip
        preview = self._preview(self.revision.book.with_exception(exception), {})
        name = f"{exception.id}.yml"
        for refused in preview.after.rules.refused:
            if refused.path.endswith(name):
                raise HaidangError("rulebook.bad_exception", reason=refused.reason)
        for warned in preview.after.rules.warnings:
            if warned.path.endswith(name):
                raise HaidangError("rulebook.bad_exception", reason=warned.text)
        found = yaml.safe_load(text)["filter"].get("rules")
        exception = exception.model_copy(update={"rules": tuple(found) if isinstance(found, list) else (str(found),)})
        book = self.revision.book.with_exception(exception)
        self._change("except", book, {"exception": exception.model_dump()})
        return exception

    def exception_text(self, rule: AnyRule, where: Mapping[str, str], reason: str) -> str:
        """Return a Sigma filter: the rule does not fire where all these fields have these values.

        Raises:
            HaidangError: a correlation has no events of its own to leave out.
        """
        if isinstance(rule, Correlation):
            parts = ", ".join(part.rule.title for part in rule.parts)
            raise HaidangError("rulebook.except_parts", rule=rule.title, parts=parts)
        document = {
            "title": f"{rule.title}: {reason}"[:250],
            "logsource": dict(rule.logsource),
            "filter": {"rules": [rule.id], "exception": dict(where), "condition": "not exception"},
        }
        return yaml.safe_dump(document, allow_unicode=True, sort_keys=False)

    def remove_exception(self, identifier: str) -> Revision:
        """Remove an exception.

        Raises:
            HaidangError: there is none.
        """
        known = self.revision.book.exceptions
        full = [each for each in known if each == identifier or (len(identifier) >= 6 and each.startswith(identifier))]
        if len(full) != 1:
            raise HaidangError("rulebook.no_exception", id=identifier)
        made = self.revision.book.without_exception(full[0])
        return self._change("unexcept", made, {"exception": known[full[0]].model_dump()})

    def check(self, files: Files) -> list[Finding]:
        """Look at rule files beside the rules that are there, but for these same files, and our own of their names.

        Raises:
            HaidangError: a name that is none of a file: what somebody sends must name no place of this machine.
        """
        for name in files:
            if not _FILE_NAME.fullmatch(name):
                raise HaidangError("rulebook.bad_name", name=name[:200])
        taken = {
            rule.id: rule.title for rule in self.loaded.every
            if Path(rule.path).name not in files
            or (self.loaded.of_pack.get(rule.id) != OWN and not _holds(Path(rule.path), files[Path(rule.path).name]))
        }  # fmt: skip
        return checks.check(files, taken, self._read_line)

    def test(self, names: Iterable[str] = ()) -> Tested:
        """Try the vectors of these rules, or of all rules in the rulebook."""
        loaded = self.loaded
        wanted = {self.find(name).path for name in names}
        rules = RuleSet.load(*loaded.folders, library=self._library)  # without exceptions: those are no fault of a rule
        rules.refused = tuple(each for each in rules.refused if not wanted or each.path in wanted)
        paths = [str(path) for folder in loaded.folders for path in rule_files(folder)]
        return tested(rules, [path for path in paths if not wanted or path in wanted], self._read_line, self._until)

    def add(self, files: Files) -> tuple[Revision | None, list[Finding]]:
        """Add rules of our own, or change them: no revision where a finding is an error."""
        findings = self.check(files)
        if any(finding.severity == checks.ERROR for finding in findings):
            return None, findings
        before = self._own()
        rules = [name for name in files if not name.endswith(TESTS)]
        if not rules:
            raise HaidangError("rulebook.no_rules", source=", ".join(files))
        changed = {name: {"before": before.get(name, ""), "after": text} for name, text in files.items()}
        revision = self._with_own({**before, **files}, "add", {"files": changed})
        return revision, findings

    def remove(self, name: str) -> Revision:
        """Remove a rule of our own, with its vectors and with the other rules of its file.

        Raises:
            HaidangError: it is none of ours.
        """
        rule = self.find(name)
        if self.loaded.of_pack.get(rule.id) != OWN:
            raise HaidangError("rulebook.not_own", rule=rule.title, pack=self.loaded.of_pack.get(rule.id, ""))
        before = self._own()
        file = Path(rule.path).name
        gone = {file, vectors.vector_path(file)}
        kept = {key: text for key, text in before.items() if key not in gone}
        changed = {key: {"before": before[key], "after": ""} for key in gone & before.keys()}
        return self._with_own(kept, "remove", {"rules": {rule.id: rule.title}, "files": changed})

    def pack(
        self, place: str, name: str = "", *, version: str = "", licence: str = "", mode: ModeName | None = None,
        every_hours: float | None = None, force: bool = False,
    ) -> "Change":  # fmt: skip
        """Return the change that brings a pack in, or to another version; `make` it when its preview is right."""
        arrived = arrivals.from_place(place, name, self.revision.book.keys)
        return self.bring(
            arrived, version=version, licence=licence, mode=mode, every_hours=every_hours, force=force,
        )  # fmt: skip

    def uploaded(
        self, data: bytes, file: str, name: str = "", *, version: str = "", licence: str = "",
        mode: ModeName | None = None, force: bool = False,
    ) -> "Change":  # fmt: skip
        """Return the change that brings in a pack that somebody holds, by the name of its file.

        Where updates of the pack come from stays as it is.
        """
        arrived = arrivals.from_bytes(data, file, name, self.revision.book.keys)
        old = self.revision.book.packs.get(arrived.name)
        return self.bring(
            replace(arrived, source=old.source if old else ""), version=version, licence=licence, mode=mode, force=force
        )

    def source_of(self, name: str) -> str:
        """Return where a pack's updates come from.

        Raises:
            HaidangError: there is no such pack, or nothing to look at.
        """
        pack = self.revision.book.packs.get(name)
        if pack is None:
            raise HaidangError("rulebook.no_pack", name=name, known=", ".join(self.revision.book.packs))
        if not pack.source:
            raise HaidangError("rulebook.no_source", pack=name)
        return pack.source

    def bring(
        self, arrived: Arrived, *, version: str = "", licence: str = "", mode: ModeName | None = None,
        every_hours: float | None = None, force: bool = False,
    ) -> "Change":  # fmt: skip
        """Return the change that brings in a pack that was read.

        Raises:
            HaidangError: its name is none, or it must be signed with another key.
        """
        name, found, opened = arrived.name, arrived.found, arrived.opened
        if not re.fullmatch(PACK_NAME, name):
            raise HaidangError("rulebook.bad_pack_name", name=name)
        if name == OWN:
            raise HaidangError("rulebook.own_name", name=name)
        old = self.revision.book.packs.get(name)
        stops = []
        if old and old.key and (opened is None or opened.key != old.key):
            raise HaidangError("rulebook.must_be_signed", pack=name, signer=old.key)
        if old and opened and opened.manifest.created < old.created:
            stops.append(f"the bundle was signed before the one in use ({opened.manifest.version} after {old.version})")
        digest = digest_of(found.files)
        kept = old or Pack(digest=digest, added=time.time())
        pack = Pack(
            digest=digest,
            version=version or found.version or time.strftime("%Y-%m-%d"),
            source=arrived.source,
            licence=licence or found.licence or kept.licence,
            added=time.time(),
            mode=mode or kept.mode,
            key=opened.key if opened else "",
            created=opened.manifest.created if opened else 0.0,
            every_hours=kept.every_hours if every_hours is None else every_hours,
        )
        book = self.revision.book.with_pack(name, pack)
        detail = {
            "pack": name,
            "version": pack.version,
            "digest": digest[:12],
            "before": old.digest[:12] if old else "",
        }
        preview = self._preview(book, {digest: found.files}, found.left_out, stops)
        return Change(self, "update" if old else "import", book, {digest: found.files}, detail, preview, force)

    def remove_pack(self, name: str) -> Revision:
        """Remove a pack; the modes of its rules and its exceptions stay, for when it comes back.

        Raises:
            HaidangError: there is none.
        """
        if name not in self.revision.book.packs:
            raise HaidangError("rulebook.no_pack", name=name, known=", ".join(self.revision.book.packs))
        return self._change("remove_pack", self.revision.book.with_pack(name, None), {"pack": name})

    def trust(self, name: str, public: str) -> Revision:
        """Accept bundles that are signed with this key.

        Raises:
            HaidangError: it is no key, or its name is none or that of another key.
        """
        if not re.fullmatch(PACK_NAME, name):
            raise HaidangError("rulebook.bad_key_name", name=name)
        key = bundle.checked_public(public)
        known = self.revision.book.keys
        if known.get(name, key) != key:
            raise HaidangError("rulebook.key_taken", name=name, public=known[name])
        made = self.revision.book.model_copy(update={"keys": {**known, name: key}})
        return self._change("trust", made, {"key": name, "public": key})

    def distrust(self, name: str) -> Revision:
        """Accept no more bundles of this key; what is in use stays.

        Raises:
            HaidangError: there is none.
        """
        if name not in self.revision.book.keys:
            raise HaidangError("rulebook.no_key", name=name)
        keys = {key: value for key, value in self.revision.book.keys.items() if key != name}
        return self._change("distrust", self.revision.book.model_copy(update={"keys": keys}), {"key": name})

    def roll_back(self, number: int | None = None, *, force: bool = False) -> "Change":
        """Return the change back to an earlier revision; to the one before the present when none is named.

        Raises:
            HaidangError: it is not there, or the files of its packs are not.
        """
        if number is None:
            earlier = [each.number for each in revisions.history(self._engine) if not each.failed][1:2]
            number = earlier[0] if earlier else 0
        book = revisions.get(self._engine, number).book
        here = {pack.digest for pack in self.revision.book.packs.values()}
        wanted = {pack.digest for pack in book.packs.values()}
        contents = {digest: revisions.contents(self._engine, digest) for digest in wanted - here}
        return Change(self, "roll_back", book, contents, {"to": number}, self._preview(book, contents), force)

    def reload(self) -> Revision:
        """Read the site's folders again."""
        return self._change("reload", self.revision.book)

    def replace(self, book: Book, contents: Mapping[str, Files], detail: dict[str, Any], force: bool) -> "Change":
        """Return the change to another book altogether."""
        return Change(self, "restore", book, contents, detail, self._preview(book, contents), force)

    def contents(self) -> dict[str, Files]:
        """Return the files of all packs, by digest."""
        packs = self.revision.book.packs.values()
        return {pack.digest: revisions.contents(self._engine, pack.digest) for pack in packs}

    def confirm(self, revision: Revision) -> Confirmed:
        """Wait until every copy of the detectors that lives uses the revision, or one took it back."""
        started = time.monotonic()
        while True:
            state = revisions.get(self._engine, revision.number)
            seconds = round(time.monotonic() - started, 2)
            living = [copy.revision for copy in standing.copies(self._engine)]
            if state.failed:
                return Confirmed(len(living), seconds, state.failed)
            if all(number >= revision.number for number in living):
                return Confirmed(len(living), seconds)
            if seconds > _CONFIRM_SECONDS:
                return Confirmed(len(living), seconds, late=True)
            time.sleep(_LOOK_SECONDS)

    def _own(self) -> dict[str, str]:
        pack = self.revision.book.packs.get(OWN)
        return revisions.contents(self._engine, pack.digest) if pack else {}

    def _with_own(self, files: Files, action: str, detail: Mapping[str, Any]) -> Revision:
        if not files:
            return self._change(action, self.revision.book.with_pack(OWN, None), detail)
        digest = digest_of(files)
        pack = self.revision.book.packs.get(OWN) or Pack(digest=digest, added=time.time())
        book = self.revision.book.with_pack(OWN, pack.model_copy(update={"digest": digest}))
        preview = self._preview(book, {digest: files})
        if preview.stops:
            raise HaidangError("rulebook.stopped", reasons="\n".join(map(said, preview.stops)))
        return self._change(action, book, detail, {digest: files})

    def _change(
        self, action: str, book: Book, detail: Mapping[str, Any] | None = None,
        contents: Mapping[str, Files] | None = None,
    ) -> Revision:  # fmt: skip
        made = revisions.change(self._engine, self._who, action, book, self.revision, contents, detail or {})
        self._loaded = None  # the next change starts from this one
        return made

    def _preview(
        self,
        book: Book,
        fresh: Mapping[str, Files],
        left_out: Sequence[tuple[str, str]] = (),
        stops: Sequence[str] = (),
    ) -> Preview:
        before = self.loaded
        contents = dict(fresh)
        for pack in book.packs.values():
            if pack.digest not in contents:
                contents[pack.digest] = revisions.contents(self._engine, pack.digest)
        folders = rule_folders(self._settings, book)
        place = place_of(self._settings)
        after = load_book(Revision(-1, book), folders, contents, place, self._library)
        tests = _vectors_of(book, fresh, place)
        plain = after  # exceptions are no fault of a rule
        if tests and book.exceptions:
            without = book.model_copy(update={"exceptions": {}})
            plain = load_book(Revision(-1, without), folders, contents, place, self._library)
        tried, failed = vectors.failures(plain.rules, tests, self._read_line, self._until)
        found = [
            Sentence("rulebook.vector_fails", file=_file(each.path), rule=each.rule, why=each.says()) for each in failed
        ]
        return compared(before, after, left_out, [*stops, *found], tried)


@dataclass(frozen=True, slots=True)
class Change:
    """A change that was looked at and not made yet."""

    rulebook: Rulebook
    action: str
    book: Book
    contents: Mapping[str, Files]
    detail: dict[str, Any]
    preview: Preview
    force: bool = False

    @property
    def changes_nothing(self) -> bool:
        """Whether all packs, modes and exceptions are there as they would be, but for when they were looked at."""
        now = self.rulebook.revision.book
        same = {name: pack.model_copy(update={"added": 0.0}) for name, pack in now.packs.items()}
        mine = {name: pack.model_copy(update={"added": 0.0}) for name, pack in self.book.packs.items()}
        others = ("modes", "exceptions", "keys")
        return same == mine and all(getattr(now, name) == getattr(self.book, name) for name in others)

    def refuse_if_stopped(self) -> None:
        """Refuse a change that its preview stops.

        Raises:
            HaidangError: something stops it, and nobody insists.
        """
        if self.preview.stops and not self.force:
            raise HaidangError("rulebook.stopped", reasons="\n".join(map(said, self.preview.stops[:20])))

    def make(self) -> Revision:
        """Make it.

        Raises:
            HaidangError: something stops it, and nobody insists; or the rulebook was changed meanwhile.
        """
        self.refuse_if_stopped()
        return self.rulebook._change(self.action, self.book, {**self.preview.noted(), **self.detail}, self.contents)


def _file(path: str) -> str:
    return Path(path).name


def _vectors_of(book: Book, fresh: Mapping[str, Files], place: Path) -> dict[str, str]:
    """Return the vectors of the fresh packs, by the path of the rule's file once it is written out."""
    found = {}
    for pack in book.packs.values():
        for path, text in fresh.get(pack.digest, {}).items():
            if path.endswith(TESTS):
                base = written_to(place, pack) / path.removesuffix(TESTS)
                found.update({f"{base}{suffix}": text for suffix in SUFFIXES})
    return found


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text("utf-8-sig") == text
    except (OSError, UnicodeDecodeError):
        return False
