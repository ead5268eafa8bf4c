"""The API: requests enter, JSON leaves. Routes are in the files beside this one; here they become one application."""

from collections import ChainMap
from importlib.metadata import version

from fastapi import Depends, FastAPI
from sqlalchemy import Engine

from api import (
    accounts,
    alerts,
    attack,
    audit,
    cases,
    console,
    delivery,
    devices,
    elastic,
    export,
    fields,
    indicators,
    live,
    login,
    oidc,
    overview,
    pages,
    processes,
    reports,
    rule_packs,
    rules,
    saved,
    search,
    sharing,
    site_settings,
    status,
    taxii,
)
from api.access import ELASTIC, same_site
from api.faults import answer_faults
from api.guard import Guard
from api.limits import Limit
from api.searching import Searching
from api.shelf import Shelf
from api.turns import Turns
from api.uploads import Uploads
from pipeline import marks, store
from pipeline.settings import Settings


def make_app(settings: Settings, engine: Engine, reader: store.Reader, searching: Searching) -> FastAPI:
    """Put the application together."""
    app = FastAPI(
        title="Hải Đăng", version=version("haidang"), openapi_url=None, docs_url=None, redoc_url=None,
        description="Search, alerts, sources and health of a Hải Đăng site.",
    )  # fmt: skip
    app.state.settings, app.state.engine, app.state.reader = settings, engine, reader
    app.state.searching, app.state.log_in_checks = searching, login.checks()
    app.state.requests = Limit(settings.access.requests_per_minute)
    app.state.log_ins = Limit(settings.access.logins_per_minute)
    app.state.live = live.Live(lambda: marks.look(engine, settings))
    app.state.exports = export.Exports()
    app.state.shelf, app.state.turns, app.state.uploads = Shelf(), Turns(), Uploads()
    # those of packs before those of rules, whose paths may be any name
    parts = (
        login, oidc, accounts, search, fields, saved, alerts, cases, delivery, rule_packs, rules, devices, indicators,
        audit, status, live, export, processes, site_settings, overview, sharing, reports, attack,
    )  # fmt: skip
    for part in parts:
        app.include_router(part.router, prefix="/api/v1", dependencies=[Depends(same_site)])
    app.include_router(elastic.router, prefix=ELASTIC, dependencies=[Depends(same_site)])
    app.include_router(taxii.router)
    app.include_router(pages.router)
    app.include_router(console.router)  # the last, for its screens are any path
    others = ChainMap(rule_packs.LARGER, cases.LARGER, saved.LARGER, sharing.LARGER, reports.LARGER)
    app.add_middleware(Guard, larger=taxii.larger(settings, others), told=taxii.told)
    answer_faults(app)
    return app
