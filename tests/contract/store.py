"""What every store must do (`pipeline.store`). A subclass gives the fixtures `writer` and `reader` of one empty store."""

from typing import Any

import orjson
import pytest

from pipeline.event import Event, encode, event_id, to_micros
from pipeline.store import ALERTS, BOTH, EVENTS, Reader, SearchError, Writer
from pipeline.store.document import document

Body = dict[str, Any]


def event(number: int, **fields: Any) -> Event:
    """Return an event of today at noon and `number` seconds; `user__name` is `user.name`."""
    clock = f"{12 + number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}"
    return {
        "@timestamp": f"2026-11-24T{clock}.000Z",
        "event.id": event_id("contract", number),
        **{name.replace("__", "."): value for name, value in fields.items()},
    }


def put(writer: Writer, *events: Event, collection: str = EVENTS) -> int:
    """Add events and commit; return how many were there already."""
    added = writer.add(collection, [document(item, encode(item)) for item in events])
    assert added.refused == ()
    writer.commit()
    return added.repeated


def numbers(reader: Reader, query: Body, **more: Any) -> set[int]:
    """Return the field `n` of the events that a query finds."""
    answer = reader.search(EVENTS, {"query": query, "size": 100, **more})
    hits = answer["hits"]["hits"]
    assert answer["hits"]["total"]["value"] == len(hits)
    return {hit["_source"]["n"] for hit in hits}


def text(query: str) -> Body:
    """Return the DSL query of a query text."""
    return {"query_string": {"query": query}}


def _millis(of: Event) -> int:
    return to_micros(of["@timestamp"]) // 1000


SAMPLE = (
    event(0, n=0, user__name="root", source__ip="10.0.0.1", source__port=22, host__name="web", message="Failed password for root", event__category=["authentication"], ok=False),
    event(1, n=1, user__name="Nguyễn Văn Đăng", source__ip="10.0.1.7", source__port=443, host__name="web", message="Đăng nhập thất bại", ok=True),
    event(2, n=2, user__name="admin", source__ip="192.168.1.9", source__port=8080, host__name="db", message="Accepted password for admin", event__category=["authentication", "session"]),
    event(3, n=3, source__ip="2001:db8::5", host__name="db", event__code="4624", winlog__event_data__Image="C:\\Windows\\System32\\cmd.exe", message="shell"),
    event(3700, n=4, user__name="ROOT", host__name="mail", ratio=0.5, event__original="password failed\nsecond line", message="short"),
)  # fmt: skip


