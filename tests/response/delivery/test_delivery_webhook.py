"""Webhooks to a real HTTPS receiver: who sent it can be proved, and nothing of ours can be reached by it."""

import base64
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import update
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from pipeline.delivery import DEAD, SENT, WAITING, book
from pipeline.own_alerts import told_alert
from pipeline.state.tables import alerts, deliveries
from response.delivery.rendering import Renderer
from tests.conftest import eventually
from tests.response.delivery.conftest import Corridor, alert
from tests.services.receiver import Handler, Receiver, Request, answers, receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_DOCS = Path(__file__).parents[3] / "docs" / "delivery.md"
_LOOPBACK = ["127.0.0.0/8", "::1/128"]


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """A receiver of this test."""
    with receiving(tmp_path / "receiver") as made:
        yield made


@pytest.fixture
def site(corridor: Callable[..., Corridor], receiver: Receiver) -> Callable[..., Corridor]:
    """What makes a corridor with one channel to the receiver."""

    def make(**channel: Any) -> Corridor:
        base = {"name": "soc", "kind": "webhook", "url": receiver.url, "ca": receiver.ca, "allow_private": _LOOPBACK}
        return corridor(channels=[{**base, **channel}], routes=[{"channels": ["soc"]}])

    return make


def test_an_alert_arrives_as_a_cloudevent_that_the_reference_library_verifies(
    site: Callable[..., Corridor], receiver: Receiver
) -> None:
    other = "whsec_" + base64.b64encode(b"a second secret, of 32 bytes ...").decode()
    key = Ed25519PrivateKey.generate()
    made = site(secrets=[SECRET, other, "whsk_" + base64.b64encode(key.private_bytes_raw()).decode()])
    made.raise_alerts(alert(1), alert(2))
    made.run()
    assert [each["status"] for each in made.ended()] == [SENT, SENT]
    assert len(receiver.requests) == 2
    request = receiver.requests[0]
    for secret in (SECRET, other):
        assert Webhook(secret).verify(request.body, request.headers) == request.document
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body + b" ", request.headers)
    signature = next(part[4:] for part in request.headers["webhook-signature"].split() if part.startswith("v1a,"))
    content = f"{request.id}.{request.headers['webhook-timestamp']}.".encode() + request.body
    key.public_key().verify(base64.b64decode(signature), content)
    event = request.document
    assert request.headers["content-type"].startswith("application/cloudevents+json")
    assert (event["specversion"], event["type"], event["source"]) == ("1.0", "vn.haidang.alert", "/haidang/may-thu")
    assert event["id"] == request.id == made.receipts(alert=event["subject"])[0]["id"]
    assert event["data"]["alert.evidence"] == [{"message": "Đăng nhập"}]
    assert request.path == "/hook?site=1"


def test_a_receiver_that_was_away_gets_everything_when_it_is_back(
    site: Callable[..., Corridor], receiver: Receiver
) -> None:
    receiver.answers = [answers(503, b"later"), answers(500), answers(429, Retry_After="1")]
    made = site()
    made.raise_alerts(*(alert(number) for number in range(20)))
    made.run()
    receipts = made.ended(60)
    assert {each["status"] for each in receipts} == {SENT}
    assert set(receiver.ids()) == {each["id"] for each in receipts}
    assert len(receiver.ids()) == 23
    assert sum(each["attempts"] for each in receipts) == 23


def test_a_receiver_that_is_down_and_comes_back_gets_everything_also_what_was_tried_before_a_restart(
    corridor: Callable[..., Corridor], tmp_path: Path
) -> None:
    with receiving(tmp_path / "receiver") as receiver:
        channel = {"name": "soc", "kind": "webhook", "url": receiver.url, "ca": receiver.ca, "allow_private": _LOOPBACK}
        made = corridor(channels=[channel], routes=[{"channels": ["soc"]}])
    made.raise_alerts(*(alert(number) for number in range(200)))
    made.run()
    eventually(lambda: any(each["attempts"] for each in made.receipts()))
    (fared,) = book.standing(made.engine, ["soc"])
    assert (fared["waiting"], fared["sent"]) == (200, 0)
    assert "refused" in fared["error"].lower()
    made.stop()
    with made.engine.begin() as connection:  # as after hours of failures
        later = time.time() + 3000
        connection.execute(update(deliveries).where(deliveries.c.attempts > 0).values(due=later))
    with receiving(tmp_path / "receiver", receiver.port) as receiver:
        made.run()
        assert {each["status"] for each in made.ended()} == {SENT}
        assert sorted(receiver.ids()) == sorted(each["id"] for each in made.receipts())
    (fared,) = book.standing(made.engine, ["soc"])
    assert (fared["waiting"], fared["sent"], fared["failures"], fared["error"]) == (0, 200, 0, "")


