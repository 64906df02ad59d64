"""A webhook: the page as JSON, posted to an address."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from alerts.channels.post import post
from alerts.pages.page import Page
from facility.secret import Secret


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that takes POST requests; the token, if any, goes along as a bearer token. Redirects are not followed."""

    url: str | Secret = field(repr=False)
    token: str | Secret | None = field(default=None, repr=False)
    timeout_s: float = 10.0

    def send(self, page: Page) -> None:
        """Post the page; a DeliveryError is permanent for 3xx, and for 4xx but 408 and 429."""
        post("webhook", self.url, "", msgspec.json.encode(page.document()), self.token, self.timeout_s, page.key)
