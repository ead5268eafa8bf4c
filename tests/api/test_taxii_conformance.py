"""The TAXII 2.1 server against what the specification says that a server MUST do (OASIS Standard, 10 June 2021).

Each docstring names the section and says in our words what it demands. What is of TLS is in `test_taxii_tls.py`.
"""

import re
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sites import PATIENTLY, Site
from taxii_partners import ROOT, TAXII, address, asking, indicator, malware, partnered, password, put

#: RFC 3339 in UTC with microseconds, as section 2 has it.
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
GREEN = f"{ROOT}/collections/tlp-green"
INBOX = f"{ROOT}/collections/inbox"
HEADERS = ("X-TAXII-Date-Added-First", "X-TAXII-Date-Added-Last")


@pytest.fixture(scope="module")
def partners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose collection `tlp-green` has 25 indicators, five of them in three versions, and other things; nobody
    changes it."""
    with partnered(tmp_path_factory.mktemp("taxii"), page_size=20) as site:
        for version in ("2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z", "2026-03-01T00:00:00.123456Z"):
            many = 25 if version.startswith("2026-01") else 5
            put(site, "tlp-green", (indicator(number, version) for number in range(many)))
        put(site, "tlp-green", [malware(1), address("203.0.113.9", 1)])
        yield site


@pytest.fixture(scope="module")
def reader(partners: Site) -> Iterator[httpx.Client]:
    """A partner that may read `tlp-green` and write `inbox`."""
    secret = password(partners, "reader", tlp_green="r", inbox="w")
    with asking(partners, "reader", secret) as client:
        yield client


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, httpx.Client]]:
    """A site that a test may change, and a partner that may read and write `inbox`."""
    with (
        partnered(tmp_path_factory.mktemp("own-taxii"), max_content_mb=1, max_objects=200) as site,
        asking(site, "writer", password(site, "writer", inbox="rw")) as client,
    ):
        yield site, client


def all_of(client: httpx.Client, path: str, key: str = "objects", **query: Any) -> list[Any]:
    """Page to the end."""
    found: list[Any] = []
    for _ in range(100):
        page = client.get(path, params=query).json()
        found += page.get(key, [])
        if not page.get("more"):
            return found
        query["next"] = page["next"]
    raise AssertionError("there is no end")


def ids(objects: list[dict[str, Any]]) -> list[str]:
    return [each["id"] for each in objects]


def send(client: httpx.Client, objects: list[Any], path: str = f"{INBOX}/objects/", **more: str) -> httpx.Response:
    headers = {"Content-Type": TAXII, **more}
    return client.post(path, json={"objects": objects}, headers=headers)


# Sections 1.6.8 and 3.1: media types, paths, bodies


@pytest.mark.parametrize(
    "accept",
    [
        TAXII, "application/taxii+json", "application/taxii+json; version=2.1", 'application/taxii+json;version="2.1"',
        "application/taxii+json;version=2.1,application/stix+json;version=2.1", "text/html, application/taxii+json;q=0.5",
        "APPLICATION/TAXII+JSON", "*/*",
    ],
)  # fmt: skip
def test_an_accept_header_with_a_media_type_of_taxii_never_gets_406(reader: httpx.Client, accept: str) -> None:
    """3.1: media types that are defined for an endpoint must not get 406; every answer says type and version."""
    for path in (
        "/taxii2/",
        f"{ROOT}/",
        f"{ROOT}/collections/",
        f"{GREEN}/",
        f"{GREEN}/manifest/",
        f"{GREEN}/objects/",
    ):
        answer = reader.get(path, headers={"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (200, TAXII), path


@pytest.mark.parametrize(
    "accept",
    ["application/json", "text/html", "application/taxii+json;version=2.0", "application/taxii+json;q=0", "",
     "application/vnd.oasis.taxii+json; version=2.0"],
)  # fmt: skip
def test_another_accept_header_gets_406_with_an_error_message(reader: httpx.Client, accept: str) -> None:
    """3.1 allows it, the tables of 4 and 5 name it; 3.6.1: an error has a title, its `http_status` is the one sent."""
    for path in ("/taxii2/", f"{ROOT}/", f"{GREEN}/objects/"):
        answer = reader.get(path, headers={"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (406, TAXII)
        assert answer.json()["title"] and answer.json()["http_status"] == "406"


def test_what_is_sent_as_taxii_never_gets_415_and_all_else_does(own: tuple[Site, httpx.Client]) -> None:
    """3.1: a Content-Type that is defined for the endpoint must not get 415."""
    _, client = own
    for number, kind in enumerate((TAXII, "application/taxii+json", "application/taxii+json; version=2.1")):
        answer = send(client, [indicator(number)], **{"Content-Type": kind})
        assert (answer.status_code, answer.headers["content-type"]) == (202, TAXII)
    for kind in ("application/json", "application/taxii+json;version=2.0", "application/stix+json;version=2.1", ""):
        answer = send(client, [indicator(9)], **{"Content-Type": kind})
        assert (answer.status_code, answer.headers["content-type"]) == (415, TAXII)


def test_paths_end_in_a_slash(reader: httpx.Client) -> None:
    """3.1: a path without one is no endpoint."""
    for path in ("/taxii2", ROOT, f"{ROOT}/collections", f"{GREEN}/objects", "/taxii2/other/", f"{GREEN}/"[:-1]):
        answer = reader.get(path, follow_redirects=False)
        assert (answer.status_code, answer.headers["content-type"]) == (404, TAXII), path


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "OPTIONS", "DELETE", "POST"])
def test_what_is_no_method_of_an_endpoint_is_refused_as_taxii_wants_it(reader: httpx.Client, method: str) -> None:
    """3.1: every response has the media type, also one that says that there is no such endpoint."""
    for path in ("/taxii2/", f"{ROOT}/", f"{GREEN}/", f"{GREEN}/manifest/"):
        answer = reader.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, TAXII), (method, path)


# Sections 1.6.9 and 8.2.2: who asks


def test_nobody_gets_401_with_a_challenge_at_every_endpoint(partners: Site, reader: httpx.Client) -> None:
    """1.6.9, 5.1 to 5.8: whoever does not log in gets 401 (or 404) and is told how to, whatever the method."""
    asked = [
        *(("GET", path) for path in (
            "/taxii2/", f"{ROOT}/", f"{ROOT}/status/{uuid.uuid4()}/", f"{ROOT}/collections/", f"{GREEN}/",
            f"{GREEN}/manifest/", f"{GREEN}/objects/", f"{GREEN}/objects/{malware(1)['id']}/",
            f"{GREEN}/objects/{malware(1)['id']}/versions/",
        )),
        ("POST", f"{GREEN}/objects/"), ("DELETE", f"{GREEN}/objects/{malware(1)['id']}/"),
    ]  # fmt: skip
    api_token = partners.token("an-api-token", "admin")
    given: list[Any] = [None, ("reader", "wrong"), ("other", "hdt_x"), ("reader", ""), ("reader", api_token)]
    for auth in given:
        with httpx.Client(base_url=partners.address, auth=auth, headers={"Accept": TAXII}, **PATIENTLY) as client:
            for method, path in asked:
                answer = client.request(method, path)
                assert (answer.status_code, answer.headers["content-type"]) == (401, TAXII), (method, path)
                assert answer.headers["www-authenticate"].startswith("Basic ")
    for header in ("Basic", "Basic !!!", "Basic bm9jb2xvbg==", f"Bearer {api_token}", "Digest x", "Basic /////w=="):
        answer = httpx.get(
            f"{partners.address}/taxii2/", headers={"Accept": TAXII, "Authorization": header}, **PATIENTLY
        )
        assert answer.status_code == 401, header


def test_a_password_is_taken_as_basic_and_as_bearer(partners: Site) -> None:
    """8.2.2: HTTP Basic (RFC 7617) should be there, other schemes may be."""
    secret = password(partners, "both-ways", tlp_green="r")
    for headers, auth in (({}, ("both-ways", secret)), ({"Authorization": f"Bearer {secret}"}, None)):
        answer = httpx.get(f"{partners.address}/taxii2/", headers={"Accept": TAXII, **headers}, auth=auth, **PATIENTLY)
        assert answer.status_code == 200
    wrong = httpx.get(f"{partners.address}/taxii2/", headers={"Accept": TAXII}, auth=("reader", secret), **PATIENTLY)
    assert wrong.status_code == 401, "another client's name"


def test_a_client_without_a_user_agent_is_answered(reader: httpx.Client) -> None:
    """8.2.1: a valid request should not be refused for want of a User-Agent."""
    request = reader.build_request("GET", "/taxii2/")
    del request.headers["user-agent"]
    assert reader.send(request).status_code == 200


# Section 4: the server


def test_discovery_names_a_root_that_is_there(reader: httpx.Client) -> None:
    """4.1, 8.2.1: at `/taxii2/`; it has a title; the default root is among the roots; roots are relative with one slash
    in front, or https; at least one is there."""
    said = reader.get("/taxii2/").json()
    assert said["title"] and said["default"] in said["api_roots"]
    for root in said["api_roots"]:
        assert re.fullmatch(r"/[^/?].*/", root)
        assert reader.get(root).status_code == 200


def test_the_api_root_says_versions_and_how_much_it_takes(reader: httpx.Client) -> None:
    """4.2.1: title, versions with 2.1 among them, and a positive length."""
    said = reader.get(f"{ROOT}/").json()
    assert said["title"] and said["versions"] == [TAXII]
    assert type(said["max_content_length"]) is int and said["max_content_length"] > 0


def test_a_body_below_the_limit_is_never_too_long_and_one_above_is(own: tuple[Site, httpx.Client]) -> None:
    """4.2.1: what is smaller than `max_content_length` must not get 413; 5.5: what is larger gets it."""
    _, client = own
    most = client.get(f"{ROOT}/").json()["max_content_length"]
    padded = indicator(1, description="")
    room = most - len(client.build_request("POST", INBOX, json={"objects": [padded]}).content)
    assert send(client, [{**padded, "description": "x" * (room - 1)}]).status_code == 202
    answer = send(client, [{**padded, "description": "x" * (room + 1)}])
    assert (answer.status_code, answer.headers["content-type"]) == (413, TAXII)
    assert answer.json()["http_status"] == "413"


def test_a_body_that_does_not_say_its_length_is_cut_off_at_the_limit(own: tuple[Site, httpx.Client]) -> None:
    """5.5 as above, for a body that is sent in chunks: no more than the limit is ever held."""
    _, client = own

    def endless() -> Iterator[bytes]:
        yield b'{"objects":['
        for _ in range(1_000_000):
            yield b" " * 10_000

    answer = client.post(f"{INBOX}/objects/", content=endless(), headers={"Content-Type": TAXII})
    assert (answer.status_code, answer.headers["content-type"]) == (413, TAXII)


def test_a_status_is_what_the_post_answered_and_is_its_senders_alone(own: tuple[Site, httpx.Client]) -> None:
    """4.3, 4.3.1: an id of RFC 4122 version 4, `complete` or `pending`, counts that add up, a time in TAXII's form; one
    that is not known gets 404."""
    site, client = own
    sent = [indicator(1), indicator(2), {**indicator(3), "created": "yesterday"}, address("203.0.113.1", 5)]
    status = send(client, sent).json()
    assert uuid.UUID(status["id"]).version == 4
    assert status["status"] == "complete" and TIMESTAMP.fullmatch(status["request_timestamp"])
    counts = [status[f"{name}_count"] for name in ("total", "success", "failure", "pending")]
    assert counts == [4, 3, 1, 0] == [len(sent), len(status["successes"]), len(status["failures"]), 0]
    assert "pendings" not in status, "an empty list must not stand for a property that is left out"
    assert ids(status["successes"]) == [sent[0]["id"], sent[1]["id"], sent[3]["id"]]
    assert [each["version"] for each in status["successes"][:2]] == [sent[0]["modified"], sent[1]["modified"]]
    assert "created" in status["failures"][0]["message"]
    assert client.get(f"{ROOT}/status/{status['id']}/").json() == status
    assert client.get(f"{ROOT}/status/{uuid.uuid4()}/").status_code == 404
    assert client.get(f"{ROOT}/status/x/").status_code == 404
    with asking(site, "nosy", password(site, "nosy", inbox="rw")) as other:
        assert other.get(f"{ROOT}/status/{status['id']}/").status_code == 404


# Sections 5.1 and 5.2: collections


def test_collections_are_in_the_same_order_each_time_with_what_they_must_say(reader: httpx.Client) -> None:
    """3.3, 5.1, 5.2.1: id (UUID version 4), title, can_read, can_write; an alias is unique; the list is never empty."""
    first, again = (reader.get(f"{ROOT}/collections/").json()["collections"] for _ in range(2))
    assert first == again
    assert {each["alias"]: (each["can_read"], each["can_write"]) for each in first} == {
        "tlp-green": (True, False), "inbox": (False, True),
    }  # fmt: skip
    for each in first:
        assert uuid.UUID(each["id"]).version == 4 and each["title"]
        assert each["media_types"] == ["application/stix+json;version=2.1"]
        for name in (each["id"], each["alias"]):
            assert reader.get(f"{ROOT}/collections/{name}/").json() == each


def test_a_collection_without_a_right_to_it_is_as_if_it_were_not_there(partners: Site, reader: httpx.Client) -> None:
    """5.1.1: without any, the key is left out; 5.2 to 5.8: 404 (or 403) where a client may not."""
    for name in ("tlp-red", "no-such", str(uuid.uuid4())):
        base = f"{ROOT}/collections/{name}"
        for path in (f"{base}/", f"{base}/manifest/", f"{base}/objects/", f"{base}/objects/{malware(1)['id']}/"):
            assert reader.get(path).status_code == 404, path
    secret = password(partners, "red-only", tlp_red="r")
    with asking(partners, "red-only", secret) as other:
        assert ids(other.get(f"{ROOT}/collections/").json()["collections"]) != []
        assert other.get(f"{GREEN}/objects/").status_code == 404


def test_what_may_not_be_read_or_written_gets_403(reader: httpx.Client) -> None:
    """5.3 to 5.6, 5.8: without can_read 403 or 404; 5.5: the same without can_write; 5.7: the table of DELETE."""
    one = malware(1)["id"]
    for path in (
        f"{INBOX}/manifest/",
        f"{INBOX}/objects/",
        f"{INBOX}/objects/{one}/",
        f"{INBOX}/objects/{one}/versions/",
    ):
        assert reader.get(path).status_code == 403, path
    assert send(reader, [indicator(1)], f"{GREEN}/objects/").status_code == 403
    assert reader.delete(f"{GREEN}/objects/{one}/").status_code == 403, "may read, not write"
    assert reader.delete(f"{INBOX}/objects/{one}/").status_code == 403, "may write, not read"
    assert reader.delete(f"{ROOT}/collections/tlp-red/objects/{one}/").status_code == 404, "may neither"


# Sections 3.2 to 3.5, 5.3, 5.4: objects and manifests


def test_objects_and_manifests_are_in_the_order_in_which_they_were_added(reader: httpx.Client) -> None:
    """3.3: ascending by the date added; 3.4: the oldest first without `added_after`; 5.3.1: what a record must say."""
    objects = all_of(reader, f"{GREEN}/objects/", **{"match[version]": "all"})
    records = all_of(reader, f"{GREEN}/manifest/", **{"match[version]": "all"})
    assert len(objects) == 25 + 5 + 5 + 2 == len(records)
    assert ids(objects) == ids(records)
    added = [each["date_added"] for each in records]
    assert added == sorted(added) and all(map(TIMESTAMP.fullmatch, added))
    assert [each["version"] for each in records[:-1]] == [each["modified"] for each in objects[:-1]]
    assert {each["media_type"] for each in records} == {"application/stix+json;version=2.1"}
    assert objects[0] == indicator(0), "as it was put in"


@pytest.mark.parametrize("query", [{}, {"limit": "3"}, {"match[type]": "malware"}, {"match[type]": "tool"}])
def test_every_answer_with_pages_says_when_first_and_last_were_added(
    reader: httpx.Client, query: dict[str, str]
) -> None:
    """3.2: both headers, as timestamps, in all answers of 200 to the four endpoints, also where there is nothing."""
    one = f"{GREEN}/objects/{indicator(0)['id']}/"
    for path in (f"{GREEN}/manifest/", f"{GREEN}/objects/", one, f"{one}versions/"):
        answer = reader.get(path, params=query)
        assert answer.status_code == 200
        assert all(TIMESTAMP.fullmatch(answer.headers[name]) for name in HEADERS)
        if path.endswith("manifest/") and answer.json():
            records = answer.json()["objects"]
            assert [answer.headers[name] for name in HEADERS] == [records[0]["date_added"], records[-1]["date_added"]]


def test_an_answer_has_at_most_the_limit_and_says_that_there_is_more(reader: httpx.Client) -> None:
    """3.4, 3.5: never more than asked for; all where they fit; `more` where there are more; the server's limit holds."""
    for limit in (1, 7, 19, 20, 21, 10**17):
        answer = reader.get(f"{GREEN}/objects/", params={"limit": limit})
        assert len(answer.json()["objects"]) == min(limit, 20)
        assert answer.json()["more"] is True
    whole = reader.get(f"{GREEN}/objects/", params={"match[type]": "malware", "limit": 1}).json()
    assert "more" not in whole and len(whole["objects"]) == 1