def test_a_receiver_that_takes_it_and_then_says_nothing_gets_it_again_under_the_same_id(
    site: Callable[..., Corridor], receiver: Receiver
) -> None:
    receiver.answers = [lambda handler, request: time.sleep(3)]
    made = site(timeout_seconds=0.5)
    made.raise_alerts(alert(1))
    made.run()
    assert made.ended()[0]["status"] == SENT
    assert len(receiver.ids()) == 2
    assert len(set(receiver.ids())) == 1


def test_a_receiver_that_is_gone_for_good_leaves_dead_letters_that_can_be_sent_again(
    site: Callable[..., Corridor], receiver: Receiver
) -> None:
    receiver.usual = answers(410, b"<b>moved</b>\r\nX: y")
    made = site()
    made.raise_alerts(alert(1))
    made.run()
    (dead,) = made.ended()
    assert (dead["status"], dead["answer"]) == (DEAD, "HTTP 410 <b>moved</b>  X: y")
    receiver.usual = answers(200)
    assert book.resend(made.engine, ["soc"], [], True, "", "admin", "command") == 1
    (sent,) = made.ended()
    assert (sent["id"], sent["status"]) == (dead["id"], SENT)


@pytest.mark.parametrize(
    "address", ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1"]
)
def test_nothing_goes_to_an_address_of_ours_that_was_not_allowed(
    site: Callable[..., Corridor], receiver: Receiver, address: str
) -> None:
    made = site(url=f"https://{address}:{receiver.port}/", allow_private=["192.0.2.0/24"])
    made.raise_alerts(alert(1))
    made.run()
    (waits,) = made.tried()
    assert waits["status"] == WAITING
    assert "allow_private" in waits["answer"]
    assert receiver.requests == []


def test_a_redirect_is_a_fault_and_is_not_followed(site: Callable[..., Corridor], receiver: Receiver) -> None:
    receiver.usual = answers(302, Location=f"https://localhost:{receiver.port}/other")
    made = site()
    made.raise_alerts(alert(1))
    made.run()
    (waits,) = made.tried()
    assert (waits["status"], len(receiver.requests)) == (WAITING, 1)
    assert "/other" in waits["answer"]


def _endless_body(handler: Handler, request: Request) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(10**12))
    handler.end_headers()
    while True:
        handler.wfile.write(b"x" * 65_536)


def _endless_head(handler: Handler, request: Request) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.05)


def test_an_answer_that_never_ends_is_cut(site: Callable[..., Corridor], receiver: Receiver) -> None:
    receiver.answers = [_endless_body]
    made = site()
    made.raise_alerts(alert(1))
    made.run()
    (sent,) = made.ended()
    assert sent["status"] == SENT  # it said 200
    assert len(sent["answer"]) < 1000


def test_an_answer_that_comes_byte_by_byte_is_not_waited_for(site: Callable[..., Corridor], receiver: Receiver) -> None:
    receiver.usual = _endless_head
    made = site(timeout_seconds=1)
    made.raise_alerts(alert(1))
    started = time.monotonic()
    made.run()
    (waits,) = made.tried()
    assert time.monotonic() - started < 20
    assert waits["answer"] == "it did not answer within 1 seconds"


def test_a_certificate_of_somebody_else_is_not_taken(site: Callable[..., Corridor], receiver: Receiver) -> None:
    made = site(ca=None)
    made.raise_alerts(alert(1))
    made.run()
    (waits,) = made.tried()
    assert "certificate" in waits["answer"].lower()
    assert receiver.requests == []


