"""Profiles of those that threat data is shared with: TOML files enter, checked objects leave, with every fault named.

A profile says who we are to them, where they are, how messages are written and signed, what may leave, when, and who
must agree. The authority's standard has changed before and will again: another one needs another file, no other code.
"""

import difflib
import hashlib
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from pipeline.messages import HaidangError, say
from pipeline.settings import Settings, faults_of
from pipeline.settings.delivery import url_fault
from pipeline.settings.section import Section, valid_networks
from sharing import ACKNOWLEDGEMENT, INCIDENT
from sharing.facts import FIELDS, PSEUDONYMS

#: A name of a profile, which is its file's.
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_LARGEST_FILE = 100_000
#: Codes of state bodies: `000.00.00.H53` (QCVN 102:2016/BTTTT, appendix), `G01.12.34` (QĐ 20/2020/QĐ-TTg as amended by
#: QĐ 09/2025/QĐ-TTg: a letter and two digits, then two digits for each level below).
ORGAN_IDS = {
    "qcvn102": re.compile(r"\d{3}\.\d{2}\.\d{2}\.[A-Z]\d{2}"),
    "qd20": re.compile(r"[A-Z]\d{2}(\.\d{2,3}){0,4}"),
}


#: What stands in the profiles that come with us, until somebody fills them in.
_PLACEHOLDER, _PLACEHOLDER_NAME = "G00", "Tên đơn vị"


class Organ(Section):
    """Who we are to them."""

    id: str = Field(description="code of the state body")
    id_form: Literal["qd20", "qcvn102"] = Field(
        "qd20", description="how the code is written: of QĐ 20/2020/QĐ-TTg, or the older one of QCVN 102:2016"
    )
    name: str = Field(min_length=1, max_length=200, description="its name")
    address: str = Field("", max_length=300, description="where it sits")
    email: str = Field("", max_length=200, description="e-mail address")
    telephone: str = Field("", max_length=50, description="telephone")
    fax: str = Field("", max_length=50, description="fax")
    website: str = Field("", max_length=200, description="web site")

    @model_validator(mode="after")
    def _is_code(self) -> Self:
        if not ORGAN_IDS[self.id_form].fullmatch(self.id):
            raise ValueError(say("sharing.no_organ_id", value=self.id[:50], form=self.id_form))
        if self.id == _PLACEHOLDER or self.name == _PLACEHOLDER_NAME:
            raise ValueError(say("sharing.placeholder"))
        return self


class Endpoint(Section):
    """Where they are."""

    url: str = Field("", max_length=2000, description="address that messages are posted to; empty: nothing is sent")
    ca: Path | None = Field(None, description="PEM file of who signed their certificate; else the system's")
    certificate: Path | None = Field(None, description="our certificate for the connection, where they ask for one")
    key: Path | None = Field(None, description="its key")
    timeout_seconds: float = Field(60, gt=0, le=600, description="how long one sending may take, in seconds")
    allow_private: list[str] = Field(
        default_factory=list, description="networks (CIDR) that are not public and may be reached all the same"
    )
    collection: str = Field("", max_length=100, description="of `stix-taxii`: id of the collection to write into")
    poll: list[str] = Field(default_factory=list, description="of `stix-taxii`: ids of collections to read")
    username: str = Field("", max_length=200, description="of `stix-taxii`: user, where the server asks for one")
    password_file: Path | None = Field(None, description="a file with the user's password")

    _are_networks = field_validator("allow_private")(valid_networks)

    @field_validator("url")
    @classmethod
    def _is_https(cls, value: str) -> str:
        if value and (fault := url_fault(value, False)):
            raise ValueError(fault)
        return value

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError(say("sharing.want_both", one="certificate", other="key"))
        return self


class Signing(Section):
    """With what messages are signed: a key file, or a key in a PKCS#11 token."""

    certificate: Path | None = Field(None, description="PEM file of the certificate that goes with the signature")
    key: Path | None = Field(None, description="PEM file of its RSA key")
    passphrase_file: Path | None = Field(None, description="a file with the passphrase of the key")
    pkcs11_module: Path | None = Field(None, description="library of the token (`.so`), in place of `key`")
    pkcs11_token: str = Field("", max_length=100, description="label of the token")
    pkcs11_key: str = Field("", max_length=100, description="label of the key in it")
    pin_file: Path | None = Field(None, description="a file with the token's PIN")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if self.key is not None and self.pkcs11_module is not None:
            raise ValueError(say("sharing.two_keys"))
        if self.pkcs11_module is not None and not (self.pkcs11_token and self.pkcs11_key and self.pin_file):
            raise ValueError(say("sharing.want_token"))
        return self


