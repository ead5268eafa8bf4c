"""What a webhook sends: a message enters, a JSON document leaves as CloudEvents 1.0 or as a chat takes it."""

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.delivery import DIGEST, HEARTBEAT
from pipeline.event import at_second
from response.delivery.message import Message, for_programs

#: Longest texts that chats take, in characters.
_SLACK_TEXT, _TELEGRAM_TEXT, _ZALO_TEXT, _TEAMS_TEXT = 3000, 4000, 1900, 15_000
#: Slack's bar beside a message, by level.
_COLORS = {"critical": "#b00020", "high": "#d9480f", "medium": "#e8a200", "low": "#2b6cb0"}
_TEAMS_COLORS = {"critical": "Attention", "high": "Attention", "medium": "Warning", "low": "Accent"}


def cloudevent(message: Message, source: str) -> dict[str, Any]:
    """Return a CloudEvent (https://github.com/cloudevents/spec, v1.0.2, structured mode)."""
    data: Any
    if message.kind == HEARTBEAT:
        data, subject = dict(message.facts), "heartbeat"
    elif message.kind == DIGEST:
        data, subject = {"alerts": [for_programs(alert) for alert in message.alerts]}, "digest"
    else:
        data, subject = for_programs(message.alerts[0]), message.alerts[0]["event.id"]
    return {
        "specversion": "1.0", "id": message.id, "source": source, "type": f"vn.haidang.{message.kind}",
        "subject": subject, "time": at_second(message.row.created), "datacontenttype": "application/json",
        "data": data,
    }  # fmt: skip


def slack(message: Message, _recipient: str) -> dict[str, Any]:
    """Return a message of Slack's incoming webhooks (also Mattermost, Rocket.Chat)."""
    text = _cut(_slack_text("\n".join(message.lines()).strip()), _SLACK_TEXT)
    title = _slack_text(message.title())
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": f"*{title}*"}},
              {"type": "section", "text": {"type": "mrkdwn", "text": text}}]  # fmt: skip
    attachment = {"color": _COLORS.get(message.level, "#6b7280"), "blocks": blocks}
    return {"text": title, "attachments": [attachment]}


def teams(message: Message, _recipient: str) -> dict[str, Any]:
    """Return an Adaptive Card, as Teams' Workflows take it."""
    color = _TEAMS_COLORS.get(message.level, "Default")
    lines = [line for line in message.lines() if line]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
        "body": [
            {"type": "TextBlock", "text": _markdown(message.title()), "weight": "Bolder", "size": "Medium",
             "wrap": True, "color": color},
            {"type": "TextBlock", "text": _cut(_markdown("\n\n".join(lines)), _TEAMS_TEXT), "wrap": True},
        ],
    }  # fmt: skip
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def telegram(message: Message, recipient: str) -> dict[str, Any]:
    """Return a call of Telegram's `sendMessage`; plain text, so nothing in it can be mark-up."""
    text = _cut(f"{message.title()}\n" + "\n".join(message.lines()), _TELEGRAM_TEXT)
    return {"chat_id": recipient, "text": text, "link_preview_options": {"is_disabled": True}}


def zalo(message: Message, recipient: str) -> dict[str, Any]:
    """Return a message of a Zalo Official Account to one user."""
    text = _cut(f"{message.title()}\n" + "\n".join(message.lines()), _ZALO_TEXT)
    return {"recipient": {"user_id": recipient}, "message": {"text": text}}


CHATS: Mapping[str, Callable[[Message, str], dict[str, Any]]] = {
    "slack": slack, "teams": teams, "telegram": telegram, "zalo": zalo,
}  # fmt: skip


def _slack_text(text: str) -> str:
    """Escape what Slack reads as mark-up of its own (https://docs.slack.dev/messaging/formatting-message-text)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("*", "∗").replace("`", "ˋ")


def _markdown(text: str) -> str:
    """Escape what an Adaptive Card reads as mark-up: links and emphasis."""
    return "".join(f"\\{sign}" if sign in "\\[]*_`<>" else sign for sign in text)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
