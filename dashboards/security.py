"""What keeps other web sites out, with users and without: names of the host, same-origin writes, headers.

Who may do what is dashboards.access; here it is about the browser of somebody who may, driven by a foreign page. Three guards, each for
one way in:

- *DNS rebinding* (a foreign name that resolves to 127.0.0.1): the Host header must be a loopback name or the public one.
- *Cross-site writes*: a browser says where a request comes from. `Sec-Fetch-Site` must be `same-origin`; a browser without it sends
  `Origin`, which must be this host. A request with neither comes from a program, and must then be `application/json`: a form
  cannot send that, and a script's fetch with it needs a preflight, which nothing here answers.
- *Framing and injection*: Content-Security-Policy and its kin.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards.problems_json import ProblemError, problem

BODY_BYTES_MAX = 16_384
PROBES = ("/healthz", "/readyz")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # not `no-referrer`: with that, browsers send `Origin: null` with our own forms
    "Referrer-Policy": "same-origin",
}


class Guard:
    """ASGI middleware that refuses what a foreign web site could have caused, and sets the security headers on every answer."""

    def __init__(self, app: ASGIApp, public_url: str = "", host: str = "", users: bool = False) -> None:
        self.app = app
        self.host, self.users = host, users
        self.public_origin = _origin(public_url)
        self.public_name = urlsplit(public_url).hostname or ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
                if scope["scheme"] == "https":  # from here on browsers never ask in the clear
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        headers = Headers(scope=scope)
        refused = self._host_refused(headers, scope["path"]) or self._write_refused(scope["method"], headers)
        await (problem(*refused) if refused else self.app)(scope, receive, send_guarded)

    def _host_refused(self, headers: Headers, path: str) -> tuple[int, str] | None:
        # probes and programs call the service by whatever name their network has for it
        if (path in PROBES and self.users) or self._with_token(headers):
            return None
        try:
            name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        except ValueError:
            name = ""
        if is_loopback(name) or (name and name in (self.public_name, self.host.lower())):
            return None
        return 421, "The Host header is neither a loopback name nor the host of http.public_url; use the address from the configuration."

    def _with_token(self, headers: Headers) -> bool:
        """Whether a program asks: no browser adds a token by itself. It is for dashboards.access to know the token."""
        return self.users and headers.get("authorization", "").lower().startswith("bearer ")

    def _write_refused(self, method: str, headers: Headers) -> tuple[int, str] | None:
        if method in SAFE_METHODS or self._with_token(headers):
            return None
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None:
            allowed = site == "same-origin"
        elif origin is not None:
            host = headers.get("host", "")
            ours = (_origin(f"http://{host}"), _origin(f"https://{host}"), self.public_origin)
            allowed = _origin(origin) is not None and _origin(origin) in ours
        else:
            allowed = headers.get("content-type", "").split(";")[0].strip().lower() == "application/json"
        if allowed:
            return None
        return 403, "Changes are accepted from this console's own pages, or as application/json from programs; this came from elsewhere."


async def body_of(request: Request) -> bytes:
    """The whole body, refused as soon as it is larger than BODY_BYTES_MAX."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise ProblemError(413, "too-large", "The body is too large", f"At most {BODY_BYTES_MAX} bytes are taken.")
    return body


def is_loopback(name: str) -> bool:
    """Whether a host name or address is the machine itself.

    >>> is_loopback("localhost"), is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("em.example.org")
    (True, True, True, False)
    """
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, name and port of an address, with the scheme's usual port filled in; None for no address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or {"http": 80, "https": 443}.get(parts.scheme)
