"""What goes wrong between us and the authority: every message is in its book once, in order, and the trouble is told."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import update

from pipeline.messages import HaidangError
from pipeline.state.tables import share_messages
from sharing import book, courier, watching
from sharing.checking import check
from sharing.courier import Courier
from sharing.drafting import build
from sharing.profile import Fault, Named, profiles_of
from sharing.simulator import Simulator
from tests.conftest import eventually
from tests.sharing.conftest import Party, c2_alert, edited, signing_key


class _Leads:
    """Always leads."""

    def is_set(self) -> bool:
        return True


def courier_of(party: Party, named: Named) -> Courier:
    return Courier(party.stage, named, party.watchdog, _Leads(), lambda connection: None)  # type: ignore[arg-type]


def prepared(party: Party, count: int, **changes: Any) -> Named:
    """A confirmed profile with as many messages, each about one machine."""
    named = party.confirm(party.profile(**changes))
    build(party.engine, party.settings, named)
    for number in range(1, count + 1):
        party.raise_alerts(c2_alert(number))
        assert build(party.engine, party.settings, named) == [number]
    return named


def patched(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Give couriers a clock that stands still until it is set."""
    clock = SimpleNamespace(now=time.time(), time=lambda: clock.now, monotonic=time.monotonic)
    monkeypatch.setattr(courier, "time", clock)
    return clock


def arrived(party: Party) -> list[dict[str, Any]]:
    return party.simulator.book.arrived()


