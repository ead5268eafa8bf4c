"""Our dashboards in a Grafana: files and where our API answers enter, a folder, data sources and dashboards leave.

Each is looked up by its own `uid` and changed only where it differs, so that a second run changes nothing. Asked of
Grafana's HTTP API (health, folders, data sources, dashboards): what they take and give is in Grafana's HTTP API
reference, the same since version 9.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
from grafana_client import GrafanaApi  # type: ignore[import-untyped]
from grafana_client.client import (  # type: ignore[import-untyped]
    GrafanaClientError,
    GrafanaException,
    GrafanaUnauthorizedError,
    TokenAuth,
)
from requests import RequestException

from pipeline.messages import HaidangError, say

Json = dict[str, Any]
#: The oldest Grafana that is known to take what is sent: its data source asks for `fixed_interval`.
OLDEST = 9
FOLDER = "haidang"
#: Data sources by the index that they search: uid, and which fields a log line is made of.
SOURCES = {
    "events": ("haidang-events", "message", "log.level"),
    "alerts": ("haidang-alerts", "rule.description", "rule.level"),
}
CREATED, UPDATED, SAME = "created", "updated", "same"
_TIMEOUT_SECONDS = 30.0
#: What Grafana's version history says of our changes.
_COMMIT = "haidang grafana push"
#: What Grafana itself writes into a dashboard.
_THEIRS = frozenset(("id", "version", "iteration"))
_NOT_THERE, _FORBIDDEN, _CHANGED_MEANWHILE = 404, 403, 412
_LONGEST_REASON = 300


class Place(NamedTuple):
    """Where our API answers, as Grafana reaches it: address without `/es`, a token of ours, its authority as PEM."""

    url: str
    token: str = ""
    ca: str = ""


class Change(NamedTuple):
    """What became of one thing: its kind (`folder`, `source`, `dashboard`), title, and `CREATED`, `UPDATED`, `SAME`."""

    kind: str
    title: str
    outcome: str


class Grafana:
    """A Grafana that is written to; with `dry` it is only read."""

    def __init__(self, url: str, token: str, ca: Path | None = None, dry: bool = False) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise HaidangError("grafana.bad_url", url=url)
        prefix = parts.path.strip("/")
        self._url, self._dry = url, dry
        self._api = GrafanaApi(
            auth=TokenAuth(token), host=f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname,
            port=parts.port, url_path_prefix=f"{prefix}/" if prefix else "", protocol=parts.scheme,
            verify=True if ca is None else str(ca), timeout=_TIMEOUT_SECONDS, user_agent="haidang",
        )  # fmt: skip

    def push(self, place: Place, dashboards: Sequence[Json]) -> Iterator[Change]:
        """Bring everything there, and yield what became of each.

        Raises:
            HaidangError: Grafana does not answer, refuses, or is too old; what was yielded before is done.
        """
        with self._answers():
            self._look_at_version()
            yield self._folder()
            for index in SOURCES:
                yield self._source(index, place)
            for dashboard in dashboards:
                yield self._dashboard(dashboard)

    def _look_at_version(self) -> None:
        told = self._api.health.check()
        version = told.get("version") if isinstance(told, dict) else None
        if not isinstance(told, dict) or "database" not in told:
            raise HaidangError("grafana.none", url=self._url)
        major = str(version or "").partition(".")[0]
        if major.isdigit() and int(major) < OLDEST:  # it may hide its version
            raise HaidangError("grafana.too_old", url=self._url, version=version, oldest=OLDEST)

    def _folder(self) -> Change:
        title = say("grafana.folder")
        found = self._found(lambda: self._api.folder.get_folder(FOLDER))
        if found is None:
            self._do(lambda: self._api.folder.create_folder(title, FOLDER))
            return Change("folder", title, CREATED)
        if found.get("title") == title:
            return Change("folder", title, SAME)
        self._do(lambda: self._api.folder.update_folder(FOLDER, title, found.get("version")))
        return Change("folder", title, UPDATED)

    def _source(self, index: str, place: Place) -> Change:
        wanted = source_of(index, place)
        found = self._found(lambda: self._api.datasource.get_datasource_by_uid(wanted["uid"]))
        if found is None:
            if not place.token:
                raise HaidangError("grafana.no_token", name=wanted["name"])
            self._do(lambda: self._api.datasource.create_datasource(wanted))
            return Change("source", wanted["name"], CREATED)
        if found.get("readOnly"):
            raise HaidangError("grafana.provisioned", name=wanted["name"])
        # what is secret cannot be read again: a token that is named is written, and without one the former stays
        if not place.token and not place.ca and _holds(found, wanted):
            return Change("source", wanted["name"], SAME)
        self._do(lambda: self._api.datasource.update_datasource_by_uid(wanted["uid"], wanted))
        return Change("source", wanted["name"], UPDATED)

    def _dashboard(self, dashboard: Json) -> Change:
        found = self._found(lambda: self._api.dashboard.get_dashboard(dashboard["uid"]))
        held = found.get("dashboard", {}) if found else {}
        if found and _ours(held) == _ours(dashboard) and found.get("meta", {}).get("folderUid") == FOLDER:
            return Change("dashboard", dashboard["title"], SAME)
        told = {
            "dashboard": {**dashboard, "id": None}, "folderUid": FOLDER, "overwrite": True,
            "message": _COMMIT,
        }  # fmt: skip
        self._do(lambda: self._api.dashboard.update_dashboard(told))
        return Change("dashboard", dashboard["title"], UPDATED if found else CREATED)

    def _found(self, ask: Callable[[], Any]) -> Json | None:
        """Return what is asked for, or None where it is not there."""
        try:
            told = ask()
        except GrafanaClientError as error:
            if error.status_code == _NOT_THERE:
                return None
            raise
        if not isinstance(told, dict):
            raise HaidangError("grafana.none", url=self._url)
        return told

    def _do(self, change: Callable[[], Any]) -> None:
        if not self._dry:
            change()

    @contextmanager
    def _answers(self) -> Iterator[None]:
        """Turn what the library raises within the block into ours."""
        try:
            yield
        except GrafanaUnauthorizedError as error:
            raise HaidangError("grafana.bad_token", url=self._url) from error
        except GrafanaException as error:
            key = {_FORBIDDEN: "grafana.no_right", _NOT_THERE: "grafana.none", _CHANGED_MEANWHILE: "grafana.conflict"}
            known, reason = key.get(error.status_code, "grafana.refused"), str(error.message)[:_LONGEST_REASON]
            raise HaidangError(known, url=self._url, status=error.status_code, reason=reason) from error
        except RequestException as error:
            reason = str(error)[:_LONGEST_REASON]
            key_of_kind = "grafana.none" if isinstance(error, ValueError) else "grafana.no_answer"
            raise HaidangError(key_of_kind, url=self._url, reason=reason) from error


def dashboards_in(folder: Path) -> list[Json]:
    """Return the dashboards of a folder, by name of file."""
    return [orjson.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))]


def source_of(index: str, place: Place) -> Json:
    """Return one of our data sources, as Grafana's API takes it."""
    uid, message, level = SOURCES[index]
    options = {
        # `esVersion`: Grafana before 10 asks for it
        "index": index, "timeField": "@timestamp", "logMessageField": message, "logLevelField": level,
        "timeInterval": "10s", "maxConcurrentShardRequests": 5, "esVersion": "8.0.0",
        "tlsAuthWithCACert": bool(place.ca),
    }  # fmt: skip
    secrets = {"basicAuthPassword": place.token, "tlsCACert": place.ca}
    return {
        "uid": uid, "name": say(f"grafana.source_{index}"), "type": "elasticsearch", "access": "proxy",
        "url": f"{place.url.rstrip('/')}/es", "database": index, "basicAuth": True, "basicAuthUser": "haidang",
        "jsonData": options, "secureJsonData": {name: value for name, value in secrets.items() if value},
    }  # fmt: skip


def _holds(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a data source is as wanted, but for its secrets and what else it may have."""
    options = found.get("jsonData") or {}
    told = {name: value for name, value in wanted.items() if name not in ("jsonData", "secureJsonData", "database")}
    asked = {name: value for name, value in wanted["jsonData"].items() if name != "tlsAuthWithCACert"}
    return all(found.get(name) == value for name, value in told.items()) and all(
        options.get(name) == value for name, value in asked.items()
    )


def _ours(dashboard: Mapping[str, Any]) -> Json:
    return {name: value for name, value in dashboard.items() if name not in _THEIRS}
