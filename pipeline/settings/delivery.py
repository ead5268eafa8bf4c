"""`[delivery]`, `[[channels]]`, `[[routes]]`, `[[roster]]`: which alerts are sent to whom, how, and when."""

import re
from datetime import date, time
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator, model_validator

from pipeline.messages import say
from pipeline.settings.kafka import Kafka
from pipeline.settings.section import Section, valid_networks

NAME = r"^[a-z0-9][a-z0-9_.-]{0,62}$"
Name = Annotated[str, Field(pattern=NAME)]
Level = Literal["informational", "low", "medium", "high", "critical"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
#: Levels, the least first; Sigma's.
LEVELS = ("informational", "low", "medium", "high", "critical")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")
_HOURS = re.compile(rf"{_TIME.pattern}-{_TIME.pattern}")
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,255}")
_LONGEST_URL = 2000


def hours_of(text: str) -> tuple[time, time] | None:
    """Return the ends of `22:00-06:00`; None for no hours at all (the whole day).

    Raises:
        ValueError: it is neither.
    """
    if not text:
        return None
    if not _HOURS.fullmatch(text):
        raise ValueError(say("settings.want_hours", value=text))
    first, _, last = text.partition("-")
    return time.fromisoformat(first), time.fromisoformat(last)


def _valid_hours(value: str) -> str:
    hours_of(value)
    return value


def time_of(text: str) -> time | None:
    """Return `07:30` as a time of the day; None for an empty text.

    Raises:
        ValueError: it is neither.
    """
    if not text:
        return None
    if not _TIME.fullmatch(text):
        raise ValueError(say("settings.want_time", value=text))
    return time.fromisoformat(text)


def valid_time(value: str) -> str:
    """Return a time of the day as it is.

    Raises:
        ValueError: it is none.
    """
    time_of(value)
    return value


class _Channel(Section):
    """What all channels have."""

    name: Name
    language: Literal["auto", "vi", "en"] = Field("auto", description="language of its messages; `auto`: the site's")
    rate_per_minute: int = Field(0, ge=0, le=100_000, description="messages a minute at the most; 0: no limit")
    quiet_hours: str = Field("", description="hours in which only what is urgent is sent, such as `22:00-06:00`")
    quiet_below: Level = Field("high", description="alerts below this level wait until the quiet hours are over")
    heartbeat: str = Field("", description="time of the day at which a message says that all works, such as `07:30`")
    timeout_seconds: float = Field(30, gt=0, le=600, description="how long one sending may take, in seconds")

    _are_hours = field_validator("quiet_hours")(_valid_hours)

    _is_time = field_validator("heartbeat")(valid_time)


class EmailChannel(_Channel):
    """E-mail through a mail server (SMTP)."""

    kind: Literal["email"] = "email"
    host: str = Field(min_length=1, description="the mail server's name")
    port: int = Field(587, ge=1, le=65535, description="its port: 587 with `starttls`, 465 with `tls`")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="how the connection is encrypted; `none`: not at all"
    )
    username: str = Field("", description="user, where the server asks for one")
    password: SecretStr = Field(SecretStr(""), description="its password")
    password_file: Path | None = Field(None, description="a file with the password instead; read at each connection")
    plain_login: bool = Field(False, description="log in without encryption, too: everybody on the way can read it")
    ca: Path | None = Field(None, description="PEM file of who signed the server's certificate; else the system's")
    sender: str = Field(description="address that the messages come from")
    to: list[str] = Field(min_length=1, max_length=100, description="addresses that they go to")
    digest_minutes: float = Field(
        0, ge=0, le=1440, description="alerts are gathered for so many minutes and sent as one message; 0: not"
    )
    digest_below: Level = Field("high", description="only alerts below this level are gathered")
    digest_over: int = Field(
        20, ge=0, le=10_000, description="when more alerts than this wait, they go as one message; 0: never"
    )

    @field_validator("sender", "to")
    @classmethod
    def _are_addresses(cls, value: Any) -> Any:
        for text in [value] if isinstance(value, str) else value:
            if not _ADDRESS.fullmatch(text):
                raise ValueError(say("settings.want_mail_address", value=text[:100]))
        return value

    @model_validator(mode="after")
    def _hides_password(self) -> "EmailChannel":
        has_password = bool(self.password.get_secret_value() or self.password_file)
        if has_password and self.security == "none" and not self.plain_login:
            raise ValueError(say("settings.plain_login", name=self.name))
        if has_password != bool(self.username):
            raise ValueError(say("settings.want_login", name=self.name))
        return self