@pytest.mark.parametrize("path", [f"{GREEN}/objects/", f"{GREEN}/manifest/"])
@pytest.mark.parametrize("versions", ["last", "all", "first", "first,last"])
def test_paging_by_next_and_by_added_after_give_all_once(reader: httpx.Client, path: str, versions: str) -> None:
    """3.5: a client goes on with `next`, or with `added_after` and the last header, and gets the rest, nothing twice."""
    query = {"match[version]": versions}
    whole = all_of(reader, path, **query)
    assert len(whole) == {"last": 27, "all": 37, "first": 27, "first,last": 32}[versions]
    assert all_of(reader, path, limit=4, **query) == whole
    found: list[Any] = []
    after = ""
    while True:
        answer = reader.get(path, params={"limit": 5, **query, **({"added_after": after} if after else {})})
        found += answer.json().get("objects", [])
        if not answer.json().get("more"):
            break
        after = answer.headers[HEADERS[1]]
    assert found == whole


def test_added_after_gives_only_what_was_added_after_it(reader: httpx.Client) -> None:
    """3.4: strictly after; where there is nothing, the envelope is empty (5.4), and the headers still lead on."""
    records = all_of(reader, f"{GREEN}/manifest/", **{"match[version]": "all"})
    for number in (0, 10, len(records) - 1):
        found = all_of(
            reader, f"{GREEN}/manifest/", **{"match[version]": "all", "added_after": records[number]["date_added"]}
        )
        assert found == records[number + 1 :]
    last = records[-1]["date_added"]
    answer = reader.get(f"{GREEN}/objects/", params={"added_after": last})
    assert answer.json() == {} and answer.headers[HEADERS[1]] == last
    assert reader.get(f"{GREEN}/manifest/", params={"added_after": last}).json() == {}


