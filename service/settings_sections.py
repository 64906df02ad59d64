"""renrum.yaml as sections: its keys, their types, what each means."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from facility.sections import PeriodNs, Section, refused

EMBEDDED = "embedded"
_BROKER = re.compile(r"mqtts?://(?:\[[0-9a-fA-F:.]+\]|[^\s/?#@:\[\]]+)(?::(\d{1,5}))?/?")


def _broker(url: str) -> str:
    if re.match(r"\w+://[^/?#\s]*@", url):
        hint = "Give username and password_file, or RENRUM_MQTT_PASSWORD in the environment."
        raise refused("an address without user and password", hint, "an address with a user in it")
    match = _BROKER.fullmatch(url)
    if url != EMBEDDED and (match is None or not 0 < int(match[1] or 1) < 65536):
        raise refused("mqtt://HOST:PORT, mqtts://HOST:PORT for TLS, or embedded")
    return url


def _loopback(host: str) -> str:
    try:
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise refused("127.0.0.1, ::1 or localhost, as there are no users yet", "Put a reverse proxy that knows your users in front of it.")
    return host


def _page(url: str) -> str:
    if re.fullmatch(r"https?://[^\s@/?#]+(/[^\s?#]*)?", url) is None:
        raise refused("the address of the console as people open it, such as https://em.example.org")
    return url.rstrip("/")


def _names(value: Any) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise refused("the name of a rules file, or a list of them")
    return tuple(names)


_NAMES_SCHEMA = {
    "type": ["string", "array"],
    "items": {"type": "string"},
    "description": "Rules file or pack (pack:annex1@1), or a list of them.",
}
BrokerUrl = Annotated[str, AfterValidator(_broker)]
LoopbackHost = Annotated[str, AfterValidator(_loopback)]
PageUrl = Annotated[str, AfterValidator(_page)]
FileNames = Annotated[tuple[str, ...], PlainValidator(_names), WithJsonSchema(_NAMES_SCHEMA)]
FileName = Annotated[str, Field(min_length=1)]


class TlsSection(Section):
    ca_file: FileName | None = None
    """Authority that signed the broker's certificate; the system's authorities unless given."""
    cert_file: FileName | None = None
    """Our own certificate, when the broker asks for one."""
    key_file: FileName | None = None


class MqttSection(Section):
    url: BrokerUrl
    """mqtt://HOST:PORT, mqtts://HOST:PORT for TLS; embedded starts the built-in broker."""
    username: FileName | None = None
    password_file: FileName | None = None
    """File with the password; or the environment variable RENRUM_MQTT_PASSWORD."""
    client_id: FileName | None = None
    """Names our session at the broker; renrum-SITE unless given."""
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """auto tries MQTT 5 and falls back to 3.1.1."""
    receive_maximum: Annotated[int, Field(ge=1, le=65535)] = 1000
    """So many messages may be under way unacknowledged."""
    tls: TlsSection | None = None


class HttpSection(Section):
    host: LoopbackHost = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8480
    """0 takes a free one."""
    public_url: PageUrl | None = None
    """Address of the console as people open it; it stands in pages."""


class RenrumSection(Section):
    """renrum.yaml: the service. Relative paths start at the folder of the file that names them."""

    environment: Literal["production", "validation", "demo"]
    """Shown on every page, report and message."""
    facility: FileName
    limits: FileName | None = None
    """The site's limit table, limits.csv."""
    rules: FileNames
    coverage: Literal["shown", "strict"] = "shown"
    """strict: a point that nobody looks after, or a rule that matches nothing, is an error."""
    oncall: FileName
    data_dir: FileName = "./data"
    """The journal and everything derived from it."""
    mqtt: MqttSection
    evaluate_every: PeriodNs = 10**9
    """How often rules are evaluated."""
    apply: Literal["on_start"] = "on_start"
    """A changed configuration is put in force when the service starts."""
    http: HttpSection = Field(default_factory=HttpSection)
