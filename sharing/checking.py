"""A profile enters; what stands in the way of sharing by it leaves, one line for each thing that was looked at."""

import http.client
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from pipeline.messages import HaidangError, say
from pipeline.outward import Stopped, reason
from pipeline.outward.posting import Poster
from pipeline.outward.watchdog import Watchdog
from sharing import INCIDENT
from sharing.formats import FORMATS
from sharing.keys import certificate_of, opened
from sharing.profile import Named, Profile

#: A receiver refuses messages that are older, or of a time that has not come: our clock may be off by so much, seconds.
CLOCK_SECONDS = 300.0


class Look(NamedTuple):
    """One thing that was looked at."""

    good: bool
    text: str


def check(named: Named) -> Iterator[Look]:
    """Yield what was looked at: the key, a message built and signed with it, the connection, the two clocks.

    No threat data leaves: the receiver is asked for nothing but its first page.
    """
    profile = named.profile
    yield Look(True, say("sharing.check_file", file=named.file))
    if profile.signing.certificate is not None:
        yield _signing(profile)
    if profile.is_carried(INCIDENT):
        yield Look(True, say("sharing.check_carried"))
        return
    if not profile.endpoint.url:
        yield Look(False, say("sharing.check_no_url"))
        return
    yield from _connection(profile)


def _signing(profile: Profile) -> Look:
    try:
        certificate = certificate_of(profile.signing)
        with opened(profile.signing, certificate):
            pass
        made = FORMATS[profile.format]
        made.sign(profile, made.build(profile, [], datetime.now(UTC)))
    except HaidangError as error:
        return Look(False, str(error))
    ends = f"{certificate.not_valid_after_utc:%d/%m/%Y}"
    return Look(True, say("sharing.check_key", subject=certificate.subject.rfc4514_string(), ends=ends))


def _connection(profile: Profile) -> Iterator[Look]:
    end, watchdog = profile.endpoint, Watchdog()
    poster = Poster(watchdog, end.timeout_seconds, end.allow_private, end.ca, end.certificate, end.key)
    try:
        answer = poster.ask(end.url, {"User-Agent": "haidang"})
    except (OSError, http.client.HTTPException, Stopped) as error:
        yield Look(False, say("sharing.check_away", url=end.url, fault=reason(error)))
        return
    finally:
        poster.close()
        watchdog.stop()
    if answer.status == 403:
        yield Look(False, say("sharing.not_registered", answer="HTTP 403"))
    else:
        yield Look(True, say("sharing.check_connection", url=end.url, status=answer.status))
    if (off := _clock_off(answer.headers.get("date", ""))) is not None:
        seconds = round(off)
        good = abs(off) <= CLOCK_SECONDS
        yield Look(good, say("sharing.check_clock" if good else "sharing.check_clock_off", seconds=seconds))


def _clock_off(date: str) -> float | None:
    """Return by how many seconds our clock is ahead of a receiver's, as far as it says (RFC 9110 section 6.6.1)."""
    try:
        return time.time() - parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