def test_objects_are_matched_by_id_and_type(reader: httpx.Client) -> None:
    """3.4, 3.4.1: conditions hold together, values of one are alternatives; the manifest is filtered by the object."""
    one, two, three = indicator(20)["id"], indicator(7)["id"], malware(1)["id"]
    for path in (f"{GREEN}/objects/", f"{GREEN}/manifest/"):
        assert ids(all_of(reader, path, **{"match[id]": one})) == [one]
        assert ids(all_of(reader, path, **{"match[id]": f"{one},{three},{two}"})) == [two, one, three]
        assert ids(all_of(reader, path, **{"match[id]": f"{one},{three}", "match[type]": "malware"})) == [three]
        assert ids(all_of(reader, path, **{"match[type]": "malware"})) == [three]
        assert len(all_of(reader, path, **{"match[type]": "malware,indicator"})) == 26
        assert all_of(reader, path, **{"match[type]": "identity"}) == []
        assert all_of(reader, path, **{"match[id]": malware(99)["id"]}) == []


def test_every_type_of_stix_can_be_asked_for(reader: httpx.Client) -> None:
    """3.4.1: a type that STIX 2.1 defines must not be an error."""
    from sharing.stix.checking import _OBSERVABLES, _TYPES

    for kind in (*_TYPES, *_OBSERVABLES, "marking-definition", "x-other"):
        assert reader.get(f"{GREEN}/objects/", params={"match[type]": kind}).status_code == 200


