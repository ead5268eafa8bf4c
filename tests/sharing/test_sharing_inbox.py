"""Warnings that come in: signed, fresh, once; they become indicators, a case, an answer; everything else is refused."""

import json
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from detectors.indicators import kept, warnings
from pipeline.cases import life
from pipeline.cases.entries import By
from pipeline.messages import HaidangError
from pipeline.state.tables import alert_groups, case_entries, cases, share_received
from sharing import inbox
from sharing.inbox import NotTaken
from sharing.keys import opened, valid_certificate
from sharing.profile import Named, Signing
from sharing.simulator import WARNING, WARNING_KEY, detached
from tests.conftest import eventually
from tests.sharing.conftest import SERVER, Party, c2_alert, signing_key
from tests.sharing.test_sharing_faults import courier_of

INDICATOR = "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f"


def bundle(value: str = SERVER, title: str = "Chiến dịch AsyncRAT", **more: Any) -> bytes:
    times = {"created": "2026-11-29T01:00:00.000Z", "modified": "2026-11-29T01:00:00.000Z"}
    indicator = {
        "type": "indicator", "spec_version": "2.1", "id": INDICATOR, **times, "name": "C2 server",
        "pattern": f"[ipv4-addr:value = '{value}']", "pattern_type": "stix", "valid_from": "2026-11-29T01:00:00Z",
        "indicator_types": ["malicious-activity"],
    }  # fmt: skip
    report = {
        "type": "report", "spec_version": "2.1", "id": "report--84e4d88f-44ea-4bcd-bbf3-b2c1c320bcb3", **times,
        "name": title, "description": "Máy chủ điều khiển mới.", "published": "2026-11-29T01:00:00Z",
        "object_refs": [INDICATOR],
    }  # fmt: skip
    marking = {"type": "marking-definition", "name": "TLP:RED"}
    told = {
        "type": "bundle",
        "id": "bundle--44af6c39-c09b-49c5-9de2-394224b04982",
        "objects": [report, indicator, marking],
    }
    return orjson.dumps({**told, **more})


def signature(party: Party, data: bytes, made: float | None = None, message: str = "CB-01") -> str:
    folder = party.simulator.folder
    signing = Signing(certificate=folder / WARNING, key=folder / WARNING_KEY)
    with opened(signing, valid_certificate(folder / WARNING)) as key:
        return detached(data, key, time.time() if made is None else made, message)


def warned(party: Party, **changes: Any) -> Named:
    """A confirmed profile that takes the simulator's warnings and answers it."""
    told = {
        "inbox__certificate": str(party.simulator.folder / WARNING),
        "inbox__reply_url": f"{party.url}acknowledgements", **changes,
    }  # fmt: skip
    return party.confirm(party.profile(**told))


def test_a_warning_becomes_indicators_and_a_case_and_is_answered_twice(parties: Party) -> None:
    party = parties
    named, data = warned(party), bundle()
    message = inbox.verified(named, data, signature(party, data), time.time())
    receipt = inbox.receive(party.engine, named.name, inbox.HTTPS, data, message, "bo", "10.0.0.9", time.time())
    assert inbox.receive(party.engine, named.name, inbox.HTTPS, data, message, "bo", "", time.time()) == receipt
    warnings.take_over(party.engine, party.settings)
    feed = kept.feed(party.engine, inbox.feed_of(receipt["receipt"]))
    assert feed is not None and feed.count == 1
    inbox.work(party.engine, named.name, named, time.time())
    inbox.work(party.engine, named.name, named, time.time())
    (case,) = _rows(party, cases)
    assert ("Chiến dịch AsyncRAT" in case.title, case.tlp, case.reportable, case.owner) == (True, "red", False, "")
    assert _brought(party, "observable") == [("address", SERVER)]
    raised = c2_alert(1, **{"threat.indicator.provider": feed.name})
    party.raise_alerts(raised, c2_alert(2), c2_alert(3, **{"threat.indicator.provider": "warning-of-another"}))
    for _ in range(2):
        inbox.work(party.engine, named.name, named, time.time())
    assert [entity for _, entity in _brought(party, "alerts")] == ["address:10.0.0.11"]
    taken = {row.entity: row.case_id for row in _rows(party, alert_groups)}
    assert taken == {"address:10.0.0.11": case.id, "address:10.0.0.12": 0, "address:10.0.0.13": 0}
    inbox.work(party.engine, named.name, named, time.time() + inbox.SEARCHED_SECONDS + 1)
    sender = courier_of(party, named)
    while sender.sign():
        pass
    assert sender.send()
    (first,) = party.simulator.book.acknowledged()
    assert (first["message"], first["indicators"], first["alerts"], first["status"]) == ("CB-01", 1, 1, "open")
    life.close(party.engine, case.id, "true_positive", "Đã chặn và gỡ mã độc.", By("an", "test"))
    inbox.work(party.engine, named.name, named, time.time() + 200)
    inbox.work(party.engine, named.name, named, time.time() + 300)
    sender.sign()
    sender.send()
    last = party.simulator.book.acknowledged()[0]
    assert (last["status"], last["verdict"], len(party.simulator.book.acknowledged())) == ("closed", "true_positive", 2)
    (told,) = inbox.listed(party.engine)
    assert (told["answered"], told["alerts"], told["case"]) == ("closed", 1, case.id)


