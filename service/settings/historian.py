"""The `historian` section of renrum.yaml read into the bucket to write to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from facility.document import Document
from facility.files import Unreadable
from facility.problems import Problem
from facility.secret import Secret, exposed, read_secret
from facility.sections import Section, refused
from historian.target import Target

TOKEN, READ_TOKEN = "RENRUM_INFLUX_TOKEN", "RENRUM_INFLUX_READ_TOKEN"  # names of variables
_SERVER = re.compile(r"https?://(?:\[[0-9a-fA-F:.]+\]|[^\s/?#@:\[\]]+)(?::(\d{1,5}))?/?")


def _server(url: str) -> str:
    if re.match(r"\w+://[^/?#\s]*@", url):
        raise refused("an address without user and password", f"Give token_file, or {TOKEN} in the environment.", "an address with a user")
    match = _SERVER.fullmatch(url)
    if match is None or not 0 < int(match[1] or 1) < 65536:
        raise refused("http://HOST:8086, or https://HOST:8086 for TLS")
    return url.rstrip("/")


ServerUrl = Annotated[str, AfterValidator(_server)]
Text = Annotated[str, Field(min_length=1)]


class InfluxSection(Section):
    url: ServerUrl
    """http://HOST:8086 of an InfluxDB 2; https:// for TLS."""
    org: Text
    """The organisation."""
    bucket: Text
    """Where it is written; `renrum historian setup` makes it."""
    token_file: Text | None = None
    """File with a token that may write to the bucket; or the environment variable RENRUM_INFLUX_TOKEN."""
    read_token_file: Text | None = None
    """File with a token that may read it, for compare and replay --from-influx; or RENRUM_INFLUX_READ_TOKEN; token_file's unless given."""
    ca_file: Text | None = None
    """Authority that signed the server's certificate; the system's authorities unless given."""


class HistorianSection(Section):
    influxdb: InfluxSection


def read_historian(
    section: HistorianSection | None, document: Document, folder: Path, environment: Mapping[str, str]
) -> tuple[Target | None, list[Problem], list[Problem]]:
    """The bucket, None without one; what is wrong; what looks like a mistake."""
    if section is None:
        return None, [], []
    reading = _Reading(section.influxdb, document, folder, environment)
    influx = section.influxdb
    token = reading.secret("token_file", TOKEN)
    if token is None and not reading.awaited:
        reading.refuse("token_file", "no token", f"a file with the token, or {TOKEN} in the environment")
    read_token, ca_file = reading.secret("read_token_file", READ_TOKEN), reading.ca_file()
    awaited = [reading.awaited.get(key) for key in ("token_file", "read_token_file")]
    target = Target(influx.url, influx.org, influx.bucket, token, read_token, ca_file, *awaited)
    return target, reading.problems, reading.warnings


class _Reading:
    def __init__(self, section: InfluxSection, document: Document, folder: Path, environment: Mapping[str, str]) -> None:
        self._section, self._document, self._folder, self._environment = section, document, folder, environment
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.awaited: dict[str, Path] = {}
        """Files whose token cannot be read yet: no alarm has to wait for that."""

    def refuse(self, key: str, found: str, allowed: str, hint: str = "") -> None:
        self.problems.append(self._document.problem(self._section.at(key), found, allowed, hint))

    def secret(self, key: str, variable: str) -> Secret | None:
        """From the environment, else from the file."""
        if text := self._environment.get(variable):
            return Secret(text)
        name = getattr(self._section, key)
        if name is None:
            return None
        path = self._folder / name
        try:
            secret = read_secret(path)
        except Unreadable as error:
            hint = "`renrum historian setup` makes the tokens and writes them into these files."
            allowed = f"a file with the token, or {variable} in the environment; until then InfluxDB gets nothing, and alarms do without"
            self.warnings.append(self._document.problem(self._section.at(key), str(error), allowed, hint))
            self.awaited[key] = path
            return None
        if exposed(path):
            found, hint = f"{path}, which every user may read", "Take that right away: chmod o= FILE."
            self.warnings.append(self._document.problem(self._section.at(key), found, "a file of the service alone", hint))
        return secret

    def ca_file(self) -> Path | None:
        name = self._section.ca_file
        if name is None:
            return None
        if not self._section.url.startswith("https:"):
            self.refuse("ca_file", "ca_file with an http:// address", "https:// in `url`")
        elif not (self._folder / name).is_file():
            self.refuse("ca_file", f"{name!r}, but there is no such file in {self._folder}", "a PEM file")
        return self._folder / name
