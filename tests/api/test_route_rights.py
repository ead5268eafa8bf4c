"""Every route and every role: which permission a route asks for stands here, and the API does as it stands here.

A route that is in no table fails: whoever adds one decides who may use it, and whether it keeps to data views.
"""

import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from sites import Site
from sqlalchemy import select

from api.access import Needs, current_user
from api.app import make_app
from api.searching import Searching
from api.taxii import partner
from pipeline import store
from pipeline.identity.permissions import OF_EVENTS, PERMISSIONS, ROLES
from pipeline.state.tables import audit

#: Routes for everybody, and for everybody who is logged in.
OPEN = {
    "POST /login", "GET /login/oidc", "GET /login/oidc/back", "GET /static/{name}", "GET /", "GET /{screen}",
    "GET /{screen}/{rest:path}", "GET /assets/{name}",
    "POST /sharing/inbox/{profile}",  # a signature in place of a log-in, tests/sharing/test_sharing_inbox.py
}  # fmt: skip
#: Steps of a log-in: for sessions that wait for one, and for no others.
STEPS = {
    "POST /login/code", "POST /login/second-factor", "POST /login/second-factor/confirm", "POST /login/password",
}  # fmt: skip
LOGGED_IN = {
    "POST /logout", "GET /me", "GET /openapi.json", "GET /docs", "GET /docs/{name}", "GET /me/sessions",
    "DELETE /me/sessions/{identifier}", "POST /me/password", "POST /me/second-factor",
    "POST /me/second-factor/confirm", "DELETE /me/second-factor",
    "GET /live", "GET /overview", "GET /techniques", "GET /me/preferences", "PUT /me/preferences",
}  # fmt: skip
#: Elasticsearch's read-only side: searches, and what clients ask before them.
ELASTIC = {
    *(f"{method} /es{path}" for path in ("", "/") for method in ("GET", "HEAD")),
    *(
        f"{method} /es{index}/{name}"
        for name in ("_search", "_count", "_msearch", "_field_caps")
        for index in ("", "/{index}")
        for method in ("GET", "POST")
    ),
    "GET /es/_cluster/health", "GET /es/_cluster/health/{index}", "GET /es/_mapping", "GET /es/{index}/_mapping",
    "GET /es/_cat/indices", "GET /es/_cat/indices/{index}", "GET /es/_resolve/index/{index}",
    *(f"{method} /es/{{path:path}}" for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH")),
}  # fmt: skip
#: Those of the TAXII server, for partners' programs and nobody of ours (`tests/api/test_taxii_limits.py`).
TAXII = {
    "GET /taxii2/", "GET /taxii2/site/", "GET /taxii2/site/status/{identifier}/", "GET /taxii2/site/collections/",
    *(f"GET /taxii2/site/collections/{{name}}/{path}" for path in ("", "manifest/", "objects/", "objects/{identifier}/",
                                                                    "objects/{identifier}/versions/")),
    "POST /taxii2/site/collections/{name}/objects/", "DELETE /taxii2/site/collections/{name}/objects/{identifier}/",
    *(f"{method} /taxii2{path}" for path in ("", "/{path:path}") for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")),
}  # fmt: skip
#: What each route asks for; `/api/v1` left out.
RIGHTS = {
    "POST /search/{collection}": "events.read", "GET /search/{collection}": "events.read",
    "GET /events/{identifier}": "events.read", "GET /query/check": "events.read",
    "GET /fields": "events.read",
    "GET /events/{identifier}/processes": "events.read",
    "GET /export/{collection}": "events.export", "POST /export/{collection}": "events.export",
    "GET /saved": "events.read", "POST /saved": "events.read", "GET /saved/{identifier}": "events.read",
    "PUT /saved/{identifier}": "events.read", "DELETE /saved/{identifier}": "events.read",
    "GET /saved/{identifier}/history": "events.read",
    "GET /alerts/groups": "alerts.read", "GET /alerts/groups/{identifier}": "alerts.read",
    "GET /alerts/entities": "alerts.read", "GET /alerts/budget": "alerts.read",
    "GET /delivery/channels": "delivery.read", "GET /delivery/messages": "delivery.read",
    "POST /delivery/resend": "delivery.change", "POST /delivery/drop": "delivery.change",
    "POST /delivery/channels/{name}/test": "delivery.change",
    "GET /sharing/profiles": "sharing.read", "GET /sharing/profiles/{name}/preview": "sharing.read",
    "POST /sharing/profiles/{name}/check": "sharing.change", "POST /sharing/profiles/{name}/confirm": "sharing.change",
    "POST /sharing/profiles/{name}/stop": "sharing.change",
    "GET /sharing/messages": "sharing.read", "GET /sharing/messages/{number}": "sharing.read",
    "GET /sharing/messages/{number}/content": "sharing.read",
    **{f"POST /sharing/messages/{{number}}/{step}": "sharing.approve"
       for step in ("approve", "withdraw", "resend", "carried")},
    "GET /sharing/received": "sharing.read",
    "GET /cases/{number}/incident": "cases.read", "PUT /cases/{number}/incident": "cases.change",
    "GET /cases/{number}/incident/{document}.{form}": "cases.read",
    "POST /cases/{number}/incident/submit": "cases.change",
    "GET /reports": "sharing.read", "POST /reports": "sharing.read", "GET /reports/{identifier}": "sharing.read",
    "GET /reports/{identifier}/{form}": "sharing.read",
    "GET /systems": "sharing.read", "GET /systems/days": "sharing.read", "PUT /systems": "systems.change",
    "DELETE /systems/{code}": "systems.change",
    "GET /cases": "cases.read", "POST /cases": "cases.change", "POST /cases/files": "cases.change",
    "GET /cases/{case}": "cases.read", "PATCH /cases/{case}": "cases.change",
    "POST /cases/{case}/close": "cases.change", "POST /cases/{case}/reopen": "cases.change",
    "POST /cases/{case}/alerts": "cases.change", "POST /cases/{case}/events": "cases.change",
    "POST /cases/{case}/notes": "cases.change", "POST /cases/{case}/tasks": "cases.change",
    "PUT /cases/{case}/tasks/{number}": "cases.change", "POST /cases/{case}/observables": "cases.change",
    "DELETE /cases/{case}/entries/{number}": "cases.change", "GET /cases/{case}/files/{number}": "cases.change",
    "GET /cases/{case}/bundle": "events.export",
    "GET /alerts": "alerts.read", "POST /alerts/changes": "alerts.change",
    "GET /alerts/suppressions": "suppressions.read", "POST /alerts/suppressions": "suppressions.change",
    "DELETE /alerts/suppressions/{identifier}": "suppressions.change", "GET /alerts/{identifier}": "alerts.read",
    "GET /alerts/{identifier}/packets": "packets.read",
    "GET /rules/status": "rules.read", "GET /rules/packs": "rules.read", "POST /rules/packs/preview": "rules.change",
    "POST /rules/packs": "rules.manage", "POST /rules/packs/fetch/preview": "rules.manage",
    "POST /rules/packs/fetch": "rules.manage", "POST /rules/packs/{name}/update/preview": "rules.change",
    "POST /rules/packs/{name}/update": "rules.manage", "DELETE /rules/packs/{name}": "rules.manage",
    "POST /rules/keys": "rules.manage", "DELETE /rules/keys/{name}": "rules.manage",
    "POST /rules/reload": "rules.manage", "POST /rules/test": "rules.change", "GET /rules/backup": "rules.manage",
    "POST /rules/restore/preview": "rules.change", "POST /rules/restore": "rules.manage",
    "GET /rules": "rules.read", "GET /rules/history": "rules.read", "GET /rules/exceptions": "rules.read",
    "POST /rules/check": "rules.change", "POST /rules": "rules.manage", "POST /rules/mode": "rules.change",
    "POST /rules/exceptions": "rules.change", "DELETE /rules/exceptions/{identifier}": "rules.change",
    "POST /rules/roll-back": "rules.manage", "POST /rules/roll-back/preview": "rules.change", "GET /rules/{identifier}": "rules.read",
    "DELETE /rules/{identifier}": "rules.manage", "GET /rules/{identifier}/backtest": "events.read rules.change",
    "POST /rules/backtest": "events.read rules.change", "GET /rules/coverage": "events.read rules.read",
    "GET /rules/{identifier}/coverage": "events.read rules.read",
    "GET /rules/{identifier}/explain/{event}": "events.read rules.read",
    "GET /devices": "devices.read", "GET /devices/one": "devices.read", "PUT /devices/one": "devices.change",
    "DELETE /devices/one": "devices.change", "POST /devices/import": "devices.change", "GET /c2": "devices.read",
    "GET /indicators": "indicators.read", "GET /indicators/check": "indicators.read",
    "POST /indicators": "indicators.change", "DELETE /indicators": "indicators.change",
    "GET /indicators/feeds": "indicators.read", "POST /indicators/feeds/{name}/refresh": "indicators.change",
    "GET /indicators/searches": "events.read", "POST /indicators/searches": "indicators.change",
    "GET /users": "users.manage", "POST /users": "users.manage", "PATCH /users/{name}": "users.manage",
    "POST /users/{name}/password": "users.manage", "DELETE /users/{name}/second-factor": "users.manage",
    "DELETE /users/{name}/sessions": "users.manage", "GET /roles": "users.manage", "PUT /roles/{name}": "users.manage",
    "DELETE /roles/{name}": "users.manage", "PUT /groups/{name}": "users.manage",
    "DELETE /groups/{name}": "users.manage", "GET /tokens": "tokens.manage", "POST /tokens": "tokens.manage",
    "DELETE /tokens/{name}": "tokens.manage",
    "GET /audit": "audit.read", "GET /audit/verify": "audit.read",
    "GET /sources": "site.read", "GET /sources/clocks": "site.read", "GET /sources/{source}/minutes": "site.read",
    "GET /settings": "settings.read",
    "GET /settings/file": "settings.change", "PUT /settings/file": "settings.change",
    "POST /settings/check": "settings.change", "POST /settings/roll-back": "settings.change",
    "POST /settings/restart": "settings.change",
    "GET /dead-letters": "events.read site.read", "POST /dead-letters/retry": "events.read settings.change",
    "POST /dead-letters/drop": "events.read settings.change", "GET /health": "site.read", "GET /metrics": "site.read",
    **dict.fromkeys(ELASTIC, "events.read"),
}  # fmt: skip
#: Of those on events, the ones that show and change only what is in a data view; the others refuse whoever has one.
IN_VIEW = {
    "POST /search/{collection}", "GET /search/{collection}", "GET /events/{identifier}", "GET /query/check",
    "GET /fields",
    "GET /export/{collection}", "POST /export/{collection}",
    "GET /saved", "POST /saved", "GET /events/{identifier}/processes", "GET /saved/{identifier}", "PUT /saved/{identifier}", "DELETE /saved/{identifier}",
    "GET /saved/{identifier}/history", "GET /alerts",
    "GET /alerts/groups", "GET /alerts/groups/{identifier}",
    "POST /alerts/changes", "GET /alerts/{identifier}", "GET /devices", "GET /devices/one", "GET /c2",
    "GET /rules/{identifier}/explain/{event}", *ELASTIC,
}  # fmt: skip


def _dependants(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for each in dependant.dependencies:
        yield from _dependants(each)


@pytest.fixture(scope="module")
def asked(site: Site) -> Iterator[dict[str, set[str | Needs]]]:
    """What each route of the application asks for: permissions, or only who it is."""
    searching = Searching()
    reader = store.open_reader(site.settings.data_dir, site.settings.store)
    app = make_app(site.settings, site.engine, reader, searching)
    found: dict[str, set[str | Needs]] = {}
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        assert isinstance(route, APIRoute)
        calls = [each.call for each in _dependants(route.dependant)]
        needed: set[str | Needs] = {call for call in calls if isinstance(call, Needs)}
        for method in context.methods or ():
            name = f"{method} {str(context.path).removeprefix('/api/v1')}"
            asks = {"logged in": current_user, "partner": partner}
            found[name] = needed or {who for who, call in asks.items() if call in calls}
    yield found
    searching.close()
    reader.close()


def test_every_route_asks_for_what_stands_here(asked: dict[str, set[str | Needs]]) -> None:
    made = {
        route: " ".join(sorted(each.permission for each in needed if isinstance(each, Needs)))
        for route, needed in asked.items()
        if any(isinstance(each, Needs) for each in needed)
    }
    assert made == RIGHTS
    # `/docs` looks itself who it is, for it sends a browser to the log-in
    assert {route for route, needed in asked.items() if needed == {"logged in"}} == LOGGED_IN - {"GET /docs"}
    assert {route for route, needed in asked.items() if needed == {"partner"}} == TAXII
    assert {route for route, needed in asked.items() if not needed} == {*OPEN, *STEPS, "GET /docs"}


def test_routes_on_events_that_know_no_views_refuse_whoever_has_one(asked: dict[str, set[str | Needs]]) -> None:
    in_view = {
        route
        for route, needed in asked.items()
        if (of_events := [each for each in needed if isinstance(each, Needs) and each.permission in OF_EVENTS])
        and all(each.views for each in of_events)
    }
    assert in_view == IN_VIEW


def test_every_role_gets_what_its_permissions_say_and_403_for_the_rest(site: Site) -> None:
    for role, given in ROLES.items():
        with site.client(site.token(f"rights-of-{role}", role)) as client:
            for route, wanted in RIGHTS.items():
                status = _ask(client, route)
                if not set(wanted.split()) <= given:
                    assert status == 403, (role, route)
                elif status is not None:
                    assert status not in (401, 403, 405) and status < 500, (role, route, status)
            for route in LOGGED_IN - {"POST /logout"}:
                assert _ask(client, route) not in (401, 403), (role, route)


def test_whoever_has_a_view_is_refused_where_it_cannot_be_kept(site: Site) -> None:
    with site.engine.begin() as connection:
        from pipeline import access

        secret = access.create_token(connection, "limited-everywhere", access.API, "admin", {"sources": ["syslog"]})
    with site.client(secret) as client:
        for route, wanted in RIGHTS.items():
            of_events = set(wanted.split()) & set(OF_EVENTS)
            if of_events and route not in IN_VIEW:
                assert _ask(client, route, refused=True) == 403, route
            elif route in IN_VIEW:
                assert _ask(client, route) != 403, route


def test_a_refusal_is_in_the_audit_with_what_was_lacking(site: Site) -> None:
    with site.client(site.token("refused-once", "auditor")) as client:
        assert client.get("/api/v1/alerts").status_code == 403
    with site.engine.connect().execution_options(read_only=True) as connection:
        row = connection.execute(select(audit).where(audit.c.who == "refused-once")).one()
    assert (row.action, row.detail["needs"], row.detail["path"]) == ("denied", "alerts.read", "/api/v1/alerts")


def test_a_token_that_is_taken_back_is_told_in_the_audit(site: Site) -> None:
    from pipeline import access

    secret = site.token("taken-back", "viewer")
    with site.engine.begin() as connection:
        access.revoke_token(connection, "taken-back")
    with site.client(secret) as client:
        assert client.get("/api/v1/me").status_code == 401
    with site.engine.connect().execution_options(read_only=True) as connection:
        assert connection.scalar(select(audit.c.action).where(audit.c.who == "taken-back")) == "denied"


def test_roles_hold_what_they_are_for() -> None:
    assert ROLES["viewer"] < ROLES["analyst"] < ROLES["lead"] < ROLES["admin"] == set(PERMISSIONS)
    assert not ROLES["auditor"] & set(OF_EVENTS)
    assert not any(name.endswith((".change", ".manage")) for name in ROLES["auditor"] | ROLES["viewer"])
    assert [role for role, given in ROLES.items() if "audit.read" in given] == ["admin", "auditor"]


def _ask(client: httpx.Client, route: str, refused: bool = False) -> int | None:
    """Ask a route with values that name nothing; a change that would be let through is not asked for."""
    method, path = route.split(" ")
    path = path.replace(":path}", "}")
    prefix = "" if path in ("/openapi.json", "/docs", "/docs/{name}") or path.startswith("/es") else "/api/v1"
    if method != "GET" and not refused:
        body = b"{"  # no route takes that: who may is told by 4xx of another kind
        return client.request(method, prefix + re.sub(r"{\w+}", "none-such", path), content=body).status_code
    with client.stream(method, prefix + re.sub(r"{\w+}", "none-such", path)) as answer:  # one has no end
        return answer.status_code