def test_objects_are_matched_by_version(reader: httpx.Client) -> None:
    """3.4.1: the latest by default; first, last, all, and exact times, also together."""
    one = {"match[id]": indicator(0)["id"]}
    january, february, march = "2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z", "2026-03-01T00:00:00.123456Z"
    asked = {
        "": [march], "last": [march], "first": [january], "all": [january, february, march],
        february: [february], "2026-02-01T00:00:00Z": [february], f"first,{february}": [january, february],
        f"{february},last": [february, march], "first,last": [january, march], "2026-02-01T00:00:00.001Z": [],
        f"last,{march}": [march],
    }  # fmt: skip
    for path in (f"{GREEN}/objects/", f"{GREEN}/manifest/"):
        name = "version" if path.endswith("manifest/") else "modified"
        for version, wanted in asked.items():
            query = {**one, **({"match[version]": version} if version else {})}
            assert [each[name] for each in all_of(reader, path, **query)] == wanted, version
    assert len(all_of(reader, f"{GREEN}/objects/", **{"match[version]": february})) == 5


def test_objects_are_matched_by_version_of_stix(reader: httpx.Client) -> None:
    """3.4.1: nothing of a version that was not asked for; without the parameter, the latest that there is."""
    for path in (f"{GREEN}/objects/", f"{GREEN}/manifest/"):
        assert len(all_of(reader, path, **{"match[spec_version]": "2.0,2.1"})) == 27
        assert all_of(reader, path, **{"match[spec_version]": "2.0"}) == []
    one = f"{GREEN}/objects/{indicator(0)['id']}/"
    assert reader.get(one, params={"match[spec_version]": "2.0"}).json() == {}
    assert reader.get(f"{one}versions/", params={"match[spec_version]": "2.0"}).json() == {}


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=-1", "limit=x", "limit=1.5", "limit=", "limit=1&limit=2", "limit=%D9%A3",
        "added_after=yesterday", "added_after=2026-01-01", "added_after=2026-01-01T00:00:00%2B07:00", "added_after=",
        "added_after=2026-13-01T00:00:00Z", "added_after=2026-01-01T00:00:00Z,2026-01-02T00:00:00Z",
        "added_after=2026-01-01T00:00:00Z&added_after=2026-01-01T00:00:00Z", "next=abc", "next=-5", "next=",
        "match[version]=all,last", "match[version]=newest", "match[version]=2026-99-01T00:00:00Z",
        "match[id]=a&match[id]=b", "match[type]=", "match[type]=a,,b", "match[id]=a%00b", "limit=%FF", "next=" + "9" * 30, "next=" + "9" * 18,
        "match[id]=" + ",".join(str(each) for each in range(60)), "match[type]=" + "x" * 30_000,
    ],
)  # fmt: skip
def test_malformed_parameters_get_400(reader: httpx.Client, query: str) -> None:
    """3.4: a query that is malformed must get 400."""
    for path in (f"{GREEN}/objects/", f"{GREEN}/manifest/"):
        answer = reader.get(f"{path}?{query}")
        assert (answer.status_code, answer.headers["content-type"]) == (400, TAXII), (query, answer.text)
        assert answer.json()["http_status"] == "400"


