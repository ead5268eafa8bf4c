"""The list of formats: how facts become bytes, how these are signed, and what an answer to them means."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import orjson
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from pipeline.delivery.book import Outcome
from pipeline.outward.posting import Answer, Poster
from sharing import ACKNOWLEDGEMENT, INCIDENT, STATISTICS
from sharing.cv2290 import envelope, signing
from sharing.facts import Fact
from sharing.judging import judged
from sharing.keys import certificate_of, opened
from sharing.profile import Profile
from sharing.stix.format import StixTaxii


class Format(Protocol):
    """How messages to a receiver are written."""

    @property
    def kinds(self) -> Sequence[str]:
        """Kinds of messages that it can write."""

    @property
    def facts(self) -> Sequence[str]:
        """Kinds of facts that it has a place for."""

    def build(self, profile: Profile, facts: Sequence[Fact], moment: datetime) -> bytes:
        """Return the content of a message about facts, as people see it before they agree.

        Raises:
            HaidangError: it cannot be built.
        """

    def sign(self, profile: Profile, content: bytes) -> bytes:
        """Return the bytes that leave.

        Raises:
            HaidangError: the key cannot be had, or the certificate is over.
        """

    def post(self, profile: Profile, poster: Poster, signed: bytes) -> Answer:
        """Bring the bytes to the receiver; return what it answered.

        Raises:
            Forbidden, Stopped, OSError, http.client.HTTPException: it could not be asked, or has not answered.
        """

    def judge(self, answer: Answer) -> Outcome:
        """Return what an answer says of a message."""


@dataclass(frozen=True, slots=True)
class _Posted:
    """What formats have that are posted to the profile's address."""

    content_type: str = ""

    def post(self, profile: Profile, poster: Poster, signed: bytes) -> Answer:
        """Post the bytes."""
        return poster.post(profile.endpoint.url, signed, {"Content-Type": self.content_type, **_WHO})

    def judge(self, answer: Answer) -> Outcome:
        """Judge by the status."""
        return judged(answer)


_WHO = {"User-Agent": "haidang"}


@dataclass(frozen=True, slots=True)
class Cv2290(_Posted):
    """Signed XML over HTTPS."""

    kinds: Sequence[str] = (STATISTICS,)
    facts: Sequence[str] = envelope.KINDS
    content_type: str = "text/xml"

    def build(self, profile: Profile, facts: Sequence[Fact], moment: datetime) -> bytes:
        """Return the envelope of facts."""
        return envelope.build(profile, facts, moment)

    def sign(self, profile: Profile, content: bytes) -> bytes:
        """Return the envelope with its signature."""
        certificate = certificate_of(profile.signing)
        with opened(profile.signing, certificate) as key:
            return signing.sign(content, key, certificate)


@dataclass(frozen=True, slots=True)
class IncidentReport(_Posted):
    """Notices and reports that people sign: a PDF, made of a case (`incidents.py`), posted or carried by hand."""

    kinds: Sequence[str] = (INCIDENT,)
    facts: Sequence[str] = ()
    content_type: str = "application/pdf"

    def build(self, profile: Profile, facts: Sequence[Fact], moment: datetime) -> bytes:
        """Return nothing: of facts alone there is no report of an incident."""
        del profile, facts, moment
        return b""

    def sign(self, profile: Profile, content: bytes) -> bytes:
        """Return the document as it is: people sign it."""
        del profile
        return content


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What was done about a warning: JSON, in a JSON Web Signature (RFC 7515 section 7.2.2) where we have a key."""

    kinds: Sequence[str] = (ACKNOWLEDGEMENT,)
    facts: Sequence[str] = ()

    def build(self, profile: Profile, facts: Sequence[Fact], moment: datetime) -> bytes:
        """Return nothing: of facts alone nothing is acknowledged."""
        del profile, facts, moment
        return b""

    def sign(self, profile: Profile, content: bytes) -> bytes:
        """Return the content with its signature, if we have a key."""
        if profile.signing.certificate is None:
            return content
        certificate = certificate_of(profile.signing)
        header = {"alg": "RS256", "x5t#S256": _encoded(certificate.fingerprint(SHA256()))}
        protected, payload = _encoded(orjson.dumps(header)), _encoded(content)
        with opened(profile.signing, certificate) as key:
            signature = key.sign(f"{protected}.{payload}".encode(), PKCS1v15(), SHA256())
        return orjson.dumps({"payload": payload, "protected": protected, "signature": _encoded(signature)})

    def post(self, profile: Profile, poster: Poster, signed: bytes) -> Answer:
        """Post the bytes to where they want to hear it."""
        kind = "application/json" if profile.signing.certificate is None else "application/jose+json"
        return poster.post(profile.inbox.reply_url, signed, {"Content-Type": kind, **_WHO})

    def judge(self, answer: Answer) -> Outcome:
        """Judge by the status."""
        return judged(answer)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


FORMATS: Mapping[str, Format] = {
    "cv2290": Cv2290(), "stix-taxii": StixTaxii(), "incident-report": IncidentReport(),
}  # fmt: skip


_ACKNOWLEDGEMENT = Acknowledgement()


def format_of(profile: Profile, kind: str) -> Format:
    """Return how messages of a kind are written to a receiver."""
    return _ACKNOWLEDGEMENT if kind == ACKNOWLEDGEMENT else FORMATS[profile.format]
