"""The production configuration folder: what is in it, written without touching what is there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from secrets import token_urlsafe
from string import Template

from service.production import accounts
from service.production.authority import Authority, certificate_pem, key_from_pem, key_pem, new_key

SECRETS = ("influx-operator", "influx-admin", "grafana-admin", "grafana-key")
"""Beside those of the broker's accounts: InfluxDB's operator token and first user's password, Grafana's first user's and its own key."""
_PRIVATE, _SHARED = 0o600, 0o640
_SCRAPE_FILES = {
    True: ("/run/secrets/prometheus", "/run/secrets/ca.pem"),  # the compose file mounts them there
    False: ("/etc/prometheus/secrets/renrum-token", "/etc/prometheus/secrets/ca.pem"),  # a machine's /run is empty after a restart
}
"""Where Prometheus finds its token and the authority's certificate, in containers or not."""


class CannotComplete(Exception):
    """What is there does not fit together; the text says what and what to do."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an installation is to be.

    `host` is the machine's name for people and instruments, `broker` how the service reaches the broker, `listen` the address that the
    console is reached on; `accounts` are the broker's beside the service's own. In `containers` the services reach each other by name.
    """

    host: str
    broker: str
    listen: str
    data_dir: str
    site: str = ""
    name: str = ""
    timezone: str = ""
    accounts: tuple[str, ...] = (accounts.GATEWAY_ACCOUNT,)
    containers: bool = False


@dataclass(slots=True)
class Folder:
    """Writes what is missing in a folder and keeps what is there; `written` and `kept` are names relative to it."""

    path: Path
    owner: tuple[int, int]
    at: int
    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def complete(self, wanted: Wanted, example: Sequence[tuple[str, bytes]]) -> None:
        """All of it; `example` are the example configuration's files. Raises CannotComplete, OSError."""
        self._folder("")
        for name, content in _configuration(wanted, example):
            self._write(name, content, _SHARED)
        for name in SECRETS:
            self._secret(f"secrets/{name}")
        self._accounts(("mqtt", accounts.SERVICE_ACCOUNT), *((f"mqtt-{name}", name) for name in wanted.accounts))
        authority = self._authority(f"Renrum {wanted.host}")
        nearby = ("localhost", "127.0.0.1", "::1")
        self._certificate(authority, "tls/console", (wanted.host, *(["renrum"] if wanted.containers else []), *nearby))
        self._certificate(authority, "mosquitto/server", (wanted.host, wanted.broker, *nearby))
        self._write("mosquitto/ca.pem", self._read("tls/ca.pem"), _PRIVATE)
        self._write("mosquitto/mosquitto.conf", _shipped("mosquitto.conf").encode(), _PRIVATE)
        token, ca = _SCRAPE_FILES[wanted.containers]
        self._write("prometheus/prometheus.yml", _filled("prometheus.yml", {"host": wanted.host, "token": token, "ca": ca}), _SHARED)
        if wanted.containers:
            self._write("compose.env", _filled("compose.env", self._words(wanted)), _SHARED)

    def _words(self, wanted: Wanted) -> dict[str, str]:
        uid, gid = self.owner
        return {
            "folder": str(self.path.absolute()), "data_dir": wanted.data_dir, "uid": str(uid), "gid": str(gid),
            "host": wanted.host, "listen": wanted.listen,
        }  # fmt: skip

    # Accounts

    def _accounts(self, *wanted: tuple[str, str]) -> None:
        """Accounts that are not there yet: a secret, a line of the password file, what they may do."""
        self._write("mosquitto/passwords", b"", _PRIVATE)
        self._write("mosquitto/acl", _shipped("acl").encode(), _PRIVATE)
        known = accounts.accounts_in(self._read("mosquitto/passwords").decode())
        access = self._read("mosquitto/acl").decode()
        for file, account in wanted:
            secret = self.path / "secrets" / file
            if account in known:
                if not secret.exists():
                    what = f"{secret} is missing, though {self.path / 'mosquitto/passwords'} has an account {account}"
                    raise CannotComplete(f"{what}: put it back, or take that line away and try again.")
                self.kept.append(f"secrets/{file}")
                continue
            self._secret(f"secrets/{file}")
            line = accounts.password_line(account, self._read(f"secrets/{file}").decode().strip())
            self._append("mosquitto/passwords", line)
            if not re.search(rf"(?m)^user {re.escape(account)}\s*$", access):
                self._append("mosquitto/acl", accounts.gateway_access(account))

    def _secret(self, name: str) -> None:
        self._write(name, token_urlsafe(32).encode() + b"\n", _PRIVATE)

    # Certificates

    def _authority(self, name: str) -> Authority | None:
        """The authority, made when there is none; None where its key is kept elsewhere, or where another authority signs."""
        certificate, key = self.path / "tls/ca.pem", self.path / "authority/ca.key"
        if not certificate.exists():
            if key.exists():
                raise CannotComplete(f"{key} is there but not its certificate {certificate}: put that back, or take the key away.")
            made = Authority.new(name, self.at)
            self._write("authority/ca.key", key_pem(made.key), _PRIVATE)
            self._write("tls/ca.pem", certificate_pem(made.certificate), _SHARED)
            return made
        self.kept.append("tls/ca.pem")
        if not key.exists():
            return None
        try:
            return Authority.load(certificate.read_bytes(), key.read_bytes())
        except ValueError as error:
            raise CannotComplete(f"{key} cannot sign for {certificate}: {error}.") from None

    def _certificate(self, authority: Authority | None, name: str, hosts: Sequence[str]) -> None:
        """A server's certificate and key; a key that is there is used again, so that renewing is to delete the certificate."""
        certificate, key = self.path / f"{name}.pem", self.path / f"{name}.key"
        if certificate.exists():
            if not key.exists():
                raise CannotComplete(f"{certificate} is there but not its key {key}: put that back, or delete the certificate.")
            self.kept += [f"{name}.pem", f"{name}.key"]
            return
        if authority is None:
            where = self.path / "authority/ca.key"
            hint = "put the authority's key back for a moment, or have yours sign"
            raise CannotComplete(f"{certificate} cannot be made without {where}: {hint}.")
        self._write(f"{name}.key", key_pem(new_key()), _PRIVATE)
        try:
            private = key_from_pem(key.read_bytes())
        except ValueError as error:
            raise CannotComplete(f"{key} cannot be used: {error}; delete it.") from None
        self._write(f"{name}.pem", certificate_pem(authority.issue(hosts, private, self.at)), _SHARED)

    # Files

    def _folder(self, name: str) -> Path:
        path = self.path / name
        if not path.exists():
            path.mkdir(parents=True, mode=0o750)
            os.chmod(path, 0o750 if name in ("", "tls", "prometheus") else 0o700)
            self._give(path)
        return path

    def _read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def _write(self, name: str, content: bytes, mode: int) -> None:
        """Made with its final rights, and never opened where one is: no moment in which others may read it."""
        path = self._folder(str(Path(name).parent) if "/" in name else "") / Path(name).name
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            self.kept.append(name)
            return
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        self._give(path)
        self.written.append(name)

    def _append(self, name: str, text: str) -> None:
        content = self._read(name).decode()
        with (self.path / name).open("a", encoding="utf-8") as file:
            file.write(("" if content.endswith("\n") or not content else "\n") + text)

    def _give(self, path: Path) -> None:
        if self.owner != (os.geteuid(), os.getegid()):
            os.chown(path, *self.owner)