class Schedule(Section):
    """When statistics are gathered and sent."""

    every_minutes: float = Field(60, ge=0.1, le=10_080, description="a message about what was new, so often")
    send_empty: bool = Field(False, description="also a message when nothing was new: it says that we are there")
    most_facts: int = Field(5000, ge=1, le=100_000, description="facts in one message; more make more messages")


class Content(Section):
    """What may leave."""

    kinds: list[str] = Field(default_factory=lambda: list(FIELDS), description="kinds of facts")
    fields: list[str] = Field(default_factory=list, description="fields of facts; what is not named here never leaves")
    pseudonyms: list[str] = Field(
        default_factory=list, description="fields whose values are replaced, each always by the same other one"
    )
    tlp: Literal["clear", "green", "amber", "amber+strict", "red"] = Field("amber", description="TLP 2.0 of messages")

    @model_validator(mode="after")
    def _are_known(self) -> Self:
        known = {name for names in FIELDS.values() for name in names}
        for given, of_which in ((self.kinds, set(FIELDS)), (self.fields, known), (self.pseudonyms, set(PSEUDONYMS))):
            if unknown := [name for name in given if name not in of_which]:
                expected = ", ".join(sorted(of_which))
                raise ValueError(say("sharing.no_field", name=unknown[0][:100], expected=expected))
        return self


class Approval(Section):
    """How many people must agree before a message is signed; 0: none."""

    statistics: int = Field(0, ge=0, le=2, description="counts and facts of a period")
    indicators: int = Field(1, ge=0, le=2, description="threats by their names")
    incident: int = Field(1, ge=0, le=2, description="notices and reports of an incident")
    acknowledgement: int = Field(0, ge=0, le=2, description="what was done about a warning")


class Inbox(Section):
    """Warnings that they send us, and where they want to hear what was done."""

    certificate: Path | None = Field(
        None, description="PEM file of who signs warnings that come over HTTPS; without it none are taken"
    )
    folder: bool = Field(False, description="also take files that are put into `inbox/<profile>` beside the profiles")
    reply_url: str = Field("", max_length=2000, description="address that is told what was done about a warning")

    @field_validator("reply_url")
    @classmethod
    def _is_https(cls, value: str) -> str:
        if value and (fault := url_fault(value, False)):
            raise ValueError(fault)
        return value


class Cv2290(Section):
    """Names of the format `cv2290`, kept here since its standard may name them anew."""

    prefix: str = Field("edXML", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,30}$", description="prefix of the namespace")
    namespace: str = Field(
        "http://www.mic.gov.vn/TBT/QCVN_102_2016", pattern=r"^[!-~]{1,200}$", description="namespace of the envelope"
    )
    product: str = Field("Hải Đăng", min_length=1, max_length=100, description="name of the reporting product")
    subject: str = Field(
        "Anti Virus Report on", min_length=1, max_length=100, description="what stands before the time in the subject"
    )


class Profile(Section):
    """One receiver."""

    title: str = Field(min_length=1, max_length=200, description="what the receiver is called on screens")
    format: Literal["cv2290", "stix-taxii", "incident-report"] = Field(description="how messages are written")
    active: bool = Field(True, description="whether anything is built for it")
    organ: Organ
    endpoint: Endpoint = Field(default_factory=Endpoint)
    signing: Signing = Field(default_factory=Signing)
    schedule: Schedule = Field(default_factory=Schedule)
    content: Content = Field(default_factory=Content)
    approval: Approval = Field(default_factory=Approval)
    inbox: Inbox = Field(default_factory=Inbox)
    retry_hours: float = Field(72, gt=0, le=720, description="how long sending is tried, in hours")
    cv2290: Cv2290 = Field(default_factory=Cv2290)

    def is_carried(self, kind: str) -> bool:
        """Whether people carry messages of a kind: documents, for whom no address is named."""
        return self.format == "incident-report" and kind == INCIDENT and not self.endpoint.url

    def address(self, kind: str) -> str:
        """Return where messages of a kind go; "" for nowhere."""
        return self.inbox.reply_url if kind == ACKNOWLEDGEMENT else self.endpoint.url

    @model_validator(mode="after")
    def _can_sign(self) -> Self:
        if self.format == "cv2290" and (
            self.signing.certificate is None or (self.signing.key is None and self.signing.pkcs11_module is None)
        ):
            raise ValueError(say("sharing.want_key"))
        return self


