"""Alert routes: the queue's groups and alerts leave; what analysts make of them enters."""

import time
from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Engine, func, select

from api.access import State, address_of, needs, noted
from api.search import searching_of
from pipeline.evidence import captures_of
from pipeline.identity.users import User
from pipeline.identity.views import Sight
from pipeline.messages import HaidangError, say
from pipeline.queue import budget, groups, life, risk, suppressions
from pipeline.queue.showing import shown
from pipeline.state.tables import alerts
from pipeline.store import query as q

router = APIRouter(prefix="/alerts", tags=["alerts"])
Level = Literal["informational", "low", "medium", "high", "critical"]


_Reader = Annotated[User, Depends(needs("alerts.read", views=True))]
_Changer = Annotated[User, Depends(needs("alerts.change", views=True))]
_Suppressor = Annotated[User, Depends(needs("suppressions.change"))]
#: What is made of everybody's alerts: for who sees all of them.
_Everything = Annotated[User, Depends(needs("alerts.read"))]
_Text = Annotated[str, Field(max_length=500)]


class _Fits(BaseModel):
    """Which alerts, where no ids are given."""

    model_config = ConfigDict(extra="forbid")

    level: Level | None = None
    rule: _Text = ""
    status: _Text = "open"
    start: Annotated[str | None, Field(alias="from", max_length=100)] = None
    end: Annotated[str | None, Field(alias="to", max_length=100)] = None

    def times(self) -> tuple[int | None, int | None]:
        """Return from when to when, in microseconds since 1970."""
        since = q.moment(self.start, "from") if self.start else None
        return since, q.moment(self.end, "to") if self.end else None


class _GroupsFit(_Fits):
    """Which groups, as `GET /alerts/groups` takes it: all their alerts are meant."""

    entity: Annotated[str, Field(max_length=300)] = ""
    owner: Annotated[str, Field(max_length=100)] = ""

    def asked(self, sight: Sight) -> groups.Asked:
        """Return it as the queue takes it."""
        since, until = self.times()
        statuses = life.statuses_of(self.status)
        return groups.Asked(
            statuses, self.level or "", self.rule, self.entity, self.owner, since, until, sight=sight
        )  # fmt: skip