# Section 5.5: objects are added


def test_what_is_posted_is_there_afterwards_as_it_was_sent(own: tuple[Site, httpx.Client]) -> None:
    """5.5: 202 with a status; 5.4: what was added is returned in an envelope."""
    _, client = own
    custom = {
        "type": "x-tinh-huong", "spec_version": "2.1", "id": f"x-tinh-huong--{uuid.uuid4()}", "name": "Sự cố",
        "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z",
    }  # fmt: skip
    sent = [indicator(1, x_muc_do=3, extensions={"x": {"y": [1]}}), custom, address("203.0.113.1", 1), malware(1)]
    assert send(client, sent).status_code == 202
    assert all_of(client, f"{INBOX}/objects/") == sent
    record = all_of(client, f"{INBOX}/manifest/")[2]
    assert record["version"] == record["date_added"], "what has no version of its own has one that stays the same"


def test_an_exact_duplicate_is_no_error_and_another_object_of_the_same_version_is(
    own: tuple[Site, httpx.Client],
) -> None:
    """5.5: an object that is there already must not be an error; it is not there twice."""
    _, client = own
    sent = [indicator(1), address("203.0.113.1", 1)]
    for _ in range(2):
        assert send(client, [*sent, *sent]).json()["failure_count"] == 0
    assert len(all_of(client, f"{INBOX}/objects/", **{"match[version]": "all"})) == 2
    changed = send(client, [indicator(1, name="other")]).json()
    assert (changed["failure_count"], changed["success_count"]) == (1, 0)
    assert send(client, [indicator(1, "2026-05-01T00:00:00.000Z", name="other")]).json()["success_count"] == 1


