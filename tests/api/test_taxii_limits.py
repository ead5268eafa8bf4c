"""What the TAXII server does not put up with: who is nobody, who asks too often, who sends too much, or anything at all."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sites import PATIENTLY, Site, serving
from sqlalchemy import select
from taxii_partners import ROOT, TAXII, asking, indicator, partnered, password, put

from api import taxii
from pipeline.settings import Access
from pipeline.state.tables import audit, taxii_clients

INBOX = f"{ROOT}/collections/inbox"


@pytest.fixture(scope="module")
def partners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with partnered(tmp_path_factory.mktemp("limits"), max_objects=50, collection_objects=1000) as site:
        yield site


@pytest.fixture(scope="module")
def partner(partners: Site) -> Iterator[httpx.Client]:
    with asking(partners, "partner", password(partners, "partner", inbox="rw")) as client:
        yield client


def test_partners_and_people_are_nobody_to_each_other(partners: Site) -> None:
    """A partner's password opens no route of the API, a token or session of the API none of TAXII."""
    secret = password(partners, "only-a-partner", inbox="rw", tlp_red="r")
    for headers in ({"Authorization": f"Bearer {secret}"}, {}):
        auth = None if headers else ("only-a-partner", secret)
        for path in ("/api/v1/me", "/api/v1/alerts", "/es/events/_search", "/openapi.json", "/api/v1/health"):
            assert httpx.get(partners.address + path, headers=headers, auth=auth, **PATIENTLY).status_code == 401, path
    partners.user("a-lead", "lead")
    session = partners.log_in("a-lead")
    for given_secret in (session, partners.token("a-program", "admin")):
        for headers in ({"Authorization": f"Bearer {given_secret}"}, {"Cookie": f"haidang_session={given_secret}"}):
            answer = httpx.get(f"{partners.address}/taxii2/", headers={"Accept": TAXII, **headers}, **PATIENTLY)
            assert answer.status_code == 401


def test_what_partners_change_and_who_was_refused_is_in_the_audit(partners: Site) -> None:
    with asking(partners, "audited", password(partners, "audited", inbox="rw")) as client:
        sent = client.post(f"{INBOX}/objects/", json={"objects": [indicator(77)]}, headers={"Content-Type": TAXII})
        assert client.delete(f"{INBOX}/objects/{indicator(77)['id']}/").status_code == 200
    with asking(partners, "audited", "hdt_wrong") as client:
        assert client.get("/taxii2/").status_code == 401
    with partners.engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(select(audit).where(audit.c.who == "audited").order_by(audit.c.id)).all()
    assert [row.action for row in rows] == ["taxii_added", "taxii_removed", "denied"]
    assert rows[0].detail == {
        "collection": "inbox",
        "status": sent.json()["id"],
        "success_count": 1,
        "failure_count": 0,
    }