def _brought(party: Party, kind: str) -> list[tuple[str, str]]:
    """What is in cases, of a kind; observables of the site's own machines left out."""
    bodies = [row.body for row in _rows(party, case_entries) if row.kind == kind]
    return [(body.get("kind", ""), body.get("value") or body["entity"]) for body in bodies]


def test_alerts_that_are_in_another_case_stay_there(party: Party) -> None:
    named = warned(party)
    receipt = inbox.receive(party.engine, named.name, inbox.HTTPS, bundle(), "CB-01", "bo", "", time.time())
    feed = inbox.feed_of(receipt["receipt"])
    party.raise_alerts(c2_alert(1, **{"threat.indicator.provider": feed}))
    (group,) = _rows(party, alert_groups)
    other = life.open_case(party.engine, life.Wanted("Vụ khác", alerts=[group.id]), By("an", "test"))
    for _ in range(3):
        inbox.work(party.engine, named.name, named, time.time())
    (group,) = _rows(party, alert_groups)
    assert group.case_id == other and [row.owner for row in _rows(party, cases)] == ["an", ""]


def test_a_case_has_what_the_patterns_of_its_warning_name_and_its_title_says_once_what_it_is(party: Party) -> None:
    patterns = [
        "[domain-name:value = 'evil.example' OR url:value = 'http://evil.example/a?b=\\'1\\'']",
        "[file:hashes.'SHA-256' = '" + "AB" * 32 + "'] FOLLOWEDBY [ipv6-addr:value='2001:db8::1']",
        "[ipv4-addr:value = 'no address']", "[file:name LIKE 'ipv4-addr:value = %']", "[domain-name:value != 'good.example']",
        "[email-addr:value = 'a@evil.example\u0000']", "[" * 20_000, "'" * 20_001,
        *(f"[ipv4-addr:value = '45.9.{n // 250}.{n % 250}']" for n in range(300)),
    ]  # fmt: skip
    indicators = [{"type": "indicator", "pattern": each} for each in patterns]
    report = {"type": "report", "name": "Warning of a campaign"}
    data = orjson.dumps({"type": "bundle", "objects": [report, *indicators, {"type": "indicator", "pattern": 7}]})
    named = warned(party)
    inbox.receive(party.engine, named.name, inbox.HTTPS, data, "CB-01", "bo", "", time.time())
    inbox.work(party.engine, named.name, named, time.time())
    (case,) = _rows(party, cases)
    found = _brought(party, "observable")
    assert (case.title, len(found)) == ("Warning of a campaign", 200)
    assert found[:5] == [
        ("domain", "evil.example"), ("url", "http://evil.example/a?b='1'"), ("hash", "ab" * 32),
        ("address", "2001:db8::1"), ("address", "45.9.0.0"),
    ]  # fmt: skip


def test_warnings_whose_cases_are_open_hold_up_no_later_one(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "_AT_ONCE", 2)
    named = warned(party)
    for number in range(5):
        data = bundle(f"45.9.148.{number}")
        inbox.receive(party.engine, named.name, inbox.HTTPS, data, f"CB-{number}", "bo", "", time.time())
    for _ in range(3):
        inbox.work(party.engine, named.name, named, time.time())
    assert len(_rows(party, cases)) == 5


def _rows(party: Party, table: Any) -> list[Any]:
    with party.engine.connect() as connection:
        return list(connection.execute(select(table)).all())