def test_a_channel_that_hangs_holds_no_other(corridor: Callable[..., Corridor], receiver: Receiver) -> None:
    hole = socket.create_server(("127.0.0.1", 0))  # takes connections, says nothing
    base = {"kind": "webhook", "ca": receiver.ca, "allow_private": _LOOPBACK}
    made = corridor(
        channels=[
            {**base, "name": "hangs", "url": f"https://localhost:{hole.getsockname()[1]}/", "timeout_seconds": 60},
            {**base, "name": "works", "url": receiver.url},
        ],
        routes=[{"channels": ["hangs", "works"]}],
    )
    made.raise_alerts(*(alert(number) for number in range(30)))
    made.run()
    eventually(lambda: len(receiver.ids()) == 30)
    eventually(lambda: len(made.receipts(channel="works", status=SENT)) == 30)
    assert {each["status"] for each in made.receipts(channel="hangs")} == {WAITING}
    hole.close()


@pytest.mark.parametrize("shape", ["slack", "teams", "telegram"])
def test_chats_get_what_they_take_and_nothing_in_it_is_markup(
    site: Callable[..., Corridor], receiver: Receiver, shape: str
) -> None:
    made = site(shape=shape, recipient="-100", language="vi")
    nasty = "<!channel> <script> [here](https://evil.example) *bold* `x` \u202e\r\nX: y"
    made.raise_alerts(alert(1, **{"user.name": nasty, "rule.name_vi": nasty}))
    made.run()
    assert made.ended()[0]["status"] == SENT
    text = receiver.requests[0].body.decode()
    told = receiver.requests[0].document
    if shape == "slack":
        assert "<" not in text
        assert "&lt;!channel&gt;" in told["text"]
    elif shape == "teams":
        card = told["attachments"][0]["content"]
        assert card["type"] == "AdaptiveCard"
        assert "\\[here\\]" in card["body"][0]["text"]
    else:
        assert told["chat_id"] == "-100"
        assert "parse_mode" not in told
    assert "CAO" in text
    assert "\u202e" not in text
    assert "\\r" not in text


def test_a_zalo_answer_that_says_no_with_the_status_200_is_a_failure(
    site: Callable[..., Corridor], receiver: Receiver, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    receiver.answers = [answers(200, b'{"error":-216,"message":"Access token is invalid"}')]
    receiver.usual = answers(200, b'{"error":0,"message":"Success"}')
    made = site(shape="zalo", recipient="12", token_file=token)
    made.raise_alerts(alert(1))
    made.run()
    assert "-216" in made.tried()[0]["answer"]
    token.write_text("new\n")
    assert made.ended()[0]["status"] == SENT
    assert [request.headers["access_token"] for request in receiver.requests] == ["old", "new"]
    assert receiver.requests[0].document["recipient"] == {"user_id": "12"}


def test_a_template_of_ones_own_makes_the_body(site: Callable[..., Corridor], receiver: Receiver) -> None:
    made = site(shape="template", template="mine.j2", content_type="text/plain")
    folder = made.settings.data_dir / "templates"
    folder.mkdir()
    (folder / "mine.j2").write_text("{{ level }}|{{ title }}|{% for a in alerts %}{{ a['source.ip'] }}{% endfor %}")
    made.raise_alerts(alert(1))
    made.run()
    assert made.ended()[0]["status"] == SENT
    assert receiver.requests[0].body.decode() == "high|[HIGH] Port scan 1: 10.0.5.20|10.0.5.20"
    assert receiver.requests[0].headers["content-type"] == "text/plain"


def test_every_template_of_the_docs_renders_what_has_no_address(tmp_path: Path) -> None:
    documented = re.findall(r"```\n(\{.*?\{\{.*?)\n```", _DOCS.read_text("utf-8"), re.DOTALL)
    assert documented
    test = told_alert("delivery.notify_test", "soc", "1", "may-thu", "informational", channel="soc")
    for told in ([test], [alert(1)], []):
        for number, text in enumerate([*documented, '{"a": "{{ alerts[0].b.c }}", "d": {{ nothing|tojson }}}']):
            (tmp_path / f"{number}.j2").write_text(text)
            renderer = Renderer(tmp_path, f"{number}.j2")
            made = json.loads(renderer.render({"title": 'T"', "alerts": told}))
            renderer.close()
            assert made in (
                {"summary": "T\"", "ip": "10.0.5.20" if told == [alert(1)] else None}, {"a": "", "d": None},
            )  # fmt: skip


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}", "did not end within"),
        ("{{ 'x' * 3000000000 }}", "MemoryError"),
        ("{{ ''.__class__.__mro__ }}", "SecurityError"),
        ("{% for a in alerts %}", "TemplateSyntaxError"),
        ("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", "RecursionError"),
    ],
)
def test_a_template_that_loops_or_is_wrong_stops_with_a_reason(
    site: Callable[..., Corridor], receiver: Receiver, template: str, says: str
) -> None:
    made = site(shape="template", template="mine.j2")
    folder = made.settings.data_dir / "templates"
    folder.mkdir()
    (folder / "mine.j2").write_text(template)
    made.raise_alerts(alert(1))
    made.run()
    (waits,) = made.tried()
    assert waits["status"] == WAITING
    assert says in waits["answer"]
    assert receiver.requests == []


