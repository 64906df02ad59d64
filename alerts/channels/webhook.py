"""A webhook: the page as JSON, posted to an address."""

from __future__ import annotations

import email.utils
from dataclasses import dataclass, field

import msgspec
import urllib3

from alerts.channels.channel import DeliveryError, address_secrets, redacted, reveal
from alerts.page import Page
from facility.secret import Secret

TRY_LATER = (408, 429)


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that takes POST requests; the token, if any, goes along as a bearer token. Redirects are not followed."""

    url: str | Secret = field(repr=False)
    token: str | Secret | None = field(default=None, repr=False)
    timeout_s: float = 10.0

    def send(self, page: Page) -> None:
        """Post the page; a DeliveryError is permanent for 3xx, and for 4xx but 408 and 429."""
        if not reveal(self.url).lower().startswith(("http://", "https://")):
            raise DeliveryError("webhook without a valid address", "It starts with https:// or http://", permanent=True)
        headers = {"Content-Type": "application/json", "User-Agent": "renrum", "Idempotency-Key": page.key}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {reveal(self.token)}"
        body = msgspec.json.encode(page.document())
        timeout = urllib3.Timeout(total=self.timeout_s)
        try:
            with urllib3.PoolManager(retries=False, timeout=timeout) as pool:
                answer = pool.request("POST", reveal(self.url), body=body, headers=headers, redirect=False, preload_content=False)
                said = answer.read(2048).decode(errors="replace") if answer.status >= 300 else ""
                answer.close()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            hint = "Check the address, and that this machine reaches it"
            raise DeliveryError(f"webhook {self._host()}: {self._safe(str(error))}", hint) from None
        if answer.status >= 300:
            hint = "Redirects are not followed: configure the final address" if answer.status < 400 else ""
            raise DeliveryError(
                self._safe(f"webhook {self._host()} answered {answer.status} {said}"),
                hint,
                permanent=answer.status < 500 and answer.status not in TRY_LATER,
                retry_after_ns=retry_after_ns(answer.headers.get("Retry-After", ""), answer.headers.get("Date", "")),
            )

    def _host(self) -> str:
        """The only part of the address that is shown."""
        try:
            address = urllib3.util.parse_url(reveal(self.url))
        except urllib3.exceptions.LocationParseError:
            return "without a valid address"
        return f"{address.host}:{address.port}" if address.port else str(address.host)

    def _safe(self, text: str) -> str:
        shown = self._host().split(":")
        return redacted(text, reveal(self.token), *(part for part in address_secrets(reveal(self.url)) if part not in shown))


def retry_after_ns(wait: str, sent: str = "") -> int | None:
    """The wait that a Retry-After header asks for: seconds, or a date, counted from the answer's own Date (RFC 9110, 10.2.3)."""
    if wait.strip().isascii() and wait.strip().isdigit():
        return int(wait) * 10**9
    try:
        until, since = email.utils.parsedate_to_datetime(wait), email.utils.parsedate_to_datetime(sent)
        return max(0, int((until - since).total_seconds())) * 10**9
    except (ValueError, TypeError):
        return None