def _configuration(wanted: Wanted, example: Sequence[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """The example's files as a site starts with them."""
    # inside a container: all of its addresses, of which the compose file publishes one of the machine's, and the place of a mount
    listen, data_dir = ("0.0.0.0", "/var/lib/renrum") if wanted.containers else (wanted.listen, wanted.data_dir)
    words = {
        "broker": wanted.broker, "host": wanted.host, "listen": listen, "data_dir": data_dir, "site": wanted.site or "flemingsberg",
        "influx": "influxdb" if wanted.containers else "127.0.0.1",
    }  # fmt: skip
    for name, content in example:
        text = content.decode("utf-8")
        if name == "renrum.yaml":
            yield name, _filled("renrum.yaml", words)
        elif name == "facility.yaml":
            yield name, _named(at_real_pace(text), wanted).replace("renrum/flemingsberg/", f"renrum/{words['site']}/").encode()
        elif name == "oncall.yaml":
            yield name, text.replace("file: data/pages.jsonl", f"file: {data_dir}/pages.jsonl").encode()
        else:
            yield name, at_real_pace(text).encode()


def at_real_pace(text: str) -> str:
    """The example's periods and delays as its comments say that real ones are.

    >>> at_real_pace("{period: 5s, unit: Pa} # real: 30s")
    '{period: 30s, unit: Pa}'
    >>> at_real_pace("on_delay: 8s # real: 60s; longer than a door is open")
    'on_delay: 60s # longer than a door is open'
    """
    text = re.sub(r"(?m)^#.*so that a demo of half a minute.*\n", "", text)
    return re.sub(r"(?m)\b(period|on_delay|off_delay): \w+(.*?) # real: (\d+\w+)(?:; (.*))?$", _real, text)


def _real(match: re.Match[str]) -> str:
    key, rest, span, why = match.groups()
    return f"{key}: {span}{rest}" + (f" # {why}" if why else "")


def _named(text: str, wanted: Wanted) -> str:
    """The facility with the site's own id, name and time zone."""
    for key, value in (("id", wanted.site), ("name", wanted.name), ("timezone", wanted.timezone)):
        if value:
            quoted = value if re.fullmatch(r"[\w/-]+", value) else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
            found = re.search(rf"(?m)^site: {{.*?\b{key}: ([^,}}]+)", text)
            assert found is not None, key
            text = text[: found.start(1)] + quoted + text[found.end(1) :]
    return text


def _shipped(name: str) -> str:
    return (files("service.production") / name).read_text("utf-8")


def _filled(name: str, words: dict[str, str]) -> bytes:
    return Template(_shipped(name)).substitute(words).encode()