@dataclass(frozen=True, slots=True)
class Named:
    """A profile with its name. `digest` is of its file and of the certificates it names: what was confirmed."""

    name: str
    profile: Profile
    digest: str
    file: Path


@dataclass(frozen=True, slots=True)
class Fault:
    """A file that is no profile, and why: one line a fault."""

    name: str
    file: Path
    faults: Sequence[str]


def profiles_of(settings: Settings) -> tuple[list[Named], list[Fault]]:
    """Return the profiles of a site, and the files that are none; one bad file never hides the others."""
    good, bad = [], []
    for file in sorted(settings.sharing.folder(settings.data_dir).glob("*.toml")):
        try:
            good.append(load(file))
        except _Refused as refused:
            bad.append(Fault(file.stem, file, refused.faults))
    return good, bad


def named(settings: Settings, name: str) -> Named:
    """Return one profile.

    Raises:
        HaidangError: there is none of this name, or its file is none.
    """
    good, bad = profiles_of(settings)
    for each in good:
        if each.name == name:
            return each
    for fault in bad:
        if fault.name == name:
            raise HaidangError("sharing.bad_profile", file=fault.file, faults="\n  ".join(fault.faults))
    known = ", ".join([each.name for each in good] or ["-"])
    folder = settings.sharing.folder(settings.data_dir)
    raise HaidangError("sharing.no_profile", name=name[:100], known=known, folder=folder)


class _Refused(Exception):
    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = list(faults)


def load(file: Path) -> Named:
    """Return the profile of a file; paths in it are relative to its folder.

    Raises:
        _Refused: it is none; all faults are named.
    """
    if not NAME.fullmatch(file.stem):
        raise _Refused([say("sharing.bad_name", name=file.stem[:100])])
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST_FILE + 1)
        if len(text) > _LARGEST_FILE:
            raise _Refused([say("sharing.large_profile", bytes=_LARGEST_FILE)])
        values = tomllib.loads(text.decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise _Refused([str(getattr(error, "strerror", None) or error)]) from error
    try:
        profile = Profile.model_validate(_rooted(values, file.parent))
    except ValidationError as error:
        raise _Refused(faults_of(error, _meant)) from error
    faults = [say("sharing.no_file", name=name, file=path) for name, path in _files(profile) if not path.is_file()]
    if faults:
        raise _Refused(faults)
    digest = hashlib.sha256(text)
    for name, path in _files(profile):
        if name in _PUBLIC:  # a new PIN or passphrase is none to be confirmed
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return Named(file.stem, profile, digest.hexdigest(), file)


def _meant(place: tuple[Any, ...]) -> list[str]:
    """Return the name that an unknown one may mean."""
    section: Any = Profile
    for part in place[:-1]:
        section = section.model_fields[part].annotation
    return difflib.get_close_matches(str(place[-1]), section.model_fields, n=1)


_PATHS = {
    "endpoint": ("ca", "certificate", "key", "password_file"),
    "signing": ("certificate", "key", "passphrase_file", "pkcs11_module", "pin_file"),
    "inbox": ("certificate",),
}

#: Files that say who the two sides are.
_PUBLIC = ("endpoint.ca", "endpoint.certificate", "signing.certificate", "inbox.certificate")


def _rooted(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the values with their paths made whole."""
    made = dict(values)
    for section, names in _PATHS.items():
        if isinstance(held := made.get(section), dict):
            whole = {n: str(folder / Path(held[n]).expanduser()) for n in names if isinstance(held.get(n), str)}
            made[section] = {**held, **whole}
    return made


def _files(profile: Profile) -> Iterator[tuple[str, Path]]:
    for section, names in _PATHS.items():
        for name in names:
            if (path := getattr(getattr(profile, section), name)) is not None:
                yield f"{section}.{name}", path


def shipped() -> dict[str, Traversable]:
    """Return the profiles that come with us, by name: to be copied and filled in."""
    found = files("sharing") / "profiles"
    return {each.name.removesuffix(".toml"): each for each in found.iterdir() if each.name.endswith(".toml")}