def test_an_older_version_that_comes_late_is_not_the_latest(own: tuple[Site, httpx.Client]) -> None:
    """3.4.1: `last` is by the version of the object, whenever it was added."""
    _, client = own
    march, january = indicator(1, "2026-03-01T00:00:00.000Z"), indicator(1)
    send(client, [march])
    send(client, [january])
    assert all_of(client, f"{INBOX}/objects/") == [march]
    assert all_of(client, f"{INBOX}/objects/", **{"match[version]": "first"}) == [january]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"{}", b'{"objects":[]}', b'{"objects":{}}', b'{"objects":"x"}', b"\xff\xfe",
     b'{"objects":[' + b"[" * 2000 + b"]" * 2000 + b"]}", b'{"objects":[' + b"{}," * 300 + b"{}]}",
     b'{"objects":[[' + b"{}," * 20_000 + b"{}]]}"],
)  # fmt: skip
def test_what_is_no_envelope_gets_422(own: tuple[Site, httpx.Client], body: bytes) -> None:
    """5.5: a malformed body, or other content that cannot be processed, gets 422."""
    _, client = own
    answer = client.post(f"{INBOX}/objects/", content=body, headers={"Content-Type": TAXII})
    assert (answer.status_code, answer.headers["content-type"]) == (422, TAXII)


