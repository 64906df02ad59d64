"""renrum.yaml read into the service's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from pathlib import Path
from urllib.parse import urlsplit

from facility.document import Block, Document, read_document
from facility.files import Files, Unreadable
from facility.problems import Problem
from facility.secret import Secret, exposed, read_secret
from facility.sections import Section, validated
from historian.target import Target
from service.settings.historian import read_historian
from service.settings.http import Http, read_http
from service.settings.sections import EMBEDDED, MqttSection, RenrumSection

MQTT_PASSWORD = "RENRUM_MQTT_PASSWORD"
_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Tls:
    """How to trust the broker and be trusted by it; None stands for the system's authorities, or for no certificate of our own."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Mqtt:
    """How to reach the broker; `embedded` starts the built-in one, host and port are then free. `tls` is None without encryption."""

    host: str = "127.0.0.1"
    port: int = 1883
    embedded: bool = False
    tls: Tls | None = None
    username: str | None = None
    password: Secret | None = None
    client_id: str = ""
    protocol: str = "auto"
    receive_maximum: int = 1000


@dataclass(frozen=True, slots=True)
class Nightly:
    """When verify and sealing run each night, a time of day at the site; None for never. What is sealed leaves the databases, or stays."""

    begin: time | None = time(2, 30)
    seal: bool = True
    leave: bool = True


@dataclass(frozen=True, slots=True)
class Settings:
    """renrum.yaml: `folder` is where it lies, paths are absolute, file names as Files knows them; an empty name stands for none."""

    folder: Path
    environment: str
    facility: str
    rules: tuple[str, ...]
    oncall: str
    data_dir: Path
    limits: str = ""
    sources: str = ""
    mqtt: Mqtt = field(default_factory=Mqtt)
    http: Http = field(default_factory=Http)
    evaluate_every_ns: int = 10**9
    apply: str = "on_start"
    historian: Target | None = None
    grafana: str = ""
    coverage: str = "shown"
    nightly: Nightly = field(default_factory=Nightly)


@dataclass(frozen=True, slots=True)
class SettingsRead:
    """Settings without what is wrong, their document, what is wrong, and what looks like a mistake."""

    settings: Settings
    document: Document
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()


def read_settings(files: Files, name: str, environment: Mapping[str, str]) -> SettingsRead:
    """The settings of a renrum.yaml; secrets come from files and from `environment`. Raises Unreadable."""
    document, problems = read_document(files, name)
    folder = (files.folder or Path()).absolute()
    stand_ins = {"environment": "demo", "facility": "-", "rules": "-", "oncall": "-", "mqtt": Block(("mqtt",)), "url": EMBEDDED}
    missing = {key for key in ("facility", "rules", "oncall") if not document.value.get(key)}
    section, faults = (None, []) if problems and not document.value else validated(RenrumSection, document, stand_ins=stand_ins)
    if section is None:
        return SettingsRead(Settings(folder, "demo", "", (), "", folder / "data"), document, (*problems, *faults))
    reading = _Reading(document, folder, environment)
    http, http_problems = read_http(section.http, document, folder)
    historian, historian_problems, historian_warnings = read_historian(section.historian, document, folder, environment)
    settings = Settings(
        folder=folder,
        environment=section.environment,
        facility="" if "facility" in missing or section.facility == "-" else section.facility,
        rules=reading.rules(section, "rules" in missing),
        oncall="" if "oncall" in missing or section.oncall == "-" else section.oncall,
        data_dir=folder / section.data_dir,
        limits=section.limits or "",
        sources=section.sources or "",
        mqtt=reading.mqtt(section.mqtt),
        http=http,
        evaluate_every_ns=section.evaluate_every,
        apply=section.apply,
        historian=historian,
        grafana="" if section.grafana is None else section.grafana.url,
        coverage=section.coverage,
        nightly=Nightly(section.nightly.begin, section.nightly.seal, section.nightly.leave),
    )
    found = (*problems, *faults, *reading.problems, *http_problems, *historian_problems)
    return SettingsRead(settings, document, found, (*reading.warnings, *historian_warnings))


class _Reading:
    """Builds the parts of the settings that files and the environment have a say in."""

    def __init__(self, document: Document, folder: Path, environment: Mapping[str, str]) -> None:
        self.document, self.folder, self.environment = document, folder, environment
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def _refuse(self, section: Section, key: str, found: str, allowed: str) -> None:
        self.problems.append(self.document.problem(section.at(key), found, allowed))

    def rules(self, section: RenrumSection, missing: bool) -> tuple[str, ...]:
        return () if missing or section.rules == ("-",) else section.rules

    def mqtt(self, section: MqttSection) -> Mqtt:
        embedded = section.url == EMBEDDED
        if embedded:
            for key in ("username", "password_file", "tls"):
                if getattr(section, key) is not None:
                    self._refuse(section, key, f"{key} with the embedded broker", "nothing, as it listens on this machine only")
        password = None if embedded else self._password(section)
        if section.username is None and password is not None:
            self._refuse(section, "username", "a password without a username", "both or neither")
        address = urlsplit(section.url)
        return Mqtt(
            host=address.hostname or "127.0.0.1",
            port=0 if embedded else address.port or _PORTS[address.scheme],
            embedded=embedded,
            tls=self._tls(section),
            username=section.username,
            password=password,
            client_id=section.client_id or "",
            protocol=section.protocol,
            receive_maximum=section.receive_maximum,
        )

    def _password(self, section: MqttSection) -> Secret | None:
        """From the environment, else from the file."""
        if text := self.environment.get(MQTT_PASSWORD):
            return Secret(text)
        if section.password_file is None:
            return None
        path = self.folder / section.password_file
        try:
            secret = read_secret(path)
        except Unreadable as error:
            self._refuse(section, "password_file", str(error), f"a file with the password, or {MQTT_PASSWORD} in the environment")
            return None
        if exposed(path):
            found, hint = f"{path}, which every user may read", "Take that right away: chmod o= FILE."
            self.warnings.append(self.document.problem(section.at("password_file"), found, "a file of the service alone", hint))
        return secret

    def _tls(self, section: MqttSection) -> Tls | None:
        encrypted = section.url.startswith("mqtts:")
        if section.tls is None:
            return Tls() if encrypted else None
        if section.url.startswith("mqtt:"):
            self._refuse(section, "tls", "tls with an mqtt:// address", "mqtts:// in `url`")
        paths: dict[str, Path | None] = {}
        for key in ("ca_file", "cert_file", "key_file"):
            name = getattr(section.tls, key)
            paths[key] = None if name is None else self.folder / name
            if name is not None and not (self.folder / name).is_file():
                self._refuse(section.tls, key, f"{name!r}, but there is no such file in {self.folder}", "a PEM file")
        if (section.tls.cert_file is None) != (section.tls.key_file is None):
            self._refuse(section.tls, "cert_file", "one of cert_file and key_file", "both or neither")
        return Tls(**paths)
