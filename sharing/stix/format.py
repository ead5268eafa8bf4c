"""The format `stix-taxii` of profiles: facts enter, an envelope of STIX 2.1 objects for a TAXII collection leaves."""

import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.delivery.book import Outcome
from pipeline.messages import HaidangError, say
from pipeline.outward.posting import Answer, Poster
from sharing import INDICATORS, STATISTICS
from sharing.facts import Fact
from sharing.judging import judged
from sharing.profile import Endpoint, Profile
from sharing.stix import Site
from sharing.stix.facts import KINDS, envelope_of_facts
from sharing.taxii.receipt import PAUSE, receipt_of

_MEDIA_TYPE = "application/taxii+json;version=2.1"
_LONGEST_PASSWORD = 1_000
#: A status names each object of a message; of those that were refused so many are told.
_LONGEST_STATUS, _SHOWN_FAILURES = 10_000_000, 5


@dataclass(frozen=True, slots=True)
class StixTaxii:
    """STIX 2.1 over TAXII 2.1: who sends is told by the log-in, so nothing is signed."""

    kinds: Sequence[str] = (STATISTICS, INDICATORS)
    facts: Sequence[str] = KINDS

    def build(self, profile: Profile, facts: Sequence[Fact], moment: datetime) -> bytes:
        """Return the envelope of facts."""
        site = Site(profile.organ.id, profile.organ.name, profile.organ.email)
        return envelope_of_facts(site, facts, profile.content.tlp, moment)

    def sign(self, profile: Profile, content: bytes) -> bytes:
        """Return the envelope as it is."""
        del profile
        return content

    def post(self, profile: Profile, poster: Poster, signed: bytes) -> Answer:
        """Add the objects to the receiver's collection, and ask what became of them while that is not said."""
        place, log_in = objects_url(profile.endpoint), _log_in(profile.endpoint)
        headers = {"Accept": _MEDIA_TYPE, "User-Agent": "haidang", **log_in}
        first = poster.post(place, signed, {"Content-Type": _MEDIA_TYPE, **headers}, _LONGEST_STATUS)
        answer, until = first, time.monotonic() + profile.endpoint.timeout_seconds
        while (asked := receipt_of(first.status, answer.body).where_next(place)) and time.monotonic() < until:
            time.sleep(PAUSE)
            later = poster.ask(asked, headers, _LONGEST_STATUS)
            if later.status != 200:
                break
            answer = later
        return answer._replace(status=first.status)

    def judge(self, answer: Answer) -> Outcome:
        """Judge by what is said of the objects: a message has arrived when all of them were taken. The same objects may
        be sent again (TAXII 2.1 section 5.5), so what is not said yet is tried again."""
        outcome, receipt = judged(answer), receipt_of(answer.status, answer.body)
        if outcome.status != "sent" or receipt.is_good:
            return outcome
        if receipt.failures:
            told = "; ".join(f"{identifier}: {why}" for identifier, why in receipt.failures[:_SHOWN_FAILURES])
            given = {"count": len(receipt.failures), "taken": receipt.successes, "reasons": told}
            return Outcome("refused", say("sharing.taxii_refused", **given))
        return Outcome("failed", say("sharing.taxii_not_said", answer=outcome.answer), away=True)


def objects_url(endpoint: Endpoint) -> str:
    """Return where objects are added: in `collection` of the API root `url`, or in the collection `url` itself."""
    url = endpoint.url if endpoint.url.endswith("/") else f"{endpoint.url}/"
    return f"{url}collections/{endpoint.collection}/objects/" if endpoint.collection else f"{url}objects/"


def _log_in(endpoint: Endpoint) -> dict[str, str]:
    if not endpoint.username:
        return {}
    given = f"{endpoint.username}:{password_of(endpoint)}"
    return {"Authorization": f"Basic {b64encode(given.encode()).decode()}"}


def password_of(endpoint: Endpoint) -> str:
    """Return the password of a receiver's log-in; "" where there is none.

    Raises:
        HaidangError: its file cannot be read.
    """
    if endpoint.password_file is None:
        return ""
    try:
        return endpoint.password_file.read_text("utf-8")[:_LONGEST_PASSWORD].strip()
    except (OSError, ValueError) as error:
        raise HaidangError("taxii.no_password", file=endpoint.password_file, fault=error) from error
