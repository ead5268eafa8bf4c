"""Rule routes: the rulebook is read by everybody who may log in; analysts change modes and exceptions, administrators
what rules there are.
"""

from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Engine
from starlette.responses import Response

from api.access import RuleChanger, RuleManager, RuleReader, State, needs
from api.rule_changes import change_rules
from api.search import Reader, event_of, reader_of, searching_of
from api.shelf import loaded_of, rulebook_of
from detectors.correlate import limits_of
from detectors.rulebook import backtest, coverage, hits, revisions
from detectors.rulebook.book import ModeName
from detectors.rulebook.changes import Rulebook
from detectors.rulebook.explain import explain
from detectors.rulebook.listing import listed, shown, titles_of
from detectors.rulebook.revisions import Revision
from detectors.sigma.documents import MAX_FILE
from pipeline.identity.users import User
from pipeline.messages import said, say
from pipeline.store import query as q

router = APIRouter(prefix="/rules", tags=["rules"])
RuleId = Annotated[str, Path(max_length=200)]
#: Where a backtest ends, so that its answer comes while somebody waits (`searching.PATIENCE`).
_MOST_EVENTS = 2_000_000
_MOST_SECONDS = 20.0
#: Rules that an answer about coverage names; it counts all.
_MOST_LACKING = 2_000
_Text = Annotated[str, Field(max_length=2000)]
_Days = Annotated[int, Query(ge=1, le=365)]
Searcher = Annotated[User, Depends(needs("events.read"))]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ModeChange(_Body):
    """`mode` null gives the rules the mode of their pack again."""

    rules: Annotated[list[_Text], Field(min_length=1, max_length=10_000)]
    mode: ModeName | None
    reason: _Text = ""


class ExceptionMade(_Body):
    """Either `rule` and `where` (fields and values that must all hold), or `filter` (a Sigma filter, YAML)."""

    rule: _Text | None = None
    where: dict[_Text, _Text] = {}
    filter: Annotated[str, Field(max_length=100_000)] | None = None
    reason: Annotated[str, Field(min_length=1, max_length=2000)]
    expires: float | None = None


class RuleFiles(_Body):
    """Rule files and their vectors (`name.test.yml`): names and texts."""

    files: Annotated[dict[_Text, Annotated[str, Field(max_length=MAX_FILE)]], Field(min_length=1, max_length=100)]


class Draft(_Body):
    """A rule file that is not in the rulebook, or says something else there; times as of a backtest."""

    text: Annotated[str, Field(max_length=MAX_FILE)]
    start: Annotated[str | None, Field(alias="from", max_length=100)] = None
    end: Annotated[str | None, Field(alias="to", max_length=100)] = None
    time_zone: Annotated[str, Field(max_length=100)] = "UTC"


class RollBack(_Body):
    """The revision to put in force again; the one before the present when left out. `force` makes a change that its
    preview would stop."""

    revision: int | None = None
    force: bool = False


async def _answer(request: Request, work: Callable[[], Any]) -> Response:
    return await searching_of(request).answer(work)


def _made(revision: Revision) -> dict[str, Any]:
    return {"revision": revision.number}


