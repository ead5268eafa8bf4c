"""E-mail through a real mail server: what arrives, and what a server that refuses leaves behind."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.delivery import DEAD, DIGEST, JOINED, SENT, WAITING
from pipeline.own_alerts import told_alert
from pipeline.settings import Settings
from tests.conftest import eventually
from tests.response.delivery.conftest import Corridor, alert
from tests.services.mailbox import PASSWORD, USER, Mailbox, mailbox

TO = ["truc@example.gov.vn", "lanh.dao@example.gov.vn"]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Mailbox]:
    """A mail server that demands STARTTLS and a log-in."""
    with mailbox(tmp_path) as made:
        yield made


def channel(box: Mailbox, **more: Any) -> dict[str, Any]:
    """A channel to a mail server."""
    base = {"name": "mail", "kind": "email", "host": "localhost", "port": box.port, "ca": box.ca}
    login = {"username": USER, "password": PASSWORD, "sender": "haidang@example.gov.vn", "to": TO}
    return {**base, **login, "digest_over": 0, **more}


def site(corridor: Callable[..., Corridor], box: Mailbox, **more: Any) -> Corridor:
    """A corridor with that channel."""
    return corridor(channels=[channel(box, **more)], routes=[{"channels": ["mail"]}])


def test_a_mail_arrives_in_vietnamese_as_text_and_html(corridor: Callable[..., Corridor], box: Mailbox) -> None:
    made = corridor(
        channels=[channel(box, language="vi")], routes=[{"channels": ["mail"], "each": "alert"}],
        delivery={"link": "https://haidang.example.gov.vn/", "timezone": "Asia/Ho_Chi_Minh"},
    )  # fmt: skip
    made.raise_alerts(alert(1, **{"rule.response_vi": "Hỏi người dùng <ngay>"}))
    made.raise_alerts(alert(2, **{"source.ip": "10.0.5.20"}))  # of the same group
    made.run()
    assert [each["status"] for each in made.ended()] == [SENT, SENT]
    (to, mail), (_, other) = box.mails
    assert to == TO
    assert mail["Subject"] == "[CAO] Quét cổng 1: 10.0.5.20"
    assert mail["Message-ID"] == f"<{made.receipts()[0]['id']}@example.gov.vn>"
    group = made.receipts()[0]["thread"]
    assert mail["References"] == other["References"] == f"<{group}.group@example.gov.vn>"
    assert mail["Message-ID"] != other["Message-ID"]
    text, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    assert "Việc cần làm trước: Hỏi người dùng <ngay>" in text.get_content()
    assert "Thời điểm: 24/11/2026 12:17:44 +0700" in text.get_content()
    assert f"https://haidang.example.gov.vn/#alert/{alert(1)['event.id']}" in text.get_content()
    assert "Luật: Quét cổng 1" in text.get_content()
    assert "Địa chỉ nguồn: 10.0.5.20" in text.get_content()
    assert "source.ip" not in text.get_content() + html.get_content()
    assert text.get_content().strip().endswith(f"Mã cảnh báo {alert(1)['event.id']}, luật behaviour.port_scan")
    assert mail["Date"].endswith("+0700")
    assert "&lt;ngay&gt;" in html.get_content()
    assert "<ngay>" not in html.get_content()
    assert box.logins  # and only after STARTTLS, which the server demands


def test_the_subject_says_which_channel_source_or_stage_is_meant(
    corridor: Callable[..., Corridor], box: Mailbox
) -> None:
    made = site(corridor, box)
    told = {"stage": "store", "machine": "may-2", "minutes": 6}
    made.raise_alerts(told_alert("delivery.stage_silent", "store@may-2", "1", "may-thu", "high", **told))
    made.run()
    assert made.ended()[0]["status"] == SENT
    assert box.mails[0][1]["Subject"] == "[HIGH] A stage is silent: store@may-2"


def test_nothing_from_logs_becomes_a_header_or_markup(corridor: Callable[..., Corridor], box: Mailbox) -> None:
    nasty = "a\r\nBcc: evil@example.com\r\n\r\n<script>alert(1)</script>\u2028\x1b[31m" + "x" * 100_000
    made = site(corridor, box)
    made.raise_alerts(alert(1, **{"rule.name": nasty, "host.name": nasty, "rule.description": nasty}))
    made.run()
    assert made.ended()[0]["status"] == SENT
    ((to, mail),) = box.mails
    assert to == TO
    assert mail["Bcc"] is None
    assert len(mail["Subject"]) < 250  # folding may put a space into a word without any
    html = mail.get_body(("html",))
    assert html is not None
    assert "<script>" not in html.get_content()
    assert "\x1b" not in html.get_content()
    assert len(mail.as_bytes()) < 50_000


def test_a_recipient_that_is_refused_costs_no_other_and_one_that_must_wait_gets_it_later(
    corridor: Callable[..., Corridor], box: Mailbox
) -> None:
    box.refused = {TO[0]: "450 4.2.0 greylisted"}
    made = site(corridor, box)
    made.raise_alerts(alert(1))
    made.run()
    eventually(lambda: len(box.mails) == 1)
    assert made.tried()[0]["status"] == WAITING
    box.refused = {}
    assert made.ended()[0]["status"] == SENT
    assert [to for to, _ in box.mails] == [[TO[1]], [TO[0]]]
    assert len({mail["Message-ID"] for _, mail in box.mails}) == 1


def test_mail_that_is_refused_for_good_is_dead_at_once_with_the_reason(
    corridor: Callable[..., Corridor], box: Mailbox
) -> None:
    box.refused = {TO[0]: "550 5.1.1 no such user", TO[1]: "550 5.7.1 not allowed"}
    made = site(corridor, box)
    made.raise_alerts(alert(1))
    made.run()
    (dead,) = made.ended()
    assert dead["status"] == DEAD
    assert "550 5.1.1 no such user" in dead["answer"]
    box.refused, box.content = {}, ["554 5.6.0 looks like spam"]
    made.raise_alerts(alert(2))
    second = made.ended()[1]
    assert (second["status"], second["answer"]) == (DEAD, "554 5.6.0 looks like spam")


def test_a_wrong_password_holds_the_channel_and_says_so(corridor: Callable[..., Corridor], box: Mailbox) -> None:
    made = site(corridor, box, password="wrong")
    made.raise_alerts(*(alert(number) for number in range(5)))
    made.run()
    eventually(lambda: any(each["attempts"] for each in made.receipts()))
    waits = made.receipts()
    assert {each["status"] for each in waits} == {WAITING}
    assert "log-in" in next(each["answer"] for each in waits if each["attempts"])
    assert box.mails == []


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not")  # it does not see that all is TLS
def test_implicit_tls_works_too(corridor: Callable[..., Corridor], tmp_path: Path) -> None:
    with mailbox(tmp_path, "tls") as box:
        made = site(corridor, box, security="tls")
        made.raise_alerts(alert(1))
        made.run()
        assert made.ended()[0]["status"] == SENT
        made.stop()


def test_a_password_is_never_said_without_tls(corridor: Callable[..., Corridor], tmp_path: Path) -> None:
    with mailbox(tmp_path, "none") as box:  # offers no STARTTLS
        made = site(corridor, box)
        made.raise_alerts(alert(1))
        made.run()
        assert "STARTTLS" in made.tried()[0]["answer"]
        assert box.logins == []
        made.stop()
    with pytest.raises(ValueError, match="plain_login"):
        Settings.model_validate({"data_dir": tmp_path, "channels": [channel(box, security="none")]})


@contextmanager
def _server_that(does: Callable[[socket.socket], None]) -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                try:
                    does(connection)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listening.getsockname()[1]
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


def _greets_without_end(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"220-welcome\r\n" * 1000)


def _greets_slowly(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"2")
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("does", "says"), [(_greets_without_end, "its answer does not end"), (_greets_slowly, "within 1 seconds")]
)
def test_a_server_that_talks_without_end_is_cut_off(
    corridor: Callable[..., Corridor], box: Mailbox, does: Callable[[socket.socket], None], says: str
) -> None:
    with _server_that(does) as port:
        made = site(corridor, box, port=port, timeout_seconds=1)
        made.raise_alerts(alert(1))
        made.run()
        assert says in made.tried()[0]["answer"]
        made.stop()


def test_many_alerts_become_one_mail_and_each_has_its_receipt(corridor: Callable[..., Corridor], box: Mailbox) -> None:
    made = site(corridor, box, digest_over=20)
    made.raise_alerts(*(alert(number, "critical" if number == 7 else "low") for number in range(70)))
    made.run()
    receipts = made.ended()
    assert {each["status"] for each in receipts} == {SENT}
    (digest,) = [each for each in receipts if each["kind"] == DIGEST]
    assert {each["digest"] for each in receipts if each is not digest} == {digest["id"]}
    ((_, mail),) = box.mails
    assert mail["Subject"] == "[CRITICAL] 70 alerts"
    text = mail.get_body(("plain",))
    assert text is not None
    lines = text.get_content().splitlines()
    assert lines[4].startswith("[CRITICAL]")
    assert sum(line.startswith("and 1 more") for line in lines) == 20


def test_what_is_not_urgent_is_gathered_and_what_is_urgent_is_not(
    corridor: Callable[..., Corridor], box: Mailbox
) -> None:
    made = site(corridor, box, digest_minutes=0.05)
    made.raise_alerts(*(alert(number, "low") for number in range(3)), alert(9, "critical"))
    made.run()
    receipts = made.ended()
    assert [len(box.mails), sum(each["kind"] == DIGEST for each in receipts)] == [2, 1]
    assert box.mails[0][1]["Subject"].startswith("[CRITICAL] Port scan 9")
    assert all(each["status"] != JOINED for each in receipts)
