"""Which InfluxDB, and with what right."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from facility.secret import Secret


@dataclass(frozen=True, slots=True)
class Target:
    """A bucket of an InfluxDB 2: `token` writes; `read_token` reads where it is another. `ca_file` None: the system's authorities."""

    url: str
    org: str
    bucket: str
    token: Secret | None = None
    read_token: Secret | None = None
    ca_file: Path | None = None

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