class WebhookChannel(_Channel):
    """An HTTPS address that takes alerts: of a program, or of a chat."""

    kind: Literal["webhook"] = "webhook"
    url: SecretStr = Field(SecretStr(""), description="the address, `https://…`")
    url_file: Path | None = Field(None, description="a file with the address instead, where it is a secret")
    shape: Literal["cloudevents", "slack", "teams", "telegram", "zalo", "template"] = Field(
        "cloudevents", description="what is sent: CloudEvents 1.0, the shape of a chat, or `template`"
    )
    template: Path | None = Field(
        None, description="with `template`: a Jinja2 file, in the folder `templates` of the data directory"
    )
    content_type: str = Field(
        "application/json", pattern=r"^[\w.+/-]+(; ?charset=[\w-]+)?$", description="with `template`: what it makes"
    )
    recipient: str = Field("", max_length=200, description="telegram: `chat_id`; zalo: `user_id`")
    token: SecretStr = Field(SecretStr(""), description="telegram, zalo: the access token; else sent as `Bearer`")
    token_file: Path | None = Field(None, description="a file with the token instead; read at each sending")
    secrets: list[SecretStr] = Field(
        default_factory=list, max_length=5, description="what messages are signed with: `whsec_…` or `whsk_…`"
    )
    secrets_file: Path | None = Field(None, description="a file with such secrets instead, one a line")
    allow_private: list[str] = Field(
        default_factory=list, description="networks (CIDR) of ours in which the receiver may be"
    )
    ca: Path | None = Field(None, description="PEM file of who signed the receiver's certificate; else the system's")
    plain_http: bool = Field(False, description="take `http://…`, too: everybody on the way can read it")
    digest_minutes: float = Field(
        0, ge=0, le=1440, description="alerts are gathered for so many minutes and sent as one message; 0: not"
    )
    digest_below: Level = Field("high", description="only alerts below this level are gathered")
    digest_over: int = Field(
        0, ge=0, le=10_000, description="when more alerts than this wait, they go as one message; 0: never"
    )

    _are_networks = field_validator("allow_private")(valid_networks)

    @model_validator(mode="after")
    def _is_whole(self) -> "WebhookChannel":
        url = self.url.get_secret_value()
        if bool(url) == (self.url_file is not None) and self.shape not in _KNOWN_URLS:
            raise ValueError(say("settings.want_url", name=self.name))
        if url and (fault := url_fault(url, self.plain_http)):
            raise ValueError(fault)
        if (self.shape == "template") != (self.template is not None):
            raise ValueError(say("settings.want_template", name=self.name))
        if self.shape in _KNOWN_URLS and not self.recipient:
            raise ValueError(say("settings.want_recipient", name=self.name, shape=self.shape))
        return self


#: Chats whose address we know: the shape and what the token stands in for.
_KNOWN_URLS = {
    "telegram": "https://api.telegram.org/bot{token}/sendMessage",
    "zalo": "https://openapi.zalo.me/v3.0/oa/message/cs",
}


def url_of_shape(shape: str, token: str) -> str:
    """Return the address of a chat that has one address for all."""
    return _KNOWN_URLS.get(shape, "").format(token=token)


def url_fault(url: str, plain_http: bool = False) -> str:
    """Say what is wrong with a receiver's address; nothing for a good one. The address may be a secret."""
    try:
        parts = urlsplit(url)
        good = bool(parts.hostname) and (parts.port or 443) > 0 and not parts.username and len(url) <= _LONGEST_URL
    except ValueError:
        good = False
    if not good or not url.isascii() or any(sign <= " " for sign in url):
        return say("settings.want_url_text")
    if parts.scheme == "https" or (parts.scheme == "http" and plain_http):
        return ""
    return say("settings.want_https", host=parts.hostname or "-")


class ScriptChannel(_Channel):
    """A program of this machine that gets each alert."""

    kind: Literal["script"] = "script"
    program: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$", description="name of an executable file in the folder of scripts"
    )
    memory_mb: int = Field(256, ge=8, le=65_536, description="memory that it may take, in megabytes")
    processes: int = Field(64, ge=1, le=10_000, description="processes that its user may have")
    at_once: int = Field(2, ge=1, le=32, description="how many may run at once")
    user: str = Field("", max_length=32, description="user that it runs as, where we are root")


class SyslogChannel(_Channel):
    """Another SIEM that takes syslog (RFC 5424)."""

    kind: Literal["syslog"] = "syslog"
    host: str = Field(min_length=1, description="its name or address")
    port: int = Field(6514, ge=1, le=65535, description="its port: 6514 with `tls`, often 514 else")
    transport: Literal["tls", "tcp", "udp"] = Field("tls", description="TLS (RFC 5425), TCP or UDP")
    format: Literal["json", "cef", "text"] = Field("json", description="what the message is: JSON, CEF, or a line")
    facility: int = Field(13, ge=0, le=23, description="facility: 13 is `log audit`, 16 to 23 are `local0` to `local7`")
    ca: Path | None = Field(None, description="PEM file of who signed its certificate; else the system's")
    certificate: Path | None = Field(None, description="PEM file of our own certificate, if it asks")
    key: Path | None = Field(None, description="PEM file of its key")
    max_bytes: int = Field(8192, ge=480, le=1_000_000, description="longest message, in bytes; what is longer is cut")

    @model_validator(mode="after")
    def _has_both(self) -> "SyslogChannel":
        if (self.certificate is None) != (self.key is None):
            raise ValueError(say("settings.want_both_tls"))
        return self