def test_what_is_no_stix_is_refused_one_by_one_with_the_reason(own: tuple[Site, httpx.Client]) -> None:
    """4.3.1: failures name id, version and why; the others are taken."""
    _, client = own
    deep: Any = 1
    for _ in range(60):
        deep = [deep]
    bad: list[Any] = [
        None, 5, "x", [], {}, {"type": "indicator"}, {**indicator(1), "id": 5}, {**indicator(1), "id": malware(1)["id"]},
        {**indicator(1), "spec_version": "2.0"}, {**indicator(1), "spec_version": 2.1}, {**indicator(1), "pattern": "x"},
        {**indicator(1), "modified": "2025-01-01T00:00:00Z"}, {**indicator(1), "x_deep": deep},
        {**indicator(1), "created": None}, {**indicator(1), "labels": []}, {**malware(1), "is_family": "yes"},
        {"type": "bundle", "id": f"bundle--{uuid.uuid4()}", "objects": []}, {**indicator(1), "object_marking_refs": [1]},
    ]  # fmt: skip
    status = send(client, [*bad, indicator(50)]).json()
    assert (status["total_count"], status["success_count"]) == (len(bad) + 1, 1), status
    assert all(each["id"] and each["version"] and each["message"] for each in status["failures"])


# Sections 5.6 to 5.8: one object


