"""Asking a running service over HTTP to do what only it can do."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field, replace
from typing import Any

from facility.secret import Secret
from service.settings.settings import Settings

_PATIENCE_S = 600.0
"""A large readmission takes its time; what it did is durable whether we hear of it or not."""
_SESSION = "/api/v1/session"
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class NotDone(Exception):
    """The service did not do it; the text says why, and what to do. `status` is that of HTTP, 0 where there was no answer."""

    def __init__(self, words: str, status: int = 0) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True, slots=True)
class Running:
    """A running service: where it listens, and the token that it wants, or the session (its cookie) of a person who signed in."""

    url: str
    token: Secret | None = None
    session: Secret | None = None
    trust: ssl.SSLContext = field(default_factory=ssl.create_default_context, repr=False)

    @property
    def opener(self) -> urllib.request.OpenerDirector:
        """Opens its addresses, past any proxy."""
        return urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.trust))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The answer to a POST; raises NotDone."""
        return self._answer("POST", path, body)[0]

    def get(self, path: str) -> Any:
        """The answer to a GET; raises NotDone."""
        return self._answer("GET", path)[0]

    def signed_in(self, user: str, password: Secret) -> tuple[Running, Any]:
        """The same service with a session of this person, and what it says of who that is; raises NotDone."""
        who, cookie = self._answer("POST", _SESSION, {"user": user, "password": password.reveal()})
        return replace(self, token=None, session=Secret(cookie.partition(";")[0])), who

    def with_password(self, old: Secret, new: Secret) -> Running:
        """The same with the session that follows when its person chooses another password; raises NotDone."""
        body = {"old_password": old.reveal(), "new_password": new.reveal()}
        cookie = self._answer("POST", f"{_SESSION}/password", body)[1]
        return replace(self, session=Secret(cookie.partition(";")[0]))

    def sign_out(self) -> None:
        """End the session; raises NotDone."""
        self._answer("DELETE", _SESSION)

    def _answer(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[Any, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token.reveal()}"
        elif self.session is not None:
            headers["Cookie"] = self.session.reveal()
        data = None if body is None else json.dumps(body).encode()
        try:
            request = urllib.request.Request(f"{self.url.rstrip('/')}{path}", data, headers, method=method)
            with self.opener.open(request, timeout=_PATIENCE_S) as answer:
                return json.loads(answer.read() or "null"), answer.headers.get("Set-Cookie", "")
        except urllib.error.HTTPError as error:
            with error:
                raise NotDone(f"{self.url}: {_problem(error)}", error.code) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            address = self.url or "an empty address"
            raise NotDone(f"{address} does not answer: {reason}. Is it the service's address? --url gives another.") from None


def running_service(settings: Settings | None, url: str | None, token: Secret | None) -> Running:
    """The service of a configuration, or the one at `url`. On this machine its very certificate is trusted, whatever name it is for.

    At a `url` it is trusted for its own name: a password goes there.
    """
    trust = ssl.create_default_context()
    if settings is not None and settings.http.tls is not None:
        trust.check_hostname = url is not None
        trust.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        trust.load_verify_locations(settings.http.tls.cert_file)
    if url is None:
        assert settings is not None
        http = settings.http
        host = _ANYWHERE.get(http.host, http.host)
        url = f"{http.scheme}://{f'[{host}]' if ':' in host else host}:{http.port}"
    return Running(url, token, trust=trust)


def _problem(error: urllib.error.HTTPError) -> str:
    """What a problem document says (RFC 9457)."""
    try:
        said = json.loads(error.read())
        return f"{said['title']}: {said['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"it answered {error.code} {error.reason}"
