"""The `http` section of renrum.yaml read into settings: where the console listens, who may use it, what protects the way there."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from facility.document import Document
from facility.problems import Problem
from service.settings.sections import REQUIRED, HttpSection

HOUR_NS = 3600 * 10**9


@dataclass(frozen=True, slots=True)
class HttpTls:
    """Our certificate (with those that it is chained to) and its key, PEM files."""

    cert_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class Http:
    """Where the console listens, and the address that people open it by, empty when it is the same.

    `users`: whether people and programs have to sign in. `trusted_proxies` are the addresses or networks of reverse proxies whose
    X-Forwarded headers count. A session ends after `session_idle_ns` without a request of its person, and `session_at_most_ns` after the
    sign-in.
    """

    host: str = "127.0.0.1"
    port: int = 8480
    public_url: str = ""
    users: bool = False
    tls: HttpTls | None = None
    trusted_proxies: tuple[str, ...] = ()
    session_idle_ns: int = HOUR_NS // 2
    session_at_most_ns: int = 12 * HOUR_NS

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"


def read_http(section: HttpSection, document: Document, folder: Path) -> tuple[Http, list[Problem]]:
    """The settings, and what is wrong with how they go together."""
    problems: list[Problem] = []

    def refuse(key: str, found: str, allowed: str, hint: str = "") -> None:
        problems.append(document.problem(section.at(key), found, allowed, hint))

    users = section.users == REQUIRED
    if not loopback(section.host):
        if not users:
            hint = "Set http.users: required, or put a reverse proxy that knows your users in front of it."
            refuse("host", repr(section.host), "127.0.0.1, ::1 or localhost, as anybody who reaches it may do anything without users", hint)
        elif section.tls is None and not section.trusted_proxies:
            hint = "Give http.tls a certificate, or http.trusted_proxies the reverse proxy that has one."
            refuse("host", repr(section.host), "127.0.0.1, ::1 or localhost, as passwords would cross the network in the clear", hint)
    if section.session_idle > section.session_at_most:
        refuse("session_idle", "a longer time than session_at_most", "at most that")
    tls = None
    if section.tls is not None:
        for key in ("cert_file", "key_file"):
            name = getattr(section.tls, key)
            if not (folder / name).is_file():
                problems.append(document.problem(section.tls.at(key), f"{name!r}, but there is no such file in {folder}", "a PEM file"))
        tls = HttpTls(folder / section.tls.cert_file, folder / section.tls.key_file)
    http = Http(
        section.host, section.port, section.public_url or "", users, tls,
        section.trusted_proxies, section.session_idle, section.session_at_most,
    )  # fmt: skip
    return http, problems


def loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
