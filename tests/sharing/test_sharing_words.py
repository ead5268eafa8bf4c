"""What `haidang sharing` prints is in the language of who reads it, whole, and about the bytes that left."""

import json
import time
from collections.abc import Iterator
from hashlib import sha256

import pytest

from pipeline.command import main
from pipeline.messages import choose_language
from sharing import book, inbox
from sharing.command import _short
from sharing.drafting import build
from tests.sharing.conftest import Party, c2_alert
from tests.sharing.test_sharing_faults import courier_of
from tests.sharing.test_sharing_inbox import bundle, warned


@pytest.fixture
def sent(party: Party, monkeypatch: pytest.MonkeyPatch) -> Iterator[Party]:
    """A site that has sent a message and has got a warning; commands speak Vietnamese."""
    named = warned(party)
    build(party.engine, party.settings, named)
    party.raise_alerts(c2_alert(1))
    build(party.engine, party.settings, named)
    courier = courier_of(party, named)
    courier.sign()
    courier.send()
    inbox.receive(party.engine, "bo", inbox.HTTPS, bundle(title="Cảnh báo 7"), "CB-7", "bo", "", time.time())
    inbox.refuse(party.engine, "bo", inbox.FILE, inbox.NotTaken("inbox.no_id"), 5, "w.json", time.time())
    inbox.work(party.engine, "bo", named, time.time())
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(party.folder.parent))
    monkeypatch.setenv("HAIDANG_LANGUAGE", "vi")
    monkeypatch.setenv("COLUMNS", "250")
    yield party
    choose_language("en")


def test_kinds_and_statuses_are_said_in_vietnamese(sent: Party, capfd: pytest.CaptureFixture[str]) -> None:
    expected = {
        ("list",): ("số liệu định kỳ", "đã gửi"), ("inbox",): ("cảnh báo", "Cảnh báo 7", "đang mở", "HTTPS"),
        ("inbox", "--refused"): ("w.json", "tệp", "lý do"),
        ("withdraw", "1", "--reason", "x"): ("trạng thái là đã gửi",),
    }  # fmt: skip
    for command, words in expected.items():
        capfd.readouterr()
        main(["sharing", *command])
        told = "".join(capfd.readouterr())
        assert not [word for word in words if word not in told], (command, told)
        assert not [word for word in ("statistics", "is sent", " sent ", "bên nhận", "https") if word in told], told


def test_receipts_have_the_digest_of_what_left_and_all_of_the_receipt(
    sent: Party, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    assert main(["sharing", "receipts", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    content, signed = book.bytes_of(sent.engine, 1)
    assert (told["sha256"], told["content_sha256"]) == (sha256(signed).hexdigest(), sha256(content).hexdigest())
    assert told["sha256"] == book.one(sent.engine, 1)["signed_sha256"]
    assert json.loads(told["receipt"])["sha256"] == told["sha256"]


def test_a_long_receipt_is_cut_between_its_values() -> None:
    long = json.dumps({"receipt": 7, "sha256": "ab" * 32, "said": "x" * 100})
    assert _short(long) == f"receipt: 7, sha256: {'ab' * 32}, …"
    assert (_short(""), _short("{}"), _short("a  b"), len(_short("từ " * 100)) <= 120) == ("-", "-", "a b", True)