def test_a_template_that_was_mended_sends_what_waited(site: Callable[..., Corridor], receiver: Receiver) -> None:
    made = site(shape="template", template="mine.j2")
    made.raise_alerts(alert(1))
    made.run()
    assert "is not in" in made.tried()[0]["answer"]
    folder = made.settings.data_dir / "templates"
    folder.mkdir()
    (folder / "mine.j2").write_text("mended {{ title }}")
    assert made.ended(60)[0]["status"] == SENT


def test_a_template_outside_of_its_folder_is_not_read(site: Callable[..., Corridor], receiver: Receiver) -> None:
    made = site(shape="template", template="../secret")
    (made.settings.data_dir / "templates").mkdir()
    (made.settings.data_dir / "secret").write_text("x")
    made.raise_alerts(alert(1))
    made.run()
    assert "is not in" in made.tried()[0]["answer"]


def test_an_alert_that_cannot_be_written_becomes_a_dead_letter_and_holds_no_other(
    site: Callable[..., Corridor], receiver: Receiver
) -> None:
    made = site()
    made.raise_alerts(alert(1), alert(2))
    with made.engine.begin() as connection:
        broken = {name: value for name, value in alert(1).items() if name != "rule.id"}
        connection.execute(update(alerts).where(alerts.c.id == broken["event.id"]).values(document=broken))
    made.run()
    receipts = {each["alert"]: each for each in made.ended()}
    assert receipts[alert(1)["event.id"]]["status"] == DEAD
    assert "KeyError" in receipts[alert(1)["event.id"]]["answer"]
    assert receipts[alert(2)["event.id"]]["status"] == SENT


def test_a_token_that_cannot_be_sent_is_a_fault_of_its_channel_alone(
    site: Callable[..., Corridor], receiver: Receiver, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("two\nlines: x")
    made = site(token_file=token)
    made.raise_alerts(alert(1))
    made.run()
    (waits,) = made.tried()
    assert (waits["status"], receiver.requests) == (WAITING, [])
    token.write_text("good")
    made.ended(60)
    assert receiver.requests[0].headers["authorization"] == "Bearer good"


def test_what_goes_slower_than_the_rate_allows_waits(site: Callable[..., Corridor], receiver: Receiver) -> None:
    made = site(rate_per_minute=120)
    made.raise_alerts(*(alert(number) for number in range(14)))
    started = time.monotonic()
    made.run()
    assert {each["status"] for each in made.ended()} == {SENT}
    assert time.monotonic() - started > 1.5  # ten at once, then two a second


def _ours() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name.startswith(("channel-", "watchdog"))}


def test_no_thread_of_a_corridor_is_left(site: Callable[..., Corridor], receiver: Receiver) -> None:
    made = site()
    made.raise_alerts(alert(1))
    before = _ours()
    made.run()
    made.ended()
    made.stop()
    eventually(lambda: _ours() <= before)


def test_a_message_that_always_fails_is_tried_ever_more_seldom_while_others_go_through(
    site: Callable[..., Corridor], receiver: Receiver
) -> None:
    poison = alert(0)["event.id"]
    receiver.usual = lambda handler, request: handler.say(500 if request.document["subject"] == poison else 204)
    made = site()
    made.raise_alerts(alert(0))
    made.run()
    for number in range(1, 40):
        made.raise_alerts(alert(number))
        time.sleep(0.1)
    eventually(lambda: len(made.receipts(status=SENT)) == 39)
    (waits,) = made.receipts(status=WAITING)
    assert waits["alert"] == poison
    tries = [request for request in receiver.requests if request.document["subject"] == poison]
    assert len(tries) == waits["attempts"] < 12