def test_what_is_not_signed_by_whom_the_profile_names_is_refused(party: Party) -> None:
    named, data, now = warned(party), bundle(), time.time()
    good = signature(party, data)
    assert inbox.verified(named, data, good, now) == "CB-01"
    header, _, mark = good.partition("..")
    none = "eyJhbGciOiJub25lIn0"  # {"alg":"none"}
    for bad in (
        "", "x", f"{header}..{mark[:-4]}AAAA", f"{none}..{mark}", f"{header}.{mark}", "a" * 20_000, f"{header}..!!",
        signature(party, data, now - 80 * 3600), signature(party, data, now + 3600), signature(party, data, message="x" * 200),
    ):  # fmt: skip
        with pytest.raises(NotTaken):
            inbox.verified(named, data, bad, now)
    with pytest.raises(NotTaken):
        inbox.verified(named, data + b" ", good, now)
    stranger = party.profile("xa", inbox__certificate=str(signing_key(party.folder, "stranger")))
    with pytest.raises(NotTaken):
        inbox.verified(stranger, data, good, now)
    over = party.profile("cu", inbox__certificate=str(signing_key(party.folder, "over", days=(-30, -1))))
    with pytest.raises(HaidangError, match=r"over\.pem"):
        inbox.verified(over, data, good, now)
    with pytest.raises(NotTaken):
        inbox.verified(party.profile("dong"), data, good, now)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{}", b'{"type":"bundle","objects":[]}', b'{"type":"bundle","objects":[1]}', b"\xff",
        b'{"type":"bundle","objects":[' + b",".join([b'{"type":"x"}'] * 30_000) + b"]}",
        b'{"type":"bundle","objects":[{"a":' + b"[" * 60 + b"]" * 60 + b"}]}", b"[" * 100_000,
        b" " * 10_000_001,
    ],
    ids=["empty", "list", "map", "nothing", "number", "binary", "many", "deep", "deepest", "large"],
)  # fmt: skip
def test_what_is_no_bundle_is_refused(party: Party, data: bytes) -> None:
    with pytest.raises(NotTaken):
        inbox.receive(party.engine, party.profile().name, inbox.HTTPS, data, "m", "bo", "", time.time())
    assert _rows(party, share_received) == []


def test_the_id_of_another_warning_is_refused_and_one_without_anything_of_use_says_so(party: Party) -> None:
    named = warned(party)
    inbox.receive(party.engine, named.name, inbox.HTTPS, bundle(), "CB-01", "bo", "", time.time())
    with pytest.raises(NotTaken):
        inbox.receive(party.engine, named.name, inbox.HTTPS, bundle("203.0.113.7"), "CB-01", "bo", "", time.time())
    inbox.receive(party.engine, named.name, inbox.HTTPS, bundle("10.0.0.1", "Nội bộ"), "CB-02", "bo", "", time.time())
    warnings.take_over(party.engine, party.settings)
    assert warnings.waiting(party.engine) == []
    told = {each["title"]: each for each in inbox.listed(party.engine)}
    assert told["Chiến dịch AsyncRAT"]["indicators"] == 1
    internal = told["Nội bộ"]
    assert (internal["indicators"], internal["refused"]) == (0, 1) and "10.0.0.1" in internal["fault"]
    feed = kept.feed(party.engine, inbox.feed_of(internal["id"]))
    assert feed is not None and (feed.count, feed.error, feed.detail["refused"]) == (0, "", {"private": 1})


def test_a_file_that_is_put_down_is_taken_once_and_rubbish_is_kept_beside(party: Party, monkeypatch: Any) -> None:
    named = warned(party, inbox__folder=True)
    folder = party.folder / "inbox" / "bo"
    folder.mkdir(parents=True)
    (folder / "a.json").write_bytes(bundle())
    (folder / "b.json").write_text("rubbish")
    (folder / "c.json").symlink_to("/etc/passwd")
    assert inbox.take_files(party.engine, party.settings, named) == 0  # they may still be written
    for name in ("a.json", "b.json"):
        import os

        os.utime(folder / name, (1, 1))
    assert inbox.take_files(party.engine, party.settings, named) == 1
    assert sorted(each.name for each in folder.iterdir()) == ["a.json.taken", "b.json.refused", "c.json"]
    assert [row.way for row in _rows(party, share_received)] == ["file"]
    (refused,) = inbox.refusals(party.engine)
    assert (refused["profile"], refused["way"], refused["address"], refused["size"]) == ("bo", "file", "b.json", 7)
    assert "JSON" in refused["reason"]
    closed = party.profile("xa", inbox__folder=False)
    assert inbox.take_files(party.engine, party.settings, closed) == 0


def test_refusals_are_kept_one_a_minute_for_each_address_and_not_without_end(parties: Party) -> None:
    def refuse(address: str, now: float) -> None:
        inbox.refuse(parties.engine, "x", inbox.HTTPS, NotTaken("inbox.no_id"), 5, address, now)

    now = time.time()
    for address in ("10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.1"):
        refuse(address, now)
    assert [each["address"] for each in inbox.refusals(parties.engine)] == ["10.0.0.2", "10.0.0.1"]
    refuse("10.0.0.1", now + 120)
    assert len(inbox.refusals(parties.engine)) == 3
    for number in range(100):
        refuse(f"10.1.0.{number}", now)
    assert len(inbox.refusals(parties.engine)) == 60


def test_the_stage_does_all_of_it_by_itself(party: Party) -> None:
    warned(party, inbox__folder=True)
    folder = party.folder / "inbox" / "bo"
    folder.mkdir(parents=True)
    (folder / "w.json").write_bytes(bundle())
    party.run()
    eventually(lambda: [each for each in inbox.listed(party.engine) if each["case"]], 20)
    assert json.loads(Path(folder / "w.json.taken").read_bytes())["type"] == "bundle"
