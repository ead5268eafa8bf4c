"""A stand-in for Grafana's HTTP API, because no Grafana can be had here: a real server that takes and gives what its
reference documents of health, folders, data sources and dashboards, checks bodies, and refuses as Grafana does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
#: Required parts of bodies and their types, after the reference ("Create data source", "Create / Update dashboard" …).
_SOURCE = {"uid": str, "name": str, "type": str, "access": str, "url": str, "basicAuth": bool, "jsonData": dict}
_DASHBOARD = {"dashboard": dict, "folderUid": str, "overwrite": bool, "message": str}


class Grafana:
    """What a Grafana holds, and what was asked of it. `role` is that of the token; with a `page` it is something else."""

    def __init__(self, port: int, path: str = "") -> None:
        self.url = f"http://127.0.0.1:{port}{path}"
        self.path, self.token, self.role, self.version = path, "glsa_good", "Admin", "12.2.0"
        self.page = ""
        self.folders: dict[str, Json] = {}
        self.sources: dict[str, Json] = {}
        self.secrets: dict[str, Json] = {}
        self.dashboards: dict[str, Json] = {}
        self.asked: list[tuple[str, str]] = []

    @property
    def changes(self) -> list[tuple[str, str]]:
        """What was asked that changes something."""
        return [(method, path) for method, path in self.asked if method != "GET"]

    def answer(self, method: str, path: str, body: Any, authorization: str) -> tuple[int, Any]:
        """Return status and body of an answer."""
        if not path.startswith(f"{self.path}/api/"):
            return 404, {"message": "Not found"}
        path = path.removeprefix(f"{self.path}/api")
        self.asked.append((method, path))
        if (method, path) == ("GET", "/health"):
            return 200, {"commit": "x", "database": "ok", "version": self.version}
        if authorization != f"Bearer {self.token}":
            return 401, {"message": "Invalid API key"}
        if self.role != "Admin":
            return 403, {"message": "You'll need additional permissions to perform this action."}
        kind, _, rest = path.strip("/").partition("/")
        return {"folders": self._folder, "datasources": self._source, "dashboards": self._dashboard}[kind](
            method, rest, body
        )

    def _folder(self, method: str, uid: str, body: Any) -> tuple[int, Any]:
        if method == "GET":
            return (200, self.folders[uid]) if uid in self.folders else (404, {"message": "folder not found"})
        if method == "POST":
            assert set(body) <= {"uid", "title", "parentUid"} and isinstance(body["title"], str)
            self.folders[body["uid"]] = {"id": 1, "version": 1, **body}
            return 200, self.folders[body["uid"]]
        if body.get("version") != self.folders[uid]["version"] and not body.get("overwrite"):
            return 412, {"message": "the folder has been changed by someone else", "status": "version-mismatch"}
        self.folders[uid] = {**self.folders[uid], "title": body["title"], "version": body["version"] + 1}
        return 200, self.folders[uid]

    def _source(self, method: str, rest: str, body: Any) -> tuple[int, Any]:
        uid = rest.removeprefix("uid/")
        if method == "GET":
            if uid not in self.sources:
                return 404, {"message": "Data source not found"}
            kept = dict.fromkeys(self.secrets[uid], True)
            return 200, {"id": 7, "orgId": 1, "readOnly": False, **self.sources[uid], "secureJsonFields": kept}
        _check(body, _SOURCE)
        if method == "POST" and (body["uid"] in self.sources or _taken(body["name"], self.sources)):
            return 409, {"message": "data source with the same name already exists"}
        secrets = body.pop("secureJsonData", {})
        assert all(isinstance(value, str) for value in secrets.values())
        self.secrets[body["uid"]] = {**self.secrets.get(body["uid"], {}), **secrets}
        self.sources[body["uid"]] = body
        return 200, {"datasource": body, "id": 7, "message": "Datasource added", "name": body["name"]}

    def _dashboard(self, method: str, rest: str, body: Any) -> tuple[int, Any]:
        uid = rest.removeprefix("uid/")
        if method == "GET":
            held = self.dashboards.get(uid)
            return (200, held) if held else (404, {"message": "Dashboard not found", "status": "not-found"})
        assert rest == "db"
        _check(body, _DASHBOARD)
        if body["folderUid"] not in self.folders:
            return 400, {"message": "folder not found"}
        model = body["dashboard"]
        former = self.dashboards.get(model["uid"])
        version = former["dashboard"]["version"] + 1 if former else 1
        if former and not body["overwrite"]:
            return 412, {"message": "The dashboard has been changed by someone else", "status": "version-mismatch"}
        self.dashboards[model["uid"]] = {
            "dashboard": {**model, "id": 10, "version": version},
            "meta": {"folderUid": body["folderUid"], "slug": "x", "provisioned": False},
        }
        return 200, {"uid": model["uid"], "status": "success", "version": version}


def _check(body: Json, wanted: dict[str, type]) -> None:
    for name, kind in wanted.items():
        assert isinstance(body.get(name), kind), name


def _taken(name: str, sources: dict[str, Json]) -> bool:
    return any(source["name"] == name for source in sources.values())


@contextmanager
def running(path: str = "") -> Iterator[Grafana]:
    """Run one on a free port of loopback, under a path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            content = self.rfile.read(length)
            try:
                body = json.loads(content) if content else None
                status, told = held.answer(self.command, self.path, body, self.headers.get("Authorization", ""))
            except (AssertionError, KeyError, ValueError) as error:
                status, told = 400, {"message": f"bad request data: {error!r}"}
            answer = held.page.encode() or json.dumps(told).encode()
            self.send_response(200 if held.page else status)
            self.send_header("Content-Type", "text/html" if held.page.startswith("<html") else "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_PUT = do_DELETE = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held = Grafana(server.server_port, path)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
