"""oncall.yaml as sections: its keys, their types, what each means."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from alerts.duty.sections import DutySection
from facility.document import shown
from facility.sections import Id, PeriodNs, Section, refused
from rules.rule import PRIORITIES


def _mail(address: str) -> str:
    if not re.fullmatch(r"[^@\s<>,;]+@[^@\s<>,;]+", address):
        raise refused("a mail address such as em@example.org")
    return address


def _web(address: str) -> str:
    match = re.fullmatch(r"https?://([^/?#\s]+)([/?#]\S*)?", address)
    if match is None:
        raise refused("an address that begins with https:// or http://")
    if "@" in match[1]:
        hint = "Put the whole address in a file and give its name as url_file."
        raise refused("an address without user and password", hint, "an address with a user in it")
    return address


def _topic(topic: str) -> str:
    if not topic or topic.startswith(("renrum/", "$", "/")) or set(topic) & set("+#\0"):
        raise refused("a topic without + and #, and not below renrum/, which is for readings: site/tower/1")
    return topic


def _reach(value: Any) -> dict[str, Any]:
    way = {"channel": value} if isinstance(value, str) and value else value
    allowed = "the id of a channel, or a mapping with email or channel, and perhaps kind and for"
    if not isinstance(way, dict) or not set(way) <= {"email", "channel", "kind", "for"} or not {"email", "channel"} & set(way):
        raise refused(allowed, found=shown(value))
    if not all(isinstance(way[key], str) and way[key] for key in ("channel", "kind") if key in way):
        raise refused(allowed, found=shown(value))
    if "email" in way:
        if not isinstance(way["email"], str):
            raise refused("a mail address such as em@example.org", found=shown(way["email"]))
        _mail(way["email"])
    for_ = way.get("for", [])
    for_ = for_ if isinstance(for_, list) else [for_]
    if not all(priority in PRIORITIES for priority in for_):
        raise refused(f"for: {', '.join(PRIORITIES)}", found=shown(way["for"]))
    return {**way, "for": tuple(for_)}


MailAddress = Annotated[str, AfterValidator(_mail)]
WebAddress = Annotated[str, AfterValidator(_web)]
_TEXT = {"type": "string", "minLength": 1}
_PRIORITY = {"enum": list(PRIORITIES)}
_REACH_SCHEMA = {
    "anyOf": [
        {"type": "string", "description": "The id of a channel."},
        {
            "type": "object",
            "properties": {
                "email": {"type": "string", "description": "An address; `channel` names the mail channel, the first unless given."},
                "channel": _TEXT,
                "kind": {**_TEXT, "description": "What a step's `by` may call it: sms, voice."},
                "for": {"anyOf": [_PRIORITY, {"type": "array", "items": _PRIORITY}], "description": "Only alarms of these priorities."},
            },
            "anyOf": [{"required": ["email"]}, {"required": ["channel"]}],
            "additionalProperties": False,
        },
    ]
}
Reach = Annotated[dict[str, Any], PlainValidator(_reach), WithJsonSchema(_REACH_SCHEMA)]


class EmailSection(Section):
    """Mail over SMTP, one message to each recipient."""

    kind: Literal["email"]
    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """25 without security, 587 with starttls, 465 with tls, unless given."""
    security: Literal["none", "starttls", "tls"] = "starttls"
    sender: Annotated[MailAddress, Field(alias="from")]
    to: Annotated[list[MailAddress], Field(min_length=1)] | None = None
    """Who gets each page where nobody is chosen; leave it out when only people have addresses."""
    username: str | None = None
    password_file: str | None = None
    """File with the password; or the environment variable RENRUM_CHANNEL_<ID>_PASSWORD."""


class WebhookSection(Section):
    """The page as JSON, posted to an address."""

    kind: Literal["webhook"]
    url: WebAddress | None = None
    """The address, when it is no secret."""
    url_file: str | None = None
    """File with the address; or the environment variable RENRUM_CHANNEL_<ID>_URL."""
    token_file: str | None = None
    """File with a bearer token; or the environment variable RENRUM_CHANNEL_<ID>_TOKEN."""


class AppriseSection(Section):
    """Whatever Apprise reaches: chat, push, SMS gateways, voice (https://appriseit.com lists the forms)."""

    kind: Literal["apprise"]
    url_file: str | None = None
    """File with one address a line; or the environment variable RENRUM_CHANNEL_<ID>_URL."""


class LocalSection(Section):
    """A file that pages are appended to, one JSON line each."""

    kind: Literal["local"]
    file: Annotated[str, Field(min_length=1)]


class AlertmanagerSection(Section):
    """Alertmanager of Prometheus is shown what stands: alerts that fire while the condition lasts."""

    kind: Literal["alertmanager"]
    url: WebAddress | None = None
    """The address, when it is no secret: http://127.0.0.1:9093."""
    url_file: str | None = None
    """File with the address; or the environment variable RENRUM_CHANNEL_<ID>_URL."""
    token_file: str | None = None
    """File with a bearer token; or the environment variable RENRUM_CHANNEL_<ID>_TOKEN."""


class BeaconPayloads(Section):
    """What the beacon understands."""

    off: str = "off"
    steady: str = "steady"
    flashing: str = "flashing"
    lost: str = "lost"
    """When Renrum does not look after it any more."""


class BeaconSection(Section):
    """A light tower is kept at off, steady or flashing by a retained message over the broker of `mqtt`."""

    kind: Literal["beacon"]
    topic: Annotated[str, AfterValidator(_topic)]
    payloads: BeaconPayloads = BeaconPayloads()
    priority: list[Literal["critical", "high", "medium", "low"]] = Field([])
    """Only alarms of these priorities."""
    room: list[str] = Field([])
    """Only alarms of rooms that match one of these globs."""


AnyChannel = EmailSection | WebhookSection | AppriseSection | LocalSection | AlertmanagerSection | BeaconSection
CHANNELS: dict[str, type[Section]] = {
    "email": EmailSection,
    "webhook": WebhookSection,
    "apprise": AppriseSection,
    "local": LocalSection,
    "alertmanager": AlertmanagerSection,
    "beacon": BeaconSection,
}
SIGNALS = ("alertmanager", "beacon")
"""Kinds that are shown what stands, and get no pages."""


class DeadmanSection(Section):
    """An address elsewhere that is asked for as long as all is well; whoever is there raises the alarm when that ends."""

    url: WebAddress | None = None
    """The address, when it is no secret."""
    url_file: str | None = None
    """File with the address; or the environment variable RENRUM_DEADMAN_URL."""
    every: PeriodNs = 60 * 10**9


class PersonSection(Section):
    id: Id
    name: str = ""
    language: Literal["en", "sv"] = "en"
    pin_file: str | None = None
    """File with the hash of the PIN for replies by mail: `renrum oncall pin FILE` writes it."""
    reach: list[Reach] = Field([])
    """Ids of channels, {email: address}, or {channel: id, kind: sms, for: [critical, high]}, in order of preference."""


def _or_listed(schema: dict[str, Any]) -> None:
    """Let the schema of the channels also take a list, each entry with an id."""
    mapping = {key: schema.pop(key) for key in ("type", "additionalProperties")}
    listed = {"type": "array", "items": {"type": "object", "required": ["id", "kind"]}}
    schema["anyOf"] = [mapping, listed]


class OncallSection(DutySection):
    """oncall.yaml: who is told, and how."""

    channels: Annotated[dict[str, Annotated[AnyChannel, Field(discriminator="kind")]], Field(json_schema_extra=_or_listed)]
    """By id; a list whose entries have an `id` is the same."""
    people: list[PersonSection] = Field([])
    deadman: DeadmanSection | None = None


class OncallOutline(DutySection):
    """The same with its channels unread: each is read by its kind."""

    channels: Any
    people: list[PersonSection] = Field([])
    deadman: DeadmanSection | None = None
