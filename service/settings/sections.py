"""renrum.yaml as sections: its keys, their types, what each means."""

from __future__ import annotations

import re
from datetime import time
from ipaddress import ip_network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from facility.sections import PeriodNs, Section, refused
from service.settings.historian import HistorianSection

EMBEDDED = "embedded"
REQUIRED = "required"
NEVER = "never"
_BROKER = re.compile(r"mqtts?://(?:\[[0-9a-fA-F:.]+\]|[^\s/?#@:\[\]]+)(?::(\d{1,5}))?/?")


def _broker(url: str) -> str:
    if re.match(r"\w+://[^/?#\s]*@", url):
        hint = "Give username and password_file, or RENRUM_MQTT_PASSWORD in the environment."
        raise refused("an address without user and password", hint, "an address with a user in it")
    match = _BROKER.fullmatch(url)
    if url != EMBEDDED and (match is None or not 0 < int(match[1] or 1) < 65536):
        raise refused("mqtt://HOST:PORT, mqtts://HOST:PORT for TLS, or embedded")
    return url


def _host(host: str) -> str:
    if re.fullmatch(r"[0-9A-Za-z.:_-]+", host) is None:
        raise refused("the address or name to listen on, such as 127.0.0.1 or 0.0.0.0")
    return host


def _networks(value: Any) -> tuple[str, ...]:
    try:
        return tuple(str(ip_network(address)) for address in (value if isinstance(value, list) else [value]))
    except ValueError:
        raise refused("addresses or networks of reverse proxies, such as [127.0.0.1, 172.18.0.0/16]") from None


def _page(url: str) -> str:
    if re.fullmatch(r"https?://[^\s@/?#]+(/[^\s?#]*)?", url) is None:
        raise refused("the address as people open it, such as https://em.example.org")
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
_NETWORKS_SCHEMA = {"type": ["string", "array"], "items": {"type": "string"}, "examples": [["127.0.0.1"]]}
Host = Annotated[str, AfterValidator(_host)]
Networks = Annotated[tuple[str, ...], PlainValidator(_networks), WithJsonSchema(_NETWORKS_SCHEMA)]
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


class HttpTlsSection(Section):
    cert_file: FileName
    """Our certificate with those that it is chained to, PEM."""
    key_file: FileName
    """Its key, PEM."""


class HttpSection(Section):
    host: Host = "127.0.0.1"
    """Beyond loopback it needs users, and tls or trusted_proxies."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8480
    """0 takes a free one."""
    public_url: PageUrl | None = None
    """Address of the console as people open it; it stands in pages."""
    users: Literal["none", "required"] = "none"
    """required: people sign in, programs have tokens; none is for loopback only."""
    tls: HttpTlsSection | None = None
    """Serve HTTPS."""
    trusted_proxies: Networks = ()
    """Reverse proxies whose X-Forwarded headers count: addresses or networks."""
    session_idle: PeriodNs = 30 * 60 * 10**9
    """A session ends so long after its person's last request."""
    session_at_most: PeriodNs = 12 * 3600 * 10**9
    """A session ends so long after the sign-in."""


class GrafanaSection(Section):
    url: PageUrl
    """Address of Grafana as people open it."""


def _time_of_day(value: Any) -> time | None:
    try:
        return None if value == NEVER else _clock(value)
    except (ValueError, TypeError):
        raise refused("a time of day at the site, such as '02:30', or never") from None


def _clock(value: str) -> time:
    if re.fullmatch(r"\d\d:\d\d", value) is None:
        raise ValueError(value)
    return time(int(value[:2]), int(value[3:]))


_TIME_SCHEMA = {"type": "string", "pattern": "^(\\d\\d:\\d\\d|never)$", "examples": ["02:30"]}
TimeOfDay = Annotated[time | None, PlainValidator(_time_of_day), WithJsonSchema(_TIME_SCHEMA)]


class NightlySection(Section):
    begin: TimeOfDay = time(2, 30)
    """Time of day at the site of `renrum verify` and of sealing; never: of neither."""
    seal: bool = True
    """Days older than the largest max_late become Parquet files, hashed and chained."""
    leave: bool = True
    """What is sealed leaves the databases; the Parquet files have it."""


class RenrumSection(Section):
    """renrum.yaml: the service. Relative paths start at the folder of the file that names them."""

    environment: Literal["production", "validation", "demo"]
    """Shown on every page, report and message."""
    facility: FileName
    limits: FileName | None = None
    """The site's limit table, limits.csv."""
    sources: FileName | None = None
    """Foreign payloads, and which points they feed: sources.yaml."""
    rules: FileNames
    coverage: Literal["shown", "strict"] = "shown"
    """strict: a point that nobody looks after, or a rule that matches nothing, is an error."""
    oncall: FileName
    data_dir: FileName = "./data"
    """The journal and everything derived from it."""
    mqtt: MqttSection
    evaluate_every: PeriodNs = 10**9
    """How often rules are evaluated."""
    apply: Literal["on_start", "signed"] = "on_start"
    """on_start: changed files take force when the service starts. signed: only when `renrum apply` put them in force."""
    http: HttpSection = Field(default_factory=HttpSection)
    nightly: NightlySection = Field(default_factory=NightlySection)
    """What is done each night."""
    historian: HistorianSection | None = None
    """An InfluxDB that everything is written to as well; leave it out for none."""
    grafana: GrafanaSection | None = None
    """The Grafana that pages of the console link to; leave it out for none."""