class KafkaChannel(Kafka, _Channel):
    """A topic of Kafka that other programs read."""

    kind: Literal["kafka"] = "kafka"
    topic: str = Field(pattern=r"^[A-Za-z0-9._-]{1,100}$", description="the topic's name; it must be there")


Channel = Annotated[
    EmailChannel | WebhookChannel | ScriptChannel | SyslogChannel | KafkaChannel, Field(discriminator="kind")
]
#: Every kind of channel, in the order of the docs.
CHANNELS = (EmailChannel, WebhookChannel, ScriptChannel, SyslogChannel, KafkaChannel)
#: Channels that programs read: they get each alert, where a route does not say otherwise.
FOR_PROGRAMS = ("syslog", "kafka")


class Route(Section):
    """`[[routes]]`: which alerts go to which channels."""

    name: str = Field("", max_length=100, description="how receipts call it")
    channels: list[str] = Field(default_factory=list, description="channels that get them")
    level: Level = Field("informational", description="alerts of this level and above")
    rules: list[str] = Field(default_factory=list, description="ids or names of rules, `*` at the end for any rest")
    tags: list[str] = Field(default_factory=list, description="tags, one of which they must have, `*` as above")
    sources: list[str] = Field(default_factory=list, description="sources that they come from")
    where: dict[str, str] = Field(
        default_factory=dict, description="fields and values that they must have; `*`, and networks for addresses"
    )
    hours: str = Field("", description="hours in which it holds, such as `17:00-07:30`")
    days: list[Day] = Field(default_factory=list, description="days on which it holds; those of the hours' beginning")
    on_duty: str = Field("", description="a roster: whoever is on duty gets them; nobody there: `channels`")
    each: Literal["auto", "group", "alert"] = Field(
        "auto", description="`group`: only when a group opens; `alert`: each; `auto`: each for syslog and kafka"
    )
    escalate_minutes: float = Field(
        0, ge=0, le=1440, description="minutes after which alerts that nobody took go to others; 0: not"
    )
    escalate_to: list[str] = Field(default_factory=list, description="channels that then get them")

    _are_hours = field_validator("hours")(_valid_hours)

    @model_validator(mode="after")
    def _leads_somewhere(self) -> "Route":
        if not self.channels and not self.on_duty:
            raise ValueError(say("settings.want_channel"))
        if bool(self.escalate_minutes) != bool(self.escalate_to):
            raise ValueError(say("settings.want_escalation"))
        for value in self.where.values():
            _network_or_text(value)
        return self


def _network_or_text(value: str) -> None:
    """A value that looks like a network must be one: `10.0.0.0/33` would fit nothing, ever."""
    address, _, bits = value.partition("/")
    if bits.isdigit() and re.fullmatch(r"[\d.]+|[0-9a-fA-F:]+", address):
        try:
            ip_network(value, strict=False)
        except ValueError as error:
            raise ValueError(say("settings.want_network", value=value)) from error


class Shift(Section):
    """`[[roster]]`: when somebody is on duty."""

    roster: Name = Field("duty", description="which roster it belongs to: a name as a source's")
    who: str = Field("", max_length=100, description="who that is, for people")
    channels: list[str] = Field(min_length=1, description="channels that reach whoever has this shift")
    hours: str = Field("", description="hours, such as `22:00-06:00` (until the next morning); left out: the whole day")
    days: list[Day] = Field(default_factory=list, description="days on which it begins; left out: every day")
    first: date | None = Field(None, description="the first day of a shift that comes again every so many days")
    every_days: int = Field(1, ge=1, le=366, description="with `first`: it begins every so many days")

    _are_hours = field_validator("hours")(_valid_hours)


class Delivery(Section):
    """`[delivery]`"""

    retry_hours: float = Field(72, gt=0, le=720, description="hours for which a message is tried; then it is dead")
    failing_minutes: float = Field(
        15, gt=0, le=1440, description="minutes that a message may wait for its channel before there is an alert"
    )
    keep_days: float = Field(90, ge=1, le=3650, description="days for which receipts are kept")
    timezone: str = Field("local", description="zone of hours and days: a name such as `Asia/Ho_Chi_Minh`, or `local`")
    scripts: Path | None = Field(
        None, description="folder of the programs of `script` channels; `scripts` in the data directory when left out"
    )
    link: str = Field("", max_length=500, description="address of these pages as people reach them, for links")

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        try:
            if value != "local":
                ZoneInfo(value)
            return value
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(say("settings.unknown_zone", value=value)) from error
