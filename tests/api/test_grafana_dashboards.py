"""Every query of the dashboards that we ship, run as Grafana runs it, on real logs that went through the pipeline."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from grafana_requests import of_panel
from sites import Site, serving
from sqlalchemy import Engine

from pipeline import store
from pipeline.event import Event, to_micros
from pipeline.settings import Settings
from pipeline.shipped import shipped_grafana

pytestmark = pytest.mark.slow
Json = dict[str, Any]
PATHS = sorted((shipped_grafana() / "vi").glob("*.json"))
#: What none of these logs has.
_EMPTY = {
    "Thành công từ ngoài mạng nội bộ", "Không đọc được", "Cảnh báo của chính hệ thống",
}  # fmt: skip
_ALL = {"source": "*", "unit": "*"}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Iterator[Site]:
    """A site that imported the logs of SSH servers, of Apache, of a Zeek sensor and of an attack: events and alerts."""
    files = [
        *(shared_data / "logs" / name / f"{name}_2k.log" for name in ("OpenSSH", "Linux", "Apache")),
        *sorted((shared_data / "zeek" / "mixed").glob("*.log")),
        shared_data / "evtx" / "EVTX-ATTACK-SAMPLES" / "Credential Access" / "CA_DCSync_4662.evtx",
    ]

    def imported(settings: Settings, _engine: Engine) -> list[Event]:
        environment = {**os.environ, "HAIDANG_DATA_DIR": str(settings.data_dir)}
        done = subprocess.run(
            [Path(sys.executable).with_name("haidang"), "import", "--json", *map(str, files)],
            env=environment, capture_output=True, text=True, check=False, timeout=200,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return []

    with serving(tmp_path_factory.mktemp("dashboards"), imported) as made:
        yield made


@pytest.fixture(scope="module")
def client(filled: Site) -> Iterator[Elasticsearch]:
    """A client with the token that Grafana would have."""
    token = filled.token("grafana", "viewer")
    with Elasticsearch(
        f"{filled.address}/es", basic_auth=("haidang", token), max_retries=0, request_timeout=60
    ) as made:
        yield made


def _span(site: Site, index: str) -> tuple[int, int]:
    reader = store.open_reader(site.settings.data_dir, site.settings.store)
    ends = [reader.search(index, {"size": 1, "sort": [{"@timestamp": way}]})["hits"]["hits"] for way in ("asc", "desc")]
    reader.close()
    start, end = (to_micros(hits[0]["_source"]["@timestamp"]) // 1000 for hits in ends)
    return start, end


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_panel_is_answered_and_shows_what_the_logs_have(filled: Site, client: Elasticsearch, path: Path) -> None:
    dashboard = json.loads(path.read_text())
    empty = []
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            index = {"haidang-events": "events", "haidang-alerts": "alerts"}[target["datasource"]["uid"]]
            start, end = _span(filled, index)
            for variables in (_ALL, {"source": "import", "unit": '("vn" OR "other")'}):
                body = of_panel(target, start, end, "86400000ms", variables)
                pair: list[Json] = [
                    {"index": index, "search_type": "query_then_fetch", "ignore_unavailable": True},
                    body,
                ]
                (answer,) = client.msearch(searches=pair)["responses"]
                assert answer["status"] == 200, (panel["title"], answer)
                if not answer["hits"]["total"]["value"]:
                    empty.append(panel["title"])
                elif body["size"]:
                    assert answer["hits"]["hits"], panel["title"]
                else:
                    assert any(_numbers(answer["aggregations"])), panel["title"]
    assert set(empty) <= _EMPTY


def _numbers(answer: Any) -> Iterator[float]:
    """Yield the numbers of an answer that a panel would draw."""
    if isinstance(answer, dict):
        for name, value in answer.items():
            if name in ("value", "doc_count") and value:
                yield value
            yield from _numbers(value)
    elif isinstance(answer, list):
        for item in answer:
            yield from _numbers(item)


def test_variables_list_what_there_is(client: Elasticsearch) -> None:
    for path in PATHS:
        for variable in json.loads(path.read_text())["templating"]["list"]:
            query = json.loads(variable["query"])
            assert query["find"] == "terms"
            terms = {"field": query["field"], "size": query["size"], "order": {"_key": "asc"}}
            told = client.search(index="events", size=0, aggs={"1": {"terms": terms}})["aggregations"]["1"]["buckets"]
            assert [bucket["key"] for bucket in told] == {"labels.source": ["import"], "organization.id": ["vn"]}[
                query["field"]
            ]