def test_whoever_pages_for_ever_is_told_to_wait(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("often")
    with serving(
        folder, lambda _settings, _engine: [], access=Access(requests_per_minute=30, logins_per_minute=5)
    ) as site:
        put(site, "tlp-green", [indicator(number) for number in range(3)])
        with asking(site, "greedy", password(site, "greedy", tlp_green="r")) as client:
            answers = [client.get(f"{ROOT}/collections/tlp-green/objects/?limit=1") for _ in range(40)]
        statuses = [answer.status_code for answer in answers]
        assert statuses[:30] == [200] * 30 and statuses[-1] == 429
        assert (answers[-1].headers["content-type"], int(answers[-1].headers["retry-after"]) > 0) == (TAXII, True)
        with asking(site, "modest", password(site, "modest", tlp_green="r")) as client:
            assert client.get("/taxii2/").status_code == 200, "another one is not kept out by that"
        with asking(site, "guesser", "hdt_guess") as client:
            assert [client.get("/taxii2/").status_code for _ in range(8)][-1] == 429


def test_a_hundred_megabytes_are_refused_before_they_are_read(partner: httpx.Client) -> None:
    sent = 0

    def many() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1600):
            sent += 65_536
            yield b" " * 65_536

    headers = {"Content-Type": TAXII, "Content-Length": str(1600 * 65_536)}
    try:
        answer = partner.post(f"{INBOX}/objects/", content=many(), headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (413, TAXII)
    except httpx.WriteError:  # it was cut off while we still wrote
        pass
    assert sent < 50_000_000


def test_two_at_once_are_taken_and_a_third_is_told_to_come_again(partner: httpx.Client) -> None:
    held = [taxii._bodies.acquire(blocking=False) for _ in range(2)]
    try:
        answer = partner.post(f"{INBOX}/objects/", json={"objects": [indicator(1)]}, headers={"Content-Type": TAXII})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
    finally:
        for _ in held:
            taxii._bodies.release()


def test_a_collection_takes_no_more_than_its_limit(tmp_path_factory: pytest.TempPathFactory) -> None:
    with (
        partnered(tmp_path_factory.mktemp("full"), collection_objects=1000, max_objects=2000) as site,
        asking(site, "full", password(site, "full", inbox="rw")) as client,
    ):
        objects = [indicator(number) for number in range(1003)]
        status = client.post(f"{INBOX}/objects/", json={"objects": objects}, headers={"Content-Type": TAXII}).json()
        assert (status["success_count"], status["failure_count"]) == (1000, 3)
        assert "1000" in status["failures"][0]["message"]
        again = client.post(f"{INBOX}/objects/", json={"objects": objects[:5]}, headers={"Content-Type": TAXII}).json()
        assert again["failure_count"] == 0, "what is there already is no error (section 5.5)"


def test_what_is_refused_is_told_in_the_language_of_the_one_who_asks(partner: httpx.Client) -> None:
    said = {
        language: partner.get(f"{ROOT}/collections/none/", headers={"Accept-Language": language}).json()["description"]
        for language in ("vi", "en")
    }
    assert said["vi"].startswith("Ở đây không có") and said["en"].startswith("There is no such")


def test_a_client_that_is_revoked_while_it_works_is_nobody_at_once(partners: Site) -> None:
    with asking(partners, "short", password(partners, "short", inbox="r")) as client:
        assert client.get("/taxii2/").status_code == 200
        with partners.engine.begin() as connection:
            connection.execute(taxii_clients.update().where(taxii_clients.c.name == "short").values(revoked=True))
        assert client.get("/taxii2/").status_code == 401


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=15,
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_sent_is_never_a_fault_of_ours(partner: httpx.Client, data: st.DataObject) -> None:
    base = indicator(data.draw(st.integers(0, 3)))
    item: Any = data.draw(st.one_of(_json, st.fixed_dictionaries({}).map(lambda _: base)))
    if isinstance(item, dict) and item == base:
        for name in data.draw(st.sets(st.sampled_from([*base, "x_more", "object_marking_refs"]), max_size=3)):
            item = {**item, name: data.draw(_json)}
    body = json.dumps({"objects": [item], **data.draw(st.dictionaries(st.text(max_size=5), _json, max_size=2))})
    if data.draw(st.booleans()):
        body = body[: data.draw(st.integers(0, len(body)))]
    sent = body.encode("utf-8", "surrogatepass")
    answer = partner.post(f"{INBOX}/objects/", content=sent, headers={"Content-Type": TAXII})
    assert answer.status_code in (202, 422), answer.text
    assert answer.headers["content-type"] == TAXII
    for path in ("objects/", "manifest/"):
        assert partner.get(f"{INBOX}/{path}", params={"match[version]": "all"}).status_code == 200


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(["objects/", "manifest/", "objects/{}/", "objects/{}/versions/"]),
    query=st.dictionaries(
        st.sampled_from(["limit", "next", "added_after", "match[id]", "match[type]", "match[version]", "match[spec_version]", "x"]),
        st.one_of(st.text(max_size=30), st.sampled_from(["1", "9" * 18, "2026-01-01T00:00:00Z", "all", "first,last", "9999-12-31T23:59:59Z"])),
    ),
    name=st.text(st.characters(exclude_characters="/?#", exclude_categories=["Cs"]), min_size=1, max_size=20),
)  # fmt: skip
def test_whatever_is_asked_is_never_a_fault_of_ours(
    partner: httpx.Client, path: str, query: dict[str, str], name: str
) -> None:
    try:
        answer = partner.get(
            f"{INBOX}/" + path.format(httpx.URL("http://x").copy_with(path=f"/{name}").raw_path[1:].decode()),
            params=query,
        )
    except httpx.InvalidURL:
        return
    assert answer.status_code in (200, 307, 400, 404), answer.text
