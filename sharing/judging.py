"""An answer over HTTP enters; whether a message is sent, refused for good, or to be tried again leaves."""

from pipeline.delivery.book import Outcome
from pipeline.messages import say
from pipeline.outward.posting import Answer

#: Answers that are about this message alone: it will never be taken as it is (RFC 9110 section 15.5).
_ABOUT_THE_MESSAGE = frozenset((400, 409, 410, 411, 413, 414, 415, 422))
_SHOWN_ANSWER = 500


def judged(answer: Answer) -> Outcome:
    """Return what an answer says of a message."""
    body = " ".join(answer.body.decode("utf-8", "replace").split())
    shown = f"HTTP {answer.status} {body[:_SHOWN_ANSWER]}".rstrip()
    if 200 <= answer.status < 300:
        return Outcome("sent", shown)
    if answer.status in _ABOUT_THE_MESSAGE:
        return Outcome("refused", shown)
    if answer.status == 403:
        return Outcome("failed", say("sharing.not_registered", answer=shown), away=True)
    return Outcome("failed", shown, away=True)