@router.get("")
async def list_rules(
    request: Request,
    state: State,
    user: RuleReader,
    text: Annotated[str, Query(max_length=500)] = "",
    pack: Annotated[str | None, Query(max_length=500)] = None,
    mode: ModeName | None = None,
    level: Annotated[str | None, Query(max_length=20)] = None,
    days: Annotated[int, Query(ge=1, le=hits.KEPT_DAYS)] = 7,
    limit: Annotated[int, Query(ge=0, le=10_000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Response:
    """Return the rules with mode, pack and how often they matched in these days; those that matched most first.

    `counts` are of all rules, by mode; `refused` is what could not be loaded, with the reason.
    """

    def work() -> dict[str, Any]:
        loaded = loaded_of(request)
        found = listed(loaded, _hits(state, user, days), text, pack, mode, level)
        return {
            "total": len(found), "rules": found[offset : offset + limit], "counts": loaded.counts(),
            "refused": [
                {"path": each.place, "rule": each.rule, "reason": said(each.reason)}
                for each in loaded.rules.refused[:1000]
            ],
            "revision": loaded.revision.number,
        }  # fmt: skip

    return await _answer(request, work)


@router.get("/history")
def history(
    state: State, _user: RuleReader, limit: Annotated[int, Query(ge=1, le=revisions.KEPT)] = 50
) -> dict[str, Any]:
    """Return who changed what, the newest first; `failed` says why a revision was taken back."""
    names = ("time", "who", "address", "action", "detail", "failed")
    found = revisions.history(state, limit)
    return {"revisions": [{"revision": r.number, **{name: getattr(r, name) for name in names}} for r in found]}


@router.get("/exceptions")
async def exceptions(request: Request, _user: RuleReader) -> Response:
    """Return the exceptions, and how the rules are called that they name."""

    def work() -> dict[str, Any]:
        loaded = loaded_of(request)
        found = [each.model_dump() for each in loaded.revision.book.exceptions.values()]
        named = {name for each in found for name in each["rules"]}
        titles = {rule.id: titles_of(rule) for rule in loaded.every if rule.id in named}
        return {"exceptions": found, "titles": titles}

    return await _answer(request, work)


@router.get("/coverage")
async def list_coverage(request: Request, _user: RuleReader, _searcher: Searcher, days: _Days = 30) -> Response:
    """Return which rules in use find nothing in the events of these days: how many of each state, the log sources that
    sent nothing with the number of rules that wait for them, and the other rules that lack something.
    """

    def work() -> dict[str, Any]:
        found = coverage.covered(reader_of(request), coverage.in_use(loaded_of(request)), days)
        counts = Counter(each.state for each in found)
        silent = Counter(tuple(each.logsource.items()) for each in found if each.state == coverage.SILENT)
        lacking = [each for each in found if each.state not in (coverage.SILENT, coverage.SEEING)]
        return {
            "days": days, "counts": {state: counts[state] for state in coverage.STATES},
            "silent": [{"logsource": dict(each), "rules": count} for each, count in silent.most_common()],
            "rules": [{**each.as_json(), **titles_of(each.rule)} for each in lacking[:_MOST_LACKING]],
        }  # fmt: skip

    return await _answer(request, work)


@router.post("/check")
async def check(request: Request, body: RuleFiles, user: RuleChanger) -> Response:
    """Look at rule files; nothing is changed."""

    def work() -> dict[str, Any]:
        findings = rulebook_of(request, user).check(body.files)
        return {"findings": [finding.as_json() for finding in findings]}

    return await _answer(request, work)


@router.post("")
async def add_rules(request: Request, body: RuleFiles, user: RuleManager) -> Response:
    """Add rules of the site's own, or change them. Nothing is added where a finding is an error: `revision` is null."""

    def work() -> dict[str, Any]:
        revision, findings = rulebook_of(request, user).add(body.files)
        told = [finding.as_json() for finding in findings]
        return {"revision": revision.number if revision else None, "findings": told}

    return await _answer(request, work)


@router.post("/mode")
async def set_mode(request: Request, body: ModeChange, user: RuleChanger) -> Response:
    """Let rules alert, be counted only (`observe`), or be off."""
    return await _answer(
        request, lambda: _made(rulebook_of(request, user).set_mode(body.rules, body.mode, body.reason))
    )


@router.post("/exceptions")
async def add_exception(request: Request, body: ExceptionMade, user: RuleChanger) -> Response:
    """Let rules stay quiet on some events, with a reason, and until a time (seconds since 1970) where one is given."""

    def work() -> dict[str, Any]:
        rulebook = rulebook_of(request, user)
        text = body.filter
        if text is None:
            if body.rule is None or not body.where:
                raise HTTPException(422, say("api.except_what"))
            text = rulebook.exception_text(rulebook.find(body.rule), body.where, body.reason)
        made = rulebook.add_exception(text, body.reason, body.expires)
        return {"id": made.id, "revision": rulebook.revision.number}

    return await _answer(request, work)


@router.delete("/exceptions/{identifier}")
async def remove_exception(request: Request, identifier: RuleId, user: RuleChanger) -> Response:
    """Remove an exception."""
    return await _answer(request, lambda: _made(rulebook_of(request, user).remove_exception(identifier)))


@router.post("/roll-back/preview")
async def preview_roll_back(request: Request, body: RollBack, user: RuleChanger) -> Response:
    """Say what an earlier revision would change of the one in force. Nothing is changed."""
    return await change_rules(request, user, lambda book: book.roll_back(body.revision), make=False)


@router.post("/roll-back")
async def roll_back(request: Request, body: RollBack, user: RuleManager) -> Response:
    """Put an earlier revision in force again, as a new one; `revision` is null where nothing differs."""
    return await change_rules(request, user, lambda book: book.roll_back(body.revision, force=body.force), make=True)


@router.get("/{identifier}")
async def show_rule(request: Request, state: State, identifier: RuleId, user: RuleReader) -> Response:
    """Return one rule with its text, its vectors and its exceptions."""

    def work() -> dict[str, Any]:
        rulebook = Rulebook(state, request.app.state.settings, "", "", loaded_of(request))
        return shown(rulebook.loaded, rulebook.find(identifier), _hits(state, user, 7))

    return await _answer(request, work)


@router.delete("/{identifier}")
async def remove_rule(request: Request, identifier: RuleId, user: RuleManager) -> Response:
    """Remove a rule of the site's own, with its file."""
    return await _answer(request, lambda: _made(rulebook_of(request, user).remove(identifier)))


@router.get("/{identifier}/coverage")
async def show_coverage(
    request: Request, identifier: RuleId, user: RuleReader, _searcher: Searcher, days: _Days = 30
) -> Response:
    """Say whether a rule could find something in the events of these days, and which of its fields nothing fills."""

    def work() -> dict[str, Any]:
        rule = rulebook_of(request, user).find(identifier)
        return {"days": days, **coverage.covered(reader_of(request), [rule], days)[0].as_json()}

    return await _answer(request, work)


@router.get("/{identifier}/backtest")
async def backtest_rule(
    request: Request,
    identifier: RuleId,
    user: RuleChanger,
    _searcher: Searcher,
    start: Annotated[str | None, Query(alias="from", max_length=100)] = None,
    end: Annotated[str | None, Query(alias="to", max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=_MOST_EVENTS)] = _MOST_EVENTS,
    time_zone: Annotated[str, Query(max_length=100)] = "UTC",
) -> Response:
    """Say what a rule would have said of stored events: alerts a day (of `time_zone`), the noisiest, a sample.

    It ends after `limit` events or after seconds; then `bounded` says which, and only what is not after `until` was
    looked at. Times are ISO 8601 or `now-7d`.
    """

    def work() -> dict[str, Any]:
        rulebook = rulebook_of(request, user)
        subject = backtest.subject(rulebook.loaded, rulebook.find(identifier))
        return _tried(request, subject, (start, end), limit, time_zone)

    return await _answer(request, work)


@router.post("/backtest")
async def backtest_draft(request: Request, body: Draft, user: RuleChanger, _searcher: Searcher) -> Response:
    """Say what the first rule of a file that is not saved yet would have said of stored events; nothing is changed."""

    def work() -> dict[str, Any]:
        subject = backtest.subject_of_text(rulebook_of(request, user).loaded, body.text)
        return _tried(request, subject, (body.start, body.end), _MOST_EVENTS, body.time_zone)

    return await _answer(request, work)


def _tried(
    request: Request, subject: backtest.Subject, span: tuple[str | None, str | None], limit: int, time_zone: str
) -> dict[str, Any]:
    bounds = {name: value for name, value in zip(("gte", "lte"), span, strict=True) if value}
    return backtest.run(
        reader_of(request), subject, [{"range": {q.TIME: bounds}}] if bounds else [],
        limits_of(request.app.state.settings.detectors), backtest.Bounds(limit, _MOST_SECONDS), zone=_zone(time_zone),
    ).as_json()  # fmt: skip


def _hits(state: Engine, user: User, days: int) -> dict[str, tuple[int, int]]:
    """Return how often rules matched; they are not counted by source or unit, so not for whoever has a data view."""
    return {} if user.sight.is_limited() else hits.of_rules(state, days)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:
        raise HTTPException(422, say("api.no_zone", name=name)) from error


@router.get("/{identifier}/explain/{event}")
async def explain_rule(
    request: Request, identifier: RuleId, event: RuleId, user: RuleReader, reader: Reader
) -> Response:
    """Say why a rule did, or did not, match an event of the store."""

    def work() -> dict[str, Any]:
        rulebook = rulebook_of(request, user)
        found = event_of(request, reader, event)
        return explain(rulebook.loaded, rulebook.find(identifier), found).as_json()

    return await _answer(request, work)
