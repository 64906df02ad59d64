"""oncall.yaml as sections: its keys, their types, what each means."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from facility.document import shown
from facility.sections import Id, Section, refused


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


def _reach(value: Any) -> str | dict[str, str]:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, dict) and set(value) == {"email"} and isinstance(value["email"], str):
        return {"email": _mail(value["email"])}
    raise refused("the id of a channel, or {email: address}", found=shown(value))


MailAddress = Annotated[str, AfterValidator(_mail)]
WebAddress = Annotated[str, AfterValidator(_web)]
_REACH_SCHEMA = {
    "anyOf": [
        {"type": "string", "description": "The id of a channel."},
        {"type": "object", "properties": {"email": {"type": "string"}}, "required": ["email"], "additionalProperties": False},
    ]
}
Reach = Annotated[str | dict[str, str], PlainValidator(_reach), WithJsonSchema(_REACH_SCHEMA)]


class EmailSection(Section):
    """Mail over SMTP, one message to each recipient."""

    kind: Literal["email"]
    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """25 without security, 587 with starttls, 465 with tls, unless given."""
    security: Literal["none", "starttls", "tls"] = "starttls"
    sender: Annotated[MailAddress, Field(alias="from")]
    to: Annotated[list[MailAddress], Field(min_length=1)]
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


AnyChannel = EmailSection | WebhookSection | AppriseSection | LocalSection
CHANNELS: dict[str, type[EmailSection] | type[WebhookSection] | type[AppriseSection] | type[LocalSection]] = {
    "email": EmailSection,
    "webhook": WebhookSection,
    "apprise": AppriseSection,
    "local": LocalSection,
}


class PersonSection(Section):
    id: Id
    name: str = ""
    language: Literal["en", "sv"] = "en"
    reach: list[Reach] = Field([])
    """Ids of channels, or {email: address}, in order of preference."""


def _or_listed(schema: dict[str, Any]) -> None:
    """Let the schema of the channels also take a list, each entry with an id."""
    mapping = {key: schema.pop(key) for key in ("type", "additionalProperties")}
    listed = {"type": "array", "items": {"type": "object", "required": ["id", "kind"]}}
    schema["anyOf"] = [mapping, listed]


class OncallSection(Section):
    """oncall.yaml: who is told, and how. In this form every channel gets each page."""

    channels: Annotated[dict[str, Annotated[AnyChannel, Field(discriminator="kind")]], Field(json_schema_extra=_or_listed)]
    """By id; a list whose entries have an `id` is the same."""
    people: list[PersonSection] = Field([])


class OncallOutline(Section):
    """The same with its channels unread: each is read by its kind."""

    channels: Any
    people: list[PersonSection] = Field([])