class Change(BaseModel):
    """A status for some alerts."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["new", "acknowledged", "true_positive", "false_positive"]
    note: Annotated[str, Field(max_length=5000)] = ""
    #: Of alerts, or of groups.
    ids: Annotated[list[Annotated[str, Field(max_length=24)]], Field(min_length=1, max_length=30_000)] | None = None
    fits: _Fits | None = None
    groups_fit: _GroupsFit | None = None

    def which(self, state: Engine, sight: Sight) -> life.Fits:
        """Return the alerts that are meant, of those in sight.

        Raises:
            HaidangError: not just one of ids, what alerts must fit, and what groups must fit.
        """
        if sum(each is not None for each in (self.ids, self.fits, self.groups_fit)) != 1:
            raise HaidangError("queue.which")
        if self.groups_fit is not None:
            with state.connect().execution_options(read_only=True) as connection:
                return life.Fits(of_groups=groups.conditions(connection, self.groups_fit.asked(sight)), sight=sight)
        if self.fits is None:
            return life.Fits(ids=self.ids or (), sight=sight)
        since, until = self.fits.times()
        statuses = life.statuses_of(self.fits.status)
        return life.Fits((), self.fits.level or "", self.fits.rule, statuses, since, until, sight=sight)


class Suppression(BaseModel):
    """Alerts that are kept out of the queue."""

    model_config = ConfigDict(extra="forbid")

    rule: Annotated[str, Field(min_length=1, max_length=200)]
    where: Annotated[dict[_Text, _Text], Field(max_length=20)] = {}
    reason: Annotated[str, Field(min_length=1, max_length=2000)]
    days: Annotated[float, Field(gt=0, le=suppressions.MOST_DAYS)] = suppressions.DAYS


@router.get("")
def list_alerts(
    state: State,
    user: _Reader,
    level: Level | None = None,
    rule: Annotated[str | None, Query(max_length=500)] = None,
    start: Annotated[str | None, Query(alias="from", max_length=100)] = None,
    end: Annotated[str | None, Query(alias="to", max_length=100)] = None,
    status: Annotated[str, Query(max_length=50)] = "all",
    limit: Annotated[int, Query(ge=0, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> dict[str, Any]:
    """Return alerts, newest first, without their evidence.

    `level` is a rule's level, `rule` its id or its whole name; times are ISO 8601 or `now-1h`; `status` is one, `open`
    (new or acknowledged) or `all`. `total` counts all that fit, `levels` counts them by level (of every level, whatever
    `level` asks for), `statuses` by status (of every status).
    """
    fits = [*_in_time(start, end), *user.sight.of_alerts()]
    if rule:
        fits.append((alerts.c.rule_id == rule) | (alerts.c.rule_name == rule))
    by_status = select(alerts.c.status, func.count().label("events")).where(*fits).group_by(alerts.c.status)
    if wanted := life.statuses_of(status):
        fits.append(alerts.c.status.in_(wanted))
    counted = select(alerts.c.level, func.count().label("events")).where(*fits).group_by(alerts.c.level)
    if level:
        fits.append(alerts.c.level == level)
    page = select(alerts).where(*fits).order_by(alerts.c.time.desc(), alerts.c.id).limit(limit).offset(offset)
    with state.connect().execution_options(read_only=True) as connection:
        levels: dict[str, int] = {row.level: row.events for row in connection.execute(counted)}
        statuses: dict[str, int] = {row.status: row.events for row in connection.execute(by_status)}
        rows = [groups.short(row, user.sight) for row in connection.execute(page)]
    total = levels.get(level, 0) if level else sum(levels.values())
    return {"total": total, "levels": levels, "statuses": statuses, "alerts": rows}


@router.get("/groups")
def list_groups(
    state: State,
    user: _Reader,
    level: Level | None = None,
    rule: Annotated[str, Query(max_length=500)] = "",
    entity: Annotated[str, Query(max_length=300)] = "",
    owner: Annotated[str, Query(max_length=100)] = "",
    start: Annotated[str | None, Query(alias="from", max_length=100)] = None,
    end: Annotated[str | None, Query(alias="to", max_length=100)] = None,
    status: Annotated[str, Query(max_length=50)] = "open",
    sort: groups.Sort = "risk",
    limit: Annotated[int, Query(ge=0, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
) -> dict[str, Any]:
    """Return the queue: alerts of one rule about one entity are a group.

    The riskiest come first (`sort`: or the `last` ones, or those `opened` last). `statuses` counts groups of every
    status, `levels` those of the asked status, `kept_out` the alerts that suppressions have kept out.
    """
    since, until = (q.moment(each, name) if each else None for each, name in ((start, "from"), (end, "to")))
    asked = groups.Asked(
        life.statuses_of(status), level or "", rule, entity, owner, since, until, sort, limit, offset, user.sight
    )  # fmt: skip
    with state.connect().execution_options(read_only=True) as connection:
        return groups.page(connection, asked)


@router.get("/groups/{identifier}")
def group(identifier: str, request: Request, state: State, user: _Reader) -> dict[str, Any]:
    """Return a group with its newest alerts, its history, and what the risk of its entity is made of."""
    with state.connect().execution_options(read_only=True) as connection:
        found = groups.one(connection, identifier, user.sight)
    if found is None:
        raise HTTPException(404, say("api.no_group", id=identifier[:200]))
    noted(request, user.name, "alert_group_read", group=identifier)
    return found


@router.get("/entities")
def entities(state: State, _user: _Everything, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> dict[str, Any]:
    """Return the hosts, users and addresses with the highest risk of the last 24 hours, and what it is made of."""
    with state.connect().execution_options(read_only=True) as connection:
        found = risk.highest(connection, time.time_ns() // 1000, limit)
        return {"entities": groups.shown_risks(connection, found)}


@router.get("/budget")
def alert_budget(
    request: Request,
    state: State,
    _user: _Everything,
    day: Annotated[date | None, Query(ge=date(1990, 1, 1), le=date(2200, 1, 1))] = None,
) -> dict[str, Any]:
    """Return how many groups came into the queue on a day (today), and which rules went past the budget."""
    with state.connect().execution_options(read_only=True) as connection:
        return budget.spent(connection, day or datetime.now().astimezone().date(), request.app.state.settings.queue)


@router.post("/changes")
async def change_alerts(request: Request, state: State, user: _Changer, change: Change) -> Response:
    """Give alerts a status: those of `ids`, all that fit `fits`, or those of all groups that fit
    `groups_fit`, without a limit. A verdict needs a note."""

    def work() -> dict[str, Any]:
        which = change.which(state, user.sight)
        return {"changed": life.change(state, which, change.status, change.note, user.name, address_of(request))}

    return await searching_of(request).answer(work)


@router.get("/suppressions")
def list_suppressions(state: State, _user: Annotated[User, Depends(needs("suppressions.read"))]) -> dict[str, Any]:
    """Return what is kept out of the queue, with reason, end and how many alerts that were."""
    return {"suppressions": suppressions.listed(state)}


@router.post("/suppressions", status_code=201)
def suppress(request: Request, state: State, user: _Suppressor, wanted: Suppression) -> dict[str, Any]:
    """Keep alerts of a rule that have these fields out of the queue; they are stored and counted all the same.

    `would_have`: how many of the last alerts (`of`) it would have kept out; none may mean that it is misspelt.
    """
    who, where = user.name, address_of(request)
    made = suppressions.add(state, wanted.rule, wanted.where, wanted.reason, wanted.days, who, where)
    count, of = suppressions.would_have(state, made)
    return {"id": made, "would_have": count, "of": of}


@router.delete("/suppressions/{identifier}", status_code=204)
def end_suppression(request: Request, identifier: str, state: State, user: _Suppressor) -> None:
    """End a suppression now."""
    suppressions.remove(state, identifier, user.name, address_of(request))


@router.get("/{identifier}")
def alert(request: Request, identifier: str, state: State, user: _Reader) -> dict[str, Any]:
    """Return one alert with its evidence and the reasons."""
    query = select(alerts).where(alerts.c.id == identifier, *user.sight.of_alerts())
    with state.connect().execution_options(read_only=True) as connection:
        row = connection.execute(query).first()
    if row is None:
        raise HTTPException(404, say("api.no_alert", id=identifier[:200]))
    noted(request, user.name, "alert_read", alert=row.id)
    return user.sight.alert(shown(row))


@router.get("/{identifier}/packets")
def packets(
    request: Request,
    identifier: str,
    state: State,
    user: Annotated[User, Depends(needs("packets.read"))],
    interface: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """Return the packets of an alert as a capture file (pcap): of this interface, or of the first that saw any."""
    found = captures_of(state, identifier)
    data = found.get(interface) if interface else next(iter(found.values()), None)
    if data is None:
        raise HTTPException(404, say("evidence.none", alert=identifier[:200]))
    noted(request, user.name, "evidence_read", alert=identifier[:200])
    name = {"Content-Disposition": f'attachment; filename="{"".join(filter(str.isalnum, identifier))[:24]}.pcap"'}
    return Response(data, media_type="application/vnd.tcpdump.pcap", headers=name)


def _in_time(start: str | None, end: str | None) -> list[ColumnElement[bool]]:
    fits: list[ColumnElement[bool]] = []
    if start:
        fits.append(alerts.c.time >= q.moment(start, "from"))
    if end:
        fits.append(alerts.c.time <= q.moment(end, "to"))
    return fits