class StoreContract:
    """The suite."""

    def test_a_canary_is_written_and_found_where_no_search_looks(self, writer: Writer, reader: Reader) -> None:
        put(writer, event(1))
        proofs = [document(item, encode(item)) for item in (event(2), event(3))]
        for _ in range(2):
            assert writer.prove(proofs) == {proof.identifier for proof in proofs}
            writer.commit()
        assert reader.search(EVENTS, {"query": {"match_all": {}}})["hits"]["total"]["value"] == 1
        assert reader.search(ALERTS, {"query": {"match_all": {}}})["hits"]["total"]["value"] == 0

    def test_lines_of_all_that_fits_come_in_order_of_time_and_whole(self, writer: Writer, reader: Reader) -> None:
        many = [event(number % 7_000, n=number, host__name="web" if number % 2 else "db") for number in range(12_000)]
        many = [{**item, "event.id": event_id("lines", number)} for number, item in enumerate(many)]
        past = [{**item, "@timestamp": f"2026-0{month}-2{day}T12:00:00.000Z", "event.id": event_id("past", month, day), "n": -1}
                for item in many[1:2] for month in (3, 4) for day in (1, 2)]  # fmt: skip
        put(writer, *many, *past)
        web = [orjson.loads(line) for lines in reader.lines(EVENTS, {"term": {"host.name": "web"}}) for line in lines]
        times = [each["@timestamp"] for each in web]
        assert times == sorted(times)
        assert sorted(each["event.id"] for each in web) == sorted(
            each["event.id"] for each in [*many, *past] if each["host.name"] == "web"
        )
        assert all(each in many or each in past for each in web[:50])
        noon = {"range": {"@timestamp": {"gte": "2026-11-24T12:00:01Z", "lt": "2026-11-24T12:00:03Z"}}}
        found = [orjson.loads(line)["n"] for lines in reader.lines(EVENTS, noon) for line in lines]
        assert sorted(found[:2]) == [1, 7001] and sorted(found[2:]) == [2, 7002]
        back = [orjson.loads(line) for lines in reader.lines(EVENTS, {"match_all": {}}, newest=True) for line in lines]
        assert [each["@timestamp"] for each in back] == sorted(
            (each["@timestamp"] for each in [*many, *past]), reverse=True
        )
        assert len({each["event.id"] for each in back}) == len(many) + len(past)
        assert list(reader.lines(EVENTS, {"match_none": {}})) == []
        assert list(reader.lines(ALERTS, {"match_all": {}})) == []
        with pytest.raises(SearchError):
            list(reader.lines(EVENTS, {"nothing": {}}))

    def test_more_events_of_one_microsecond_than_are_read_at_once(
        self, writer: Writer, reader: Reader, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from pipeline.store import elastic_reader, tantivy_part

        monkeypatch.setattr(tantivy_part, "_PLACES", 10)
        monkeypatch.setattr(elastic_reader, "_PAGE", 10)
        put(writer, *(event(number // 25, n=number) | {"event.id": event_id("same", number)} for number in range(103)))
        found = [orjson.loads(line)["n"] for lines in reader.lines(EVENTS, {"match_all": {}}) for line in lines]
        assert sorted(found) == list(range(103))
        assert [number // 25 for number in found] == sorted(number // 25 for number in found)
        back = [
            orjson.loads(line)["n"] for lines in reader.lines(EVENTS, {"match_all": {}}, newest=True) for line in lines
        ]
        assert sorted(back) == list(range(103))
        assert [number // 25 for number in back] == sorted((number // 25 for number in back), reverse=True)

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"match_all": {}}, {0, 1, 2, 3, 4}),
            ({"match_none": {}}, set()),
            ({"term": {"user.name": "root"}}, {0, 4}),
            ({"term": {"user.name": {"value": "Root"}}}, {0, 4}),
            ({"term": {"user.name": "nguyen van dang"}}, {1}),
            ({"term": {"user.name": "nguyen"}}, set()),
            ({"term": {"source.port": 443}}, {1}),
            ({"term": {"source.port": "443"}}, {1}),
            ({"term": {"event.code": 4624}}, {3}),
            ({"term": {"ok": True}}, {1}),
            ({"term": {"ok": "false"}}, {0}),
            ({"term": {"event.category": "session"}}, {2}),
            ({"term": {"source.ip": "10.0.0.0/16"}}, {0, 1}),
            ({"term": {"source.ip": "2001:db8::/32"}}, {3}),
            ({"terms": {"host.name": ["web", "mail"]}}, {0, 1, 4}),
            ({"terms": {"host.name": []}}, set()),
            ({"range": {"source.port": {"gt": 22, "lte": 8080}}}, {1, 2}),
            ({"range": {"source.port": {"gte": 22, "lt": 443}}}, {0}),
            ({"range": {"ratio": {"gte": 0.25, "lte": 0.75}}}, {4}),
            ({"range": {"host.name": {"gte": "db", "lt": "mail"}}}, {2, 3}),
            ({"range": {"@timestamp": {"gte": "2026-11-24T13:00:00Z"}}}, {4}),
            ({"range": {"@timestamp": {"gt": "2026-11-24T12:00:00Z", "lt": "2026-11-24T12:00:03Z"}}}, {1, 2}),
            ({"exists": {"field": "user.name"}}, {0, 1, 2, 4}),
            ({"exists": {"field": "winlog"}}, {3}),
            ({"exists": {"field": "nothing"}}, set()),
            ({"prefix": {"user.name": "RO"}}, {0, 4}),
            ({"wildcard": {"winlog.event_data.Image": "*\\\\cmd.exe"}}, {3}),
            ({"wildcard": {"user.name": {"value": "?dmi*"}}}, {2}),
            ({"match": {"message": "accepted shell"}}, {2, 3}),
            ({"match": {"message": {"query": "accepted admin", "operator": "and"}}}, {2}),
            ({"match_phrase": {"message": "password for"}}, {0, 2}),
            ({"match_phrase": {"message": "for password"}}, set()),
            ({"ids": {"values": [SAMPLE[2]["event.id"], "f" * 24]}}, {2}),
            ({"bool": {"must": [{"term": {"host.name": "db"}}], "must_not": [{"term": {"user.name": "admin"}}]}}, {3}),
            ({"bool": {"must_not": [{"exists": {"field": "user.name"}}]}}, {3}),
            ({"bool": {"should": [{"term": {"n": 1}}, {"term": {"n": 3}}]}}, {1, 3}),
            ({"bool": {"should": [{"term": {"host.name": "db"}}, {"term": {"n": 2}}], "minimum_should_match": 2}}, {2}),
            ({"bool": {"filter": {"term": {"host.name": "web"}}, "should": [{"term": {"n": 1}}]}}, {0, 1}),
        ],
    )
    def test_queries(self, writer: Writer, reader: Reader, query: Body, expected: set[int]) -> None:
        put(writer, *SAMPLE)
        assert numbers(reader, query) == expected

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("", {0, 1, 2, 3, 4}),
            ("password", {0, 2, 4}),
            ("dang nhap", {1}),
            ('"that bai"', {1}),
            ("ĐĂNG", {1}),
            ("pass*", {0, 2, 4}),
            ("user.name:root", {0, 4}),
            ("user.name:(root OR admin) AND host.name:db", {2}),
            ("NOT user.name:*", {3}),
            ("-host.name:web", {2, 3, 4}),
            ("password !failed", {2}),
            ("source.port:[22 TO 443}", {0}),
            ("source.port:>=443", {1, 2}),
            ("source.ip:10.0.0.0/8", {0, 1}),
            ("source.ip:2001:db8::5", {3}),
            ("_exists_:ratio", {4}),
            ('winlog.event_data.Image:"C:\\Windows\\System32\\cmd.exe"', {3}),
            ("winlog.event_data.Image:*cmd.exe", {3}),
            ("message:shell || message:accepted", {2, 3}),
            ("@timestamp:[2026-11-24T13:00:00Z TO *]", {4}),
            ('"second line"', {4}),
        ],
    )
    def test_query_texts(self, writer: Writer, reader: Reader, query: str, expected: set[int]) -> None:
        put(writer, *SAMPLE)
        assert numbers(reader, text(query)) == expected

    def test_an_event_comes_back_as_it_went_in(self, writer: Writer, reader: Reader) -> None:
        odd = event(
            9,
            n=9,
            none=None,
            nested={"a": [1, {"b": "c"}]},
            big=2**63 - 1,
            text="ƯƠ\u0000\u2028'\"\\<b>",
            date="2026-11-24T00:00:00Z",
        )
        put(writer, odd)
        assert reader.get(EVENTS, odd["event.id"]) == odd

    def test_an_unknown_id_is_nothing(self, writer: Writer, reader: Reader) -> None:
        put(writer, *SAMPLE)
        assert reader.get(EVENTS, "0" * 24) is None

    def test_an_empty_store_answers(self, reader: Reader) -> None:
        answer = reader.search(EVENTS, {"aggs": {"a": {"terms": {"field": "user.name"}}, "b": {"avg": {"field": "n"}}}})
        assert answer["hits"]["total"]["value"] == 0
        assert answer["aggregations"]["a"]["buckets"] == []
        assert answer["aggregations"]["b"]["value"] is None

    def test_nothing_is_there_before_the_commit(self, writer: Writer, reader: Reader) -> None:
        writer.add(EVENTS, [document(SAMPLE[0], encode(SAMPLE[0]))])
        assert numbers(reader, {"match_all": {}}) == set()
        writer.commit()
        assert numbers(reader, {"match_all": {}}) == {0}

    def test_the_same_event_twice_is_one_event(self, writer: Writer, reader: Reader) -> None:
        assert put(writer, SAMPLE[0], SAMPLE[0]) == 1
        assert put(writer, *SAMPLE) == 1
        assert numbers(reader, {"match_all": {}}) == {0, 1, 2, 3, 4}

    def test_an_alert_that_comes_again_replaces_the_first(self, writer: Writer, reader: Reader) -> None:
        for status in ("new", "closed"):
            put(writer, event(1, n=1, alert__status=status), collection=ALERTS)
        answer = reader.search(ALERTS, {})
        assert [hit["_source"]["alert.status"] for hit in answer["hits"]["hits"]] == ["closed"]

    def test_newest_first_and_in_pages(self, writer: Writer, reader: Reader) -> None:
        put(writer, *SAMPLE)
        pages = [reader.search(EVENTS, {"size": 2, "from": start})["hits"]["hits"] for start in (0, 2, 4)]
        assert [[hit["_source"]["n"] for hit in page] for page in pages] == [[4, 3], [2, 1], [0]]

    @pytest.mark.parametrize(
        ("sort", "expected"),
        [
            ([{"@timestamp": "asc"}], [0, 1, 2, 3, 4]),
            ([{"source.port": "asc"}], [0, 1, 2]),
            ([{"source.port": {"order": "desc"}}], [2, 1, 0]),
            ([{"host.name": "asc"}, {"n": "desc"}], [3, 2, 4, 1, 0]),
        ],
    )
    def test_sorting_puts_what_is_missing_last(
        self, writer: Writer, reader: Reader, sort: list[Any], expected: list[int]
    ) -> None:
        put(writer, *SAMPLE)
        found = [hit["_source"]["n"] for hit in reader.search(EVENTS, {"sort": sort})["hits"]["hits"]]
        assert found[: len(expected)] == expected
        assert len(found) == len(SAMPLE)

    def test_fields_can_be_chosen(self, writer: Writer, reader: Reader) -> None:
        put(writer, SAMPLE[0])
        (hit,) = reader.search(EVENTS, {"_source": ["n", "source.*"]})["hits"]["hits"]
        assert set(hit["_source"]) == {"n", "source.ip", "source.port"}

    def test_days_are_one_store(self, writer: Writer, reader: Reader) -> None:
        days = [
            {**event(number, n=number, day="x"), "@timestamp": f"2026-11-{20 + number}T23:59:59.999Z"}
            for number in range(4)
        ]
        old = {**event(9, n=9, day="x"), "@timestamp": "2019-02-01T00:00:00.000Z"}
        put(writer, *days, old)
        answer = reader.search(
            EVENTS, {"size": 3, "aggs": {"a": {"terms": {"field": "day"}}, "c": {"cardinality": {"field": "n"}}}}
        )
        assert [hit["_source"]["n"] for hit in answer["hits"]["hits"]] == [3, 2, 1]
        assert answer["hits"]["total"]["value"] == 5
        assert answer["aggregations"]["a"]["buckets"] == [{"key": "x", "doc_count": 5}]
        assert answer["aggregations"]["c"]["value"] == 5
        assert numbers(reader, {"range": {"@timestamp": {"lt": "2026-11-21T00:00:00Z"}}}) == {0, 9}

    @pytest.mark.parametrize(
        ("aggregation", "expected"),
        [
            ({"terms": {"field": "host.name"}}, [("db", 2), ("web", 2), ("mail", 1)]),
            ({"terms": {"field": "host.name", "size": 1, "order": {"_key": "desc"}}}, [("web", 2)]),
            ({"terms": {"field": "event.category"}}, [("authentication", 2), ("session", 1)]),
            ({"multi_terms": {"terms": [{"field": "host.name"}, {"field": "user.name"}], "size": 2, "order": {"_key": "asc"}}},
             [(["db", "admin"], 1), (["mail", "ROOT"], 1)]),
            ({"histogram": {"field": "source.port", "interval": 4000}}, [(0.0, 2), (4000.0, 0), (8000.0, 1)]),
            ({"histogram": {"field": "source.port", "interval": 4000, "min_doc_count": 1}}, [(0.0, 2), (8000.0, 1)]),
            ({"range": {"field": "source.port", "ranges": [{"to": 100}, {"from": 100, "to": 1000}, {"from": 9000}]}},
             [("*-100.0", 1), ("100.0-1000.0", 1), ("9000.0-*", 0)]),
            ({"date_histogram": {"field": "@timestamp", "fixed_interval": "30m"}},
             [(1795521600000, 4), (1795523400000, 0), (1795525200000, 1)]),
            ({"date_histogram": {"field": "@timestamp", "calendar_interval": "day", "time_zone": "Asia/Ho_Chi_Minh"}},
             [(1795453200000, 5)]),
            ({"date_histogram": {"field": "@timestamp", "fixed_interval": "1d", "time_zone": "+07:00"}}, [(1795453200000, 5)]),
        ],
    )  # fmt: skip
    def test_buckets(self, writer: Writer, reader: Reader, aggregation: Body, expected: list[Any]) -> None:
        put(writer, *SAMPLE)
        answer = reader.search(EVENTS, {"size": 0, "aggs": {"a": aggregation}})["aggregations"]["a"]
        assert [(bucket["key"], bucket["doc_count"]) for bucket in answer["buckets"]] == expected

    @pytest.mark.parametrize(
        ("aggregation", "expected"),
        [
            ({"avg": {"field": "n"}}, {"value": 2.0}),
            ({"sum": {"field": "source.port"}}, {"value": 8545.0}),
            ({"min": {"field": "source.port"}}, {"value": 22.0}),
            ({"max": {"field": "source.port"}}, {"value": 8080.0}),
            ({"value_count": {"field": "user.name"}}, {"value": 4}),
            ({"cardinality": {"field": "host.name"}}, {"value": 3}),
            ({"stats": {"field": "n"}}, {"count": 5, "min": 0.0, "max": 4.0, "avg": 2.0, "sum": 10.0}),
        ],
    )
    def test_numbers(self, writer: Writer, reader: Reader, aggregation: Body, expected: Body) -> None:
        put(writer, *SAMPLE)
        assert reader.search(EVENTS, {"aggs": {"a": aggregation}})["aggregations"]["a"] == expected

    def test_percentiles_are_within_a_percent(self, writer: Writer, reader: Reader) -> None:
        put(writer, *(event(number, n=number) for number in range(1001)))
        answer = reader.search(EVENTS, {"aggs": {"a": {"percentiles": {"field": "n", "percents": [50, 99]}}}})
        values = answer["aggregations"]["a"]["values"]
        assert values["50.0"] == pytest.approx(500, rel=0.01)
        assert values["99.0"] == pytest.approx(990, rel=0.01)

    def test_filters_and_what_lies_below(self, writer: Writer, reader: Reader) -> None:
        put(writer, *SAMPLE)
        aggregations = {
            "named": {
                "filters": {"filters": {"fails": text("failed"), "db": {"term": {"host.name": "db"}}}},
                "aggs": {"hosts": {"terms": {"field": "host.name"}}},
            },
            "one": {"filter": {"term": {"host.name": "web"}}, "aggs": {"ports": {"sum": {"field": "source.port"}}}},
            "none": {"missing": {"field": "user.name"}},
        }
        answer = reader.search(EVENTS, {"size": 0, "aggs": aggregations})["aggregations"]
        assert {name: bucket["doc_count"] for name, bucket in answer["named"]["buckets"].items()} == {
            "fails": 2,
            "db": 2,
        }
        assert answer["named"]["buckets"]["db"]["hosts"]["buckets"] == [{"key": "db", "doc_count": 2}]
        assert (answer["one"]["doc_count"], answer["one"]["ports"]["value"]) == (2, 465.0)
        assert answer["none"]["doc_count"] == 1

    def test_top_hits_in_buckets(self, writer: Writer, reader: Reader) -> None:
        put(writer, *SAMPLE)
        aggregations = {"a": {"terms": {"field": "host.name"}, "aggs": {"last": {"top_hits": {"size": 1}}}}}
        buckets = reader.search(EVENTS, {"size": 0, "aggs": aggregations})["aggregations"]["a"]["buckets"]
        newest = {bucket["key"]: bucket["last"]["hits"]["hits"][0]["_source"]["n"] for bucket in buckets}
        assert newest == {"db": 3, "web": 1, "mail": 4}

    def test_terms_over_time(self, writer: Writer, reader: Reader) -> None:
        put(writer, *SAMPLE)
        below = {
            "time": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1h"}},
            "n": {"max": {"field": "n"}},
        }
        aggregations = {"a": {"terms": {"field": "host.name", "order": {"n": "desc"}}, "aggs": below}}
        buckets = reader.search(EVENTS, {"size": 0, "aggs": aggregations})["aggregations"]["a"]["buckets"]
        assert [(bucket["key"], bucket["n"]["value"]) for bucket in buckets] == [
            ("mail", 4.0),
            ("db", 3.0),
            ("web", 1.0),
        ]
        assert [bucket["doc_count"] for bucket in buckets[1]["time"]["buckets"]] == [2]

    def test_every_field_is_known_with_its_type(self, writer: Writer, reader: Reader) -> None:
        always = {("@timestamp", "date"), ("event.id", "keyword"), ("message", "text"), ("event.original", "text")}
        assert set(reader.fields(EVENTS)) == always
        kinds = event(9, event__kind="event", event__dataset="test", event__code="4624", labels__source="a")
        put(
            writer, *SAMPLE, kinds, event(10, source__port="443", host__name=7, deep={"er": {"still": [1, {"x": "y"}]}})
        )
        assert reader.fields(EVENTS) == sorted(reader.fields(EVENTS))
        assert set(reader.fields(EVENTS)) - always == {
            ("user.name", "keyword"), ("source.ip", "keyword"), ("source.port", "number"), ("host.name", "keyword"),
            ("event.category", "keyword"), ("ok", "keyword"), ("event.code", "keyword"), ("n", "number"), ("ratio", "number"),
            ("winlog.event_data.Image", "keyword"), ("event.kind", "keyword"), ("event.dataset", "keyword"),
            ("labels.source", "keyword"), ("deep.er.still", "number"), ("deep.er.still.x", "keyword"),
        }  # fmt: skip
        many = {f"field.of.a.thousand.number_{number}": "x" * (number % 30) for number in range(1_000)}
        put(writer, {**event(11), **many}, {**event(12), "@timestamp": "2019-01-01T00:00:00Z", "b" * 300: 1})
        names = {field.name for field in reader.fields(EVENTS)}
        assert names >= {*many, "b" * 300, "user.name"}
        assert set(reader.fields(ALERTS)) == always

    @pytest.mark.parametrize("direction", ["asc", "desc"])
    def test_pages_after_a_hit_hold_every_event_once(self, writer: Writer, reader: Reader, direction: str) -> None:
        many = [{**event(number // 9, n=number), "event.id": event_id("page", number)} for number in range(60)]
        many += [{**event(0, n=60 + number), "@timestamp": f"2026-11-2{number}T01:02:03.{number}00001Z",
                  "event.id": event_id("days", number)} for number in range(5)]  # fmt: skip
        put(writer, *many)
        body: Body = {
            "size": 7, "sort": {"@timestamp": {"order": direction, "unmapped_type": "boolean"}, "_doc": {"order": direction}},
            "aggs": {"all": {"value_count": {"field": "n"}}},
        }  # fmt: skip
        found: list[Body] = []
        while hits := reader.search(EVENTS, body)["hits"]["hits"]:
            answer = reader.search(EVENTS, body)
            assert (answer["hits"]["total"]["value"], answer["aggregations"]["all"]["value"]) == (65, 65)
            found += hits
            body = {**body, "search_after": hits[-1]["sort"]}
        assert sorted(hit["_source"]["n"] for hit in found) == list(range(65))
        times = [hit["_source"]["@timestamp"] for hit in found]
        assert times == sorted(times, reverse=direction == "desc")
        assert len({tuple(hit["sort"]) for hit in found}) == 65
        del body["search_after"]
        third = reader.search(EVENTS, {**body, "from": 14, "size": 7})["hits"]["hits"]  # begins within a moment
        assert [hit["sort"] for hit in third] == [hit["sort"] for hit in found[14:21]]

    def test_a_time_is_sorted_by_its_milliseconds(self, writer: Writer, reader: Reader) -> None:
        put(writer, event(0, n=0), {**event(1, n=1), "@timestamp": "2026-11-24T12:00:01.000250Z"})
        hits = reader.search(EVENTS, {"sort": [{"@timestamp": "asc"}, "n"]})["hits"]["hits"]
        assert [hit["sort"] for hit in hits] == [[1795521600000, 0], [1795521601000.25, 1]]

    def test_values_beside_the_event(self, writer: Writer, reader: Reader) -> None:
        put(writer, SAMPLE[0])
        asked = {
            "docvalue_fields": ["@timestamp", "source.port"], "script_fields": {}, "highlight": {"fields": {"*": {}}},
            "fields": [{"field": "event.*"}, {"field": "@timestamp", "format": "epoch_millis"}], "_source": {"excludes": ["source.*", "message"]},
        }  # fmt: skip
        (hit,) = reader.search(EVENTS, asked)["hits"]["hits"]
        assert hit["fields"] == {
            "@timestamp": ["2026-11-24T12:00:00.000Z"], "source.port": [22],
            "event.category": ["authentication"], "event.id": [SAMPLE[0]["event.id"]],
        }  # fmt: skip
        assert set(hit["_source"]) == {"@timestamp", "event.id", "n", "user.name", "host.name", "event.category", "ok"}
        assert hit["_index"] == EVENTS

    def test_events_and_alerts_are_searched_together(self, writer: Writer, reader: Reader) -> None:
        put(writer, event(1, n=1), event(3, n=3))
        put(writer, event(2, n=2), collection=ALERTS)
        answer = reader.search(BOTH, {"aggs": {"a": {"sum": {"field": "n"}}}})
        assert [(hit["_index"], hit["_source"]["n"]) for hit in answer["hits"]["hits"]] == [
            (EVENTS, 3), (ALERTS, 2), (EVENTS, 1),
        ]  # fmt: skip
        assert answer["aggregations"]["a"]["value"] == 6.0

    def test_bounds_in_milliseconds_hold_the_whole_of_them(self, writer: Writer, reader: Reader) -> None:
        put(writer, event(0, n=0), {**event(1, n=1), "@timestamp": "2026-11-24T12:00:01.000250Z"}, event(2, n=2))
        for low, high, form in (
            (1795521600000, 1795521601000, "epoch_millis"), ("1795521600000", "1795521601000", "epoch_millis"),
            (1795521600, 1795521601.0005, "epoch_second"), ("2026-11-24T12:00:00Z", "2026-11-24T12:00:01.0005Z", "strict_date_optional_time"),
        ):  # fmt: skip
            assert numbers(reader, {"range": {"@timestamp": {"gte": low, "lte": high, "format": form}}}) == {0, 1}
            assert numbers(reader, {"range": {"@timestamp": {"from": low, "to": high, "format": form}}}) == {0, 1}
        assert numbers(reader, {"range": {"@timestamp": {"gt": 1795521601000}}}) == {2}
        assert numbers(reader, {"range": {"@timestamp": {"lt": "1795521601000"}}}) == {0}
        local = {"gte": "2026-11-24T19:00:02", "time_zone": "Asia/Ho_Chi_Minh"}
        assert numbers(reader, {"range": {"@timestamp": local}}) == {2}

    @pytest.mark.parametrize(
        ("options", "first", "count"),
        [
            ({"fixed_interval": "1800000ms", "format": "epoch_millis"}, (1795521600000, "1795521600000"), 3),
            ({"fixed_interval": "30m", "format": "yyyy-MM-dd HH:mm", "time_zone": "+07:00"}, (1795521600000, "2026-11-24 19:00"), 3),
            ({"fixed_interval": "1h", "extended_bounds": {"min": 1795510800000, "max": "1795528800000"}}, (1795510800000, "2026-11-24T09:00:00.000Z"), 6),
            ({"calendar_interval": "1d", "extended_bounds": {"min": 1795348800000, "max": 1795608000000}, "time_zone": "+07:00"},
             (1795280400000, "2026-11-21T17:00:00.000Z"), 4),
            ({"calendar_interval": "1d", "min_doc_count": 1, "missing": "x", "order": {"_key": "asc"}}, (1795478400000, "2026-11-24T00:00:00.000Z"), 1),
        ],
    )  # fmt: skip
    def test_buckets_of_time_reach_to_their_bounds_and_are_written_as_asked(
        self, writer: Writer, reader: Reader, options: Body, first: tuple[int, str], count: int
    ) -> None:
        put(writer, *SAMPLE)
        asked = {"aggs": {"a": {"date_histogram": {"field": "@timestamp", **options}}}}
        buckets = reader.search(EVENTS, asked)["aggregations"]["a"]["buckets"]
        assert (buckets[0]["key"], buckets[0]["key_as_string"]) == first
        assert len(buckets) == count
        assert sum(bucket["doc_count"] for bucket in buckets) == 5

    def test_extended_stats_and_top_metrics(self, writer: Writer, reader: Reader) -> None:
        put(writer, *SAMPLE, {**event(9, n=7, host__name="web"), "@timestamp": "2026-11-20T00:00:00Z"})
        below = {
            "spread": {"extended_stats": {"field": "n", "sigma": 1}},
            "last": {
                "top_metrics": {"metrics": [{"field": "n"}, {"field": "user.name"}], "sort": [{"@timestamp": "desc"}]}
            },
        }
        body = {
            "aggs": {"a": {"terms": {"field": "host.name", "order": {"spread[std_deviation]": "desc"}}, "aggs": below}}
        }
        web, db, mail = reader.search(EVENTS, body)["aggregations"]["a"]["buckets"]
        assert (web["key"], db["key"], mail["key"]) == ("web", "db", "mail")
        told = web["spread"]
        assert (told["count"], told["min"], told["max"], told["sum"], told["sum_of_squares"]) == (
            3,
            0.0,
            7.0,
            8.0,
            50.0,
        )
        assert told["variance"] == pytest.approx(86 / 9)
        assert told["std_deviation_sampling"] == pytest.approx((86 / 6) ** 0.5)
        assert told["std_deviation_bounds"]["upper"] == pytest.approx(8 / 3 + (86 / 9) ** 0.5)
        assert mail["spread"]["std_deviation_sampling"] is None
        assert web["last"]["top"] == [{"sort": [1795521601000], "metrics": {"n": 1, "user.name": "Nguyễn Văn Đăng"}}]
        nothing = reader.search(EVENTS, {"aggs": {"a": {"extended_stats": {"field": "nothing"}}}})["aggregations"]["a"]
        assert (
            nothing["count"],
            nothing["avg"],
            nothing["std_deviation"],
            nothing["std_deviation_bounds"]["lower"],
        ) == (0, None, None, None)

    @pytest.mark.parametrize(
        ("order", "below", "expected"),
        [
            ({"x": "desc"}, {"cardinality": {"field": "user.name"}}, ["web", "db", "mail"]),
            ({"x[50.0]": "asc"}, {"percentiles": {"field": "n", "percents": ["25", "50"]}}, ["web", "db", "mail"]),
            ({"x.50": "desc"}, {"percentiles": {"field": "n", "percents": [50]}}, ["mail", "db", "web"]),
            ([{"_count": "asc"}, {"_term": "desc"}], {"avg": {"field": "n"}}, ["mail", "web", "db"]),
        ],
    )
    def test_terms_are_ordered_by_any_number(
        self, writer: Writer, reader: Reader, order: Any, below: Body, expected: list[str]
    ) -> None:
        put(writer, *SAMPLE)
        body = {"aggs": {"a": {"terms": {"field": "host.name", "order": order}, "aggs": {"x": below}}}}
        buckets = reader.search(EVENTS, body)["aggregations"]["a"]["buckets"]
        assert [bucket["key"] for bucket in buckets] == expected

    def test_what_lies_below_buckets_of_time_is_of_all_days_that_share_one(
        self, writer: Writer, reader: Reader
    ) -> None:
        days = [
            {**event(0, n=number, who=f"u{number % 5}"), "event.id": event_id("shared", number),
             "@timestamp": f"2026-11-{20 + number // 24}T{number % 24:02}:30:00.000Z"}
            for number in range(72) if not 30 <= number < 40
        ]  # fmt: skip
        put(writer, *days)
        below: Body = {
            "who": {"cardinality": {"field": "who"}}, "half": {"percentiles": {"field": "n", "percents": [50]}},
            "last": {"top_hits": {"size": 1, "_source": ["n"]}}, "even": {"filter": {"range": {"n": {"gte": 36}}}},
        }  # fmt: skip
        body = {"aggs": {"t": {"date_histogram": {"field": "@timestamp", "fixed_interval": "5h"}, "aggs": below}}}
        buckets = reader.search(EVENTS, body)["aggregations"]["t"]["buckets"]
        held = [
            [each for each in days if bucket["key"] <= _millis(each) < bucket["key"] + 18_000_000] for bucket in buckets
        ]
        assert sum(map(len, held)) == len(days)
        assert not all(held)  # one is empty
        for bucket, inside in zip(buckets, held, strict=True):
            assert (bucket["doc_count"], bucket["who"]["value"]) == (len(inside), len({each["who"] for each in inside}))
            assert bucket["even"]["doc_count"] == sum(each["n"] >= 36 for each in inside)
            assert [hit["_source"]["n"] for hit in bucket["last"]["hits"]["hits"]] == [
                each["n"] for each in inside[-1:]
            ]
            half = bucket["half"]["values"]["50.0"]
            assert half is None if not inside else min(each["n"] for each in inside) <= half <= inside[-1]["n"]

    def test_of_many_values_the_first_by_a_number_are_looked_at_alone(self, writer: Writer, reader: Reader) -> None:
        many = [
            {**event(0, n=number, who=f"u{number % 5_500}", host__name=f"h{number % 3}"), "event.id": event_id("first", number),
             "@timestamp": f"2026-11-2{number % 2}T10:00:00.000Z"}
            for number in range(7_000)
        ]  # fmt: skip
        put(writer, *many)
        below: Body = {"all": {"sum": {"field": "n"}}, "hosts": {"cardinality": {"field": "host.name"}}}
        body = {"aggs": {"a": {"terms": {"field": "who", "size": 2, "order": {"all": "desc"}}, "aggs": below}}}
        first, _ = reader.search(EVENTS, body)["aggregations"]["a"][
            "buckets"
        ]  # the second is as sure as in Elasticsearch
        assert (first["key"], first["all"]["value"], first["hosts"]["value"]) == ("u1499", 1499.0 + 6999, 2)

    def test_numbers_made_of_buckets(self, writer: Writer, reader: Reader) -> None:
        put(writer, *SAMPLE, {**event(9, n=10), "@timestamp": "2026-11-24T15:00:00Z"})
        pipelines = {
            "n": {"sum": {"field": "n"}},
            "grows": {"derivative": {"buckets_path": "n"}},
            "more": {"derivative": {"buckets_path": "_count", "gap_policy": "skip"}},
            "all": {"cumulative_sum": {"buckets_path": "_count"}},
            "before": {"serial_diff": {"buckets_path": "_count", "lag": "2"}},
            "smooth": {
                "moving_fn": {"buckets_path": "_count", "window": 2, "script": "MovingFunctions.unweightedAvg(values)"}
            },
            "each": {
                "bucket_script": {
                    "buckets_path": {"a": "n", "b": "_count"},
                    "script": {"source": "params.a / (params.b - 1) * -2 + 0.5"},
                }
            },
            "again": {"derivative": {"buckets_path": "more"}},
        }
        body = {"aggs": {"t": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1h"}, "aggs": pipelines}}}
        first, second, third, fourth = reader.search(EVENTS, body)["aggregations"]["t"]["buckets"]
        assert [bucket["doc_count"] for bucket in (first, second, third, fourth)] == [4, 1, 0, 1]

        def told(name: str) -> list[Any]:
            return [bucket[name]["value"] if name in bucket else "-" for bucket in (first, second, third, fourth)]

        assert told("grows") == ["-", -2.0, None, None]
        assert told("more") == ["-", -3.0, -1.0, 1.0]
        assert told("again") == ["-", "-", None, None]
        assert told("all") == [4.0, 5.0, 5.0, 6.0]
        assert told("before") == ["-", "-", -4.0, 0.0]
        assert told("smooth") == [None, 4.0, 2.5, 0.5]
        assert told("each") == [6 / 3 * -2 + 0.5, None, "-", None]

    @pytest.mark.parametrize(
        "body",
        [
            {"query": {"fuzzy": {"a": "b"}}},
            {"query": {"term": {"a": "b", "c": "d"}}},
            {"query": {"term": {"a": {"b": "c"}}}},
            {"query": {"range": {"a": {"above": 1}}}},
            {"query": {"range": {"@timestamp": {"gte": "yesterday"}}}},
            {"query": {"bool": {"maybe": []}}},
            {"query": {"bool": {"should": [], "minimum_should_match": "50%"}}},
            {"query": [], "size": 1},
            {"size": -1},
            {"size": 10_001},
            {"from": 9_999, "size": 2},
            {"sort": [{"a": "up"}]},
            {"knn": {}},
            {"aggs": {"a": {"terms": {"field": "x", "script": "y"}}}},
            {"aggs": {"a": {"geo": {}}}},
            {"aggs": {"a": {"terms": {}}}},
            {"aggs": {"a": {"terms": {"field": "x", "size": 0}}}},
            {"aggs": {"a": {"date_histogram": {"field": "@timestamp", "fixed_interval": "soon"}}}},
            {"aggs": {"a": {"date_histogram": {"field": "other", "fixed_interval": "1h"}}}},
            {"aggs": {"a": {"avg": {"field": "x"}, "aggs": {"b": {"avg": {"field": "y"}}}}}},
            {"aggs": {"a": {"terms": {"field": "message"}}}},
            {"aggs": {"a": {"terms": {"field": "x", "order": {"b": "asc"}}}}},
            {"aggs": {"a": {"terms": {"field": "x", "order": {"b": "asc"}}, "aggs": {"b": {"stats": {"field": "y"}}}}}},
            {"aggs": {"a": {"percentiles": {"field": "x", "percents": ["a"]}}}},
            {"aggs": {"a": {"percentiles": {"field": "x", "percents": [101]}}}},
            {"aggs": {"a": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1h", "format": "QQQ"}}}},
            {"aggs": {"a": {"derivative": {"buckets_path": "b"}}}},
            {"aggs": {"a": {"terms": {"field": "x"}, "aggs": {"b": {"derivative": {"buckets_path": "_count"}}}}}},
            {
                "aggs": {
                    "a": {
                        "histogram": {"field": "x", "interval": 1},
                        "aggs": {"b": {"derivative": {"buckets_path": "c"}}},
                    }
                }
            },
            {
                "aggs": {
                    "a": {
                        "histogram": {"field": "x", "interval": 1},
                        "aggs": {"b": {"derivative": {"buckets_path": "b"}}},
                    }
                }
            },
            {
                "aggs": {
                    "a": {
                        "histogram": {"field": "x", "interval": 1},
                        "aggs": {"b": {"moving_avg": {"buckets_path": "_count"}}},
                    }
                }
            },
            {
                "aggs": {
                    "a": {
                        "terms": {"field": "x"},
                        "aggs": {
                            "b": {"bucket_script": {"buckets_path": {"c": "_count"}, "script": "Math.exp(params.c)"}}
                        },
                    }
                }
            },
            {
                "aggs": {
                    "a": {
                        "terms": {"field": "x"},
                        "aggs": {"b": {"bucket_script": {"buckets_path": {"c": "_count"}, "script": "params.d"}}},
                    }
                }
            },
            {"script_fields": {"a": {"script": "1"}}},
            {"sort": {"a": {"order": "asc", "mode": "min"}}},
            {"sort": ["@timestamp"], "search_after": [1]},
            {"sort": ["@timestamp", "_doc"], "search_after": ["x", 1]},
            {"sort": ["@timestamp", "_doc"], "search_after": [1, 2], "from": 3},
            {"sort": ["@timestamp", "_doc"], "search_after": [1, 10_000]},
            {"fields": [{"field": "@timestamp", "format": "QQQ"}]},
            {"_source": {"some": 1}},
            {"query": {"range": {"@timestamp": {"gte": 1, "format": "basic_week_date"}}}},
            {"query": {"range": {"@timestamp": {"gte": "2026-11-24T00:00:00", "time_zone": "Mars/Phobos"}}}},
            {"query": {"query_string": {"query": "a", "default_operator": "OR"}}},
            {"query": {"query_string": {"query": "a", "fuzziness": 1}}},
        ],
    )
    def test_what_is_not_of_the_subset_is_refused_with_its_place(self, reader: Reader, body: Body) -> None:
        with pytest.raises(SearchError) as refused:
            reader.search(EVENTS, body)
        assert str(refused.value)

    def test_a_tower_of_conditions_is_refused(self, reader: Reader) -> None:
        query: Body = {"match_all": {}}
        for _ in range(200):
            query = {"bool": {"must": [query]}}
        with pytest.raises(SearchError):
            reader.search(EVENTS, {"query": query})
