"""Which InfluxDB, and with what right."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from facility.secret import Secret, read_secret


@dataclass(frozen=True, slots=True)
class Target:
    """A bucket of an InfluxDB 2: `token` writes; `read_token` reads where it is another. `ca_file` None: the system's authorities.

    `token_file` and `read_token_file` are given where their token could not be read yet: then it is looked for when it is needed.
    """

    url: str
    org: str
    bucket: str
    token: Secret | None = None
    read_token: Secret | None = None
    ca_file: Path | None = None
    token_file: Path | None = None
    read_token_file: Path | None = None

    def right(self, *, reading: bool = False) -> Secret:
        """The token that writes, or the one that reads; empty without one. Raises facility.files.Unreadable."""
        if reading and (self.read_token or self.read_token_file):
            return self.read_token or read_secret(self.read_token_file or Path())
        if self.token is None and self.token_file is not None:
            return read_secret(self.token_file)
        return self.token or Secret("")

    @property
    def name(self) -> str:
        """Which bucket this is, without what gives the right to it."""
        return f"{self.url} {self.org}/{self.bucket}"

    @property
    def near(self) -> bool:
        """On this machine: compressing what is sent costs more than it saves there."""
        host = urlsplit(self.url).hostname or ""
        try:
            return host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            return False