@pytest.mark.parametrize("mode", ["500", "403", "slow", "cut", "cut-after"])
def test_every_kind_of_fault_ends_in_one_copy_of_each_message_in_order(
    party: Party, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = prepared(party, 3, content__pseudonyms=[], endpoint__timeout_seconds=0.5)
    clock = patched(monkeypatch)
    party.simulator.behave(mode, 2, 0.8)
    sender = courier_of(party, named)
    sender.sign()
    while len(party.messages(status="sent")) < 3:
        if not sender.send():
            with party.engine.connect() as connection:
                clock.now = book.first_queued(connection, "bo").due
    assert [each["machines"] for each in arrived(party)] == [[f"10.0.0.{10 + n} PC-{n}"] for n in (1, 2, 3)]
    first = party.messages()[0]
    assert first["attempts"] >= 2
    if mode == "cut-after":  # it had come, and no receipt: the same bytes again are the same message
        assert arrived(party)[0]["times"] >= 2


def test_72_hours_without_an_authority_lose_nothing(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    named = prepared(party, 3, endpoint__url="https://127.0.0.1:9/", content__pseudonyms=[])
    sender, clock = courier_of(party, named), patched(monkeypatch)
    begun = clock.now
    while sender.sign():
        pass
    tries = 0
    while clock.now < begun + 72 * 3600:
        assert not sender.send()
        tries += 1
        with party.engine.connect() as connection:
            due = book.first_queued(connection, "bo").due
        assert due - clock.now <= 600  # a receiver that is back is soon noticed
        clock.now = max(due, clock.now + 3600)
    assert tries >= 72
    back = party.confirm(party.profile(content__pseudonyms=[]))
    assert back.digest != named.digest
    sender = courier_of(party, back)
    while sender.send():
        pass
    assert [each["facts"] for each in arrived(party)] == [1, 1, 1]
    assert {each["status"] for each in party.messages()} == {"sent"}


def test_a_message_that_nobody_took_in_time_is_told_and_can_be_sent_again(
    party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = prepared(party, 1, endpoint__url="https://127.0.0.1:9/")
    sender, clock = courier_of(party, named), patched(monkeypatch)
    begun = clock.now
    sender.sign()
    for hours in (0, 73, 74):
        clock.now = begun + hours * 3600
        sender.send()
    (message,) = party.messages()
    assert message["status"] == "expired"
    with party.engine.connect() as connection:
        told = watching.judge(connection, party.settings, [named], [], clock.now)
    assert [each["rule.id"] for each in told] == ["haidang.message_expired"]
    back = party.confirm(party.profile())
    book.resend(party.engine, 1, "an", "test")
    clock.now = time.time()
    courier_of(party, back).send()
    assert party.messages()[0]["status"] == "sent"


def test_the_72_hours_begin_when_people_have_agreed_and_a_withdrawal_too_late_says_so(
    party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = patched(monkeypatch)
    named = prepared(party, 1, endpoint__url="https://127.0.0.1:9/", approval__statistics=1)
    book.approve(party.engine, 1, "an", "test")
    clock.now += 100 * 3600  # it was a long weekend
    sender = courier_of(party, named)
    sender.sign()
    for _ in range(3):
        sender.send()
        clock.now += 3600
    assert [each["status"] for each in party.messages()] == ["queued"]
    back = party.confirm(party.profile(approval__statistics=1))
    sender = courier_of(party, back)
    post = sender._posted

    def late(kind: str, data: bytes) -> Any:
        answer = post(kind, data)
        book.withdraw(party.engine, 1, "an", "test", "too late")
        return answer

    monkeypatch.setattr(sender, "_posted", late)
    sender.send()
    assert len(arrived(party)) == 1
    assert [(each["status"], each["receipt"]["status"]) for each in party.messages()] == [("sent", 200)]


def test_a_refusal_is_final_and_told_and_the_next_message_goes_on(party: Party) -> None:
    named = prepared(party, 2)
    sender = courier_of(party, named)
    sender.sign()
    with party.engine.begin() as connection:
        spoilt = book.bytes_of(party.engine, 1)[1][:-40]
        connection.execute(update(share_messages).where(share_messages.c.number == 1).values(signed=spoilt))
    assert sender.send() and sender.send()
    assert [(each["status"], each["code"]) for each in party.messages()] == [("refused", 400), ("sent", 200)]
    with party.engine.connect() as connection:
        told = watching.judge(connection, party.settings, [named], [], time.time())
    assert [each["rule.id"] for each in told] == ["haidang.message_refused"]


def test_a_certificate_that_is_over_signs_nothing_and_says_so(party: Party) -> None:
    named = prepared(party, 1)
    signing_key(party.folder, "bo-signing", days=(-30, -1))
    named = party.confirm(Named(named.name, named.profile, named.digest, named.file))
    with pytest.raises(HaidangError, match=r"bo-signing\.pem"):
        courier_of(party, named).sign()
    assert [each["status"] for each in party.messages()] == ["approved"] and arrived(party) == []
    with party.engine.connect() as connection:
        told = watching.judge(connection, party.settings, [named], [], time.time())
    assert [each["rule.id"] for each in told] == ["haidang.certificate_bad"]


def test_what_was_signed_leaves_although_the_certificate_is_over_by_now(party: Party) -> None:
    named = prepared(party, 1)
    sender = courier_of(party, named)
    sender.sign()
    (number,) = [each["number"] for each in party.messages()]
    party.raise_alerts(c2_alert(2))
    build(party.engine, party.settings, named)  # one more, which cannot be signed any more
    signing_key(party.folder, "bo-signing", days=(-30, -1))
    sender.work()
    assert [(each["number"], each["status"]) for each in party.messages()] == [
        (number, "sent"),
        (number + 1, "approved"),
    ]
    assert len(arrived(party)) == 1


def test_keys_that_are_weak_foreign_or_not_there_are_refused_by_name(party: Party) -> None:
    named = prepared(party, 1)
    for make, word in (
        (lambda: signing_key(party.folder, "bo-signing", bits=1024), "2048"),
        (lambda: (party.folder / "bo-signing.key").write_bytes(b"no key"), "bo-signing.key"),
        (lambda: (party.folder / "bo-signing.pem").write_bytes(b"no certificate"), "bo-signing.pem"),
    ):
        make()
        with pytest.raises(HaidangError, match=word):
            courier_of(party, named).sign()
    signing_key(party.folder, "bo-signing")
    other = signing_key(party.folder, "other")
    (party.folder / "bo-signing.pem").write_bytes(other.read_bytes())
    with pytest.raises(HaidangError, match="does not belong"):
        courier_of(party, named).sign()


def test_the_authority_refuses_who_is_not_registered_and_a_wrong_certificate_gets_nothing(
    party: Party, simulator: Simulator
) -> None:
    named = prepared(party, 1)
    (simulator.folder / "registered" / "bo.pem").unlink()
    sender = courier_of(party, named)
    sender.sign()
    sender.send()
    (message,) = party.messages()
    assert (message["status"], message["code"]) == ("queued", 401) and arrived(party) == []
    stranger = signing_key(party.folder, "stranger")
    blind = party.confirm(party.profile(endpoint__ca=str(stranger)))
    courier_of(party, blind).send()
    looks = list(check(blind))
    assert [look.good for look in looks] == [True, True, False] and "certificate" in looks[-1].text
    assert arrived(party) == []


@pytest.mark.parametrize("simulator", ["client"], indirect=True)
def test_an_authority_that_asks_for_a_certificate_at_the_connection(party: Party, simulator: Simulator) -> None:
    named = prepared(party, 1)
    sender = courier_of(party, named)
    sender.sign()
    sender.send()
    (message,) = party.messages()
    assert message["status"] == "queued" and arrived(party) == [], message
    assert "certificate" in message["answer"] or "EOF" in message["answer"]  # it may hang up before its reason is read
    assert not list(check(named))[-1].good
    shown = {"endpoint__certificate": simulator.folder / "client.pem", "endpoint__key": simulator.folder / "client.key"}
    party.confirm(party.profile(**{name: str(file) for name, file in shown.items()}))
    party.run()
    eventually(lambda: party.messages(status="sent"), 20)
    assert len(arrived(party)) == 1
    signing_key(party.folder, "stranger")
    other = party.profile(endpoint__certificate="stranger.pem", endpoint__key="stranger.key")
    assert not list(check(other))[-1].good


def test_check_says_what_stands_in_the_way(party: Party) -> None:
    named = party.profile()
    assert all(look.good for look in check(named))
    assert arrived(party) == []  # nothing left
    assert [look.good for look in check(party.profile(endpoint__url=""))] == [True, True, False]
    assert [look.good for look in check(party.profile(endpoint__url="https://127.0.0.1:9/"))] == [True, True, False]
    closed = party.profile(endpoint__allow_private=[])
    assert "127.0.0.1" in list(check(closed))[-1].text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"organ__id": "G00"}, ["organ: fill in"]),
        ({"organ__id": "Hà Nội"}, ["organ: `Hà Nội`"]),
        ({"organ__id_form": "qcvn102"}, ["organ: `G10.22`"]),
        ({"endpoint__url": "http://authority.example/"}, ["endpoint.url"]),
        ({"content__fields": ["machine.password"]}, ["content: `machine.password`"]),
        ({"content__pseudonyms": ["malware.name"]}, ["content: `malware.name`"]),
        ({"signing__key": None}, ["`certificate` and `key`"]),
        ({"signing__key": "nowhere.key"}, ["signing.key", "nowhere.key"]),
        ({"schedule__every_minuts": 5}, ["schedule.every_minuts", "every_minutes"]),
        ({"format": "fax"}, ["format"]),
        ({"title": None, "organ__name": None}, ["title", "organ.name"]),
    ],
)
def test_a_profile_with_a_fault_says_which_and_hides_no_other(
    party: Party, changes: dict[str, Any], words: list[str]
) -> None:
    party.profile("good")
    file = party.folder / "bad.toml"
    file.write_text(edited((party.folder / "good.toml").read_text("utf-8"), changes), "utf-8")
    good, bad = profiles_of(party.settings)
    assert [each.name for each in good] == ["good"]
    ((_, fault_file, faults),) = [(each.name, each.file, each.faults) for each in bad]
    assert fault_file == file
    for word in words:
        assert any(word in fault for fault in faults), faults


def test_rubbish_in_the_folder_is_told_as_an_alert(party: Party) -> None:
    party.folder.mkdir(parents=True)
    (party.folder / "x.toml").write_bytes(b"\xff\xfe")
    (party.folder / "Tên Sai.toml").write_text("")
    (party.folder / "large.toml").write_text("# " + "x" * 200_000)
    good, bad = profiles_of(party.settings)
    assert good == [] and len(bad) == 3 and all(isinstance(each, Fault) for each in bad)
    with party.engine.connect() as connection:
        assert watching.judge(connection, party.settings, good, bad, time.time()) == []  # somebody may be at it
        told = watching.judge(connection, party.settings, good, bad, time.time() + 1000)
    assert {each["rule.id"] for each in told} == {"haidang.profile_refused"}
