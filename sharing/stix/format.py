"""The format `stix-taxii` of profiles: facts enter, an envelope of STIX 2.1 objects for a TAXII collection leaves."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.messages import HaidangError
from pipeline.outward.posting import Answer, Poster
from sharing import INDICATORS, STATISTICS
from sharing.facts import Fact
from sharing.profile import Endpoint, Profile
from sharing.stix import Site
from sharing.stix.facts import KINDS, envelope_of_facts

_MEDIA_TYPE = "application/taxii+json;version=2.1"
_LONGEST_PASSWORD = 1_000


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
        """Add the objects to the receiver's collection."""
        headers = {"Content-Type": _MEDIA_TYPE, "Accept": _MEDIA_TYPE, "User-Agent": "haidang"}
        return poster.post(objects_url(profile.endpoint), signed, headers | _log_in(profile.endpoint))


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
