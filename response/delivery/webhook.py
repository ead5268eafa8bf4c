"""Webhooks: messages enter, each is posted to its receiver in the receiver's shape, and what it answered leaves."""

import http.client
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from pipeline.delivery import HEARTBEAT
from pipeline.delivery.book import Outcome
from pipeline.messages import say
from pipeline.outward import Stopped, secret_of
from pipeline.outward.posting import Answer, Poster, retry_after
from pipeline.outward.watchdog import Watchdog
from pipeline.settings.delivery import WebhookChannel, url_fault, url_of_shape
from response.delivery import shapes
from response.delivery.message import Message, for_programs, one_line
from response.delivery.rendering import Renderer
from response.delivery.sender import Sender, failed
from response.delivery.signing import signed

_SHOWN_ANSWER = 500
#: The receiver is gone for good, or will never take a message as large as this one.
_GONE, _TOO_LARGE = 410, 413
#: Answers that are about all messages: who we are, how many, and that it cannot work now.
_ABOUT_ALL = frozenset((401, 403, 404, 405, 407, 408, 429, 502, 503, 504))


class Webhook(Sender):
    """One receiver."""

    def __init__(self, channel: WebhookChannel, source: str, templates: Path, watchdog: Watchdog) -> None:
        self._channel, self._source = channel, source
        self._poster = Poster(watchdog, channel.timeout_seconds, channel.allow_private, channel.ca)
        self._renderer = Renderer(templates, str(channel.template)) if channel.template else None

    def send(self, messages: Sequence[Message]) -> Iterator[Outcome]:
        """Post messages one after another."""
        for message in messages:
            try:
                yield self._sent(message)
            except (OSError, http.client.HTTPException) as error:
                yield failed(error)

    def close(self) -> None:
        """Close the connection and end what renders templates."""
        self._poster.close()
        if self._renderer is not None:
            self._renderer.close()

    def _sent(self, message: Message) -> Outcome:
        channel = self._channel
        token = secret_of(channel.token, channel.token_file)
        body = self._body(message)
        headers = {
            "Content-Type": self._content_type(), "User-Agent": "haidang",
            **signed(message.id, int(time.time()), body, self._secrets()),
        }  # fmt: skip
        if token and channel.shape == "zalo":
            headers["access_token"] = token
        elif token and channel.shape != "telegram":
            headers["Authorization"] = f"Bearer {token}"
        return self._judged(self._poster.post(self._url(token), body, headers))

    def _url(self, token: str) -> str:
        url = secret_of(self._channel.url, self._channel.url_file) or url_of_shape(self._channel.shape, token)
        if fault := url_fault(url, self._channel.plain_http):
            raise Stopped(fault)
        return url

    def _secrets(self) -> list[str]:
        if self._channel.secrets_file is not None:
            return [line for line in secret_of(self._channel.url, self._channel.secrets_file).splitlines() if line]
        return [secret.get_secret_value() for secret in self._channel.secrets]

    def _content_type(self) -> str:
        if self._channel.shape == "cloudevents":
            return "application/cloudevents+json; charset=utf-8"
        return self._channel.content_type if self._channel.shape == "template" else "application/json; charset=utf-8"

    def _body(self, message: Message) -> bytes:
        event = shapes.cloudevent(message, self._source)
        if self._renderer is not None:
            told = {"kind": message.kind, "title": message.title(), "text": "\n".join(message.lines()).strip()}
            alerts = [] if message.kind == HEARTBEAT else [for_programs(alert) for alert in message.alerts]
            return self._renderer.render({**told, "level": message.level, "event": event, "alerts": alerts}).encode()
        if self._channel.shape == "cloudevents":
            return orjson.dumps(event)
        return orjson.dumps(shapes.CHATS[self._channel.shape](message, self._channel.recipient))

    def _judged(self, answer: Answer) -> Outcome:
        shown = f"HTTP {answer.status} {one_line(answer.body.decode('utf-8', 'replace'), _SHOWN_ANSWER)}".rstrip()
        if answer.status in (_GONE, _TOO_LARGE):
            return Outcome("refused", shown)
        if 300 <= answer.status < 400:
            where = one_line(answer.headers.get("location", "-"))
            return Outcome("failed", say("delivery.redirected", status=answer.status, where=where), away=True)
        if not 200 <= answer.status < 300:
            again = retry_after(answer.headers, time.time())
            return Outcome("failed", shown, away=answer.status in _ABOUT_ALL or again is not None, again=again)
        if self._channel.shape == "zalo" and (fault := _zalo_fault(answer.body)):
            return Outcome("failed", shown, away=fault < 0)
        return Outcome("sent", shown)


def _zalo_fault(body: bytes) -> int:
    """Return Zalo's number of a fault, which it says with the status 200; 0 for none."""
    try:
        found = orjson.loads(body)
        return int(found.get("error", 0)) if isinstance(found, dict) else -1
    except (ValueError, TypeError):
        return -1