def test_one_object_is_returned_in_an_envelope(reader: httpx.Client) -> None:
    """5.6: the latest version, or those that are asked for; 404 for an object that is not there."""
    path = f"{GREEN}/objects/{indicator(0)['id']}/"
    assert [each["modified"][:7] for each in reader.get(path).json()["objects"]] == ["2026-03"]
    everything = reader.get(path, params={"match[version]": "all"}).json()["objects"]
    assert [each["modified"][:7] for each in everything] == ["2026-01", "2026-02", "2026-03"]
    assert len(all_of(reader, path, limit=1, **{"match[version]": "all"})) == 3
    assert reader.get(path, params={"added_after": "2099-01-01T00:00:00Z"}).json() == {}
    assert reader.get(f"{GREEN}/objects/{malware(99)['id']}/").status_code == 404


def test_versions_are_listed(reader: httpx.Client) -> None:
    """5.8: each version of the object; without `modified`, `created` is it; 404 for what is not there."""
    path = f"{GREEN}/objects/{indicator(0)['id']}/versions/"
    wanted = ["2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z", "2026-03-01T00:00:00.123456Z"]
    assert reader.get(path).json() == {"versions": wanted}
    assert all_of(reader, path, "versions", limit=2) == wanted
    assert reader.get(f"{GREEN}/objects/{malware(99)['id']}/versions/").status_code == 404


def test_what_is_not_versioned_has_the_time_of_its_creation(own: tuple[Site, httpx.Client]) -> None:
    """5.3.1, 5.8: of an object with `created` alone, that is the version."""
    _, client = own
    mark = {
        "type": "marking-definition", "spec_version": "2.1", "id": f"marking-definition--{uuid.uuid4()}",
        "created": "2026-01-01T00:00:00.000Z", "definition_type": "statement", "definition": {"statement": "x"},
    }  # fmt: skip
    assert send(client, [mark]).json()["successes"] == [{"id": mark["id"], "version": mark["created"]}]
    assert all_of(client, f"{INBOX}/manifest/")[0]["version"] == mark["created"]
    assert client.get(f"{INBOX}/objects/{mark['id']}/versions/").json() == {"versions": [mark["created"]]}


def test_a_removed_object_is_gone_everywhere(own: tuple[Site, httpx.Client]) -> None:
    """5.7: after a 200, the object gets 404, and neither manifest nor objects have it."""
    _, client = own
    send(client, [indicator(1), indicator(1, "2026-02-01T00:00:00.000Z"), indicator(2)])
    path = f"{INBOX}/objects/{indicator(1)['id']}/"
    answer = client.delete(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, TAXII)
    assert client.get(path).status_code == client.get(f"{path}versions/").status_code == 404
    assert client.delete(path).status_code == 404
    for name in ("manifest", "objects"):
        assert ids(all_of(client, f"{INBOX}/{name}/", **{"match[version]": "all"})) == [indicator(2)["id"]]


def test_a_removed_version_is_gone_and_the_others_stay(own: tuple[Site, httpx.Client]) -> None:
    """5.7: DELETE takes `match[version]`; that version gets 404 from then on."""
    _, client = own
    one, two = indicator(1), indicator(1, "2026-02-01T00:00:00.000Z")
    send(client, [one, two])
    path = f"{INBOX}/objects/{one['id']}/"
    assert client.delete(path, params={"match[version]": two["modified"]}).status_code == 200
    assert client.get(path, params={"match[version]": two["modified"]}).status_code == 404
    assert client.get(path).json()["objects"] == [one], "the latest that is left"
    assert client.delete(path, params={"match[version]": "x"}).status_code == 400
    assert client.delete(path, params={"match[spec_version]": "2.0"}).status_code == 404


def test_texts_are_utf_8_and_numbers_fit_into_54_bits(own: tuple[Site, httpx.Client]) -> None:
    """1.6.7, 2: JSON in UTF-8."""
    _, client = own
    sent = indicator(1, name="Mã độc tống tiền", x_so=2**53 - 1)
    send(client, [sent])
    answer = client.get(f"{INBOX}/objects/")
    assert "Mã độc tống tiền".encode() in answer.content
    assert answer.json()["objects"] == [sent]
