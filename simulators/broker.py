"""Where simulators and playbacks publish."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

PORTS = {"mqtt": 1883, "mqtts": 8883}
ALLOWED = "a URL such as mqtt://127.0.0.1:1883 or mqtts://renrum@broker.example.org"


class BrokerUnreachable(Exception):
    """The broker refused us, or stayed away too long; the text says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker's address and who we are there."""

    host: str
    port: int = 1883
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


def parse_broker(url: str, password: str | None = None) -> Broker:
    """Read `mqtt://[user[:password]@]host[:port]` (`mqtts://` for TLS); `password` is used where the URL has none.

    ValueError says what is allowed.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(ALLOWED) from None
    if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/") or parts.query or port == 0:
        raise ValueError(ALLOWED)
    user = None if parts.username is None else unquote(parts.username)
    own = None if parts.password is None else unquote(parts.password)
    return Broker(parts.hostname, port or PORTS[parts.scheme], user, password if own is None else own, parts.scheme == "mqtts")
