"""What every channel is, how it fails, and how secrets stay out of what it says."""

from __future__ import annotations

import base64
import logging
import re
from typing import Protocol
from urllib.parse import quote, quote_plus, unquote

from alerts.pages.page import Page
from facility.secret import Secret

# Their debug lines print whole addresses, and an address is often the secret.
logging.getLogger("urllib3").setLevel(logging.INFO)


class Channel(Protocol):
    """One way to reach one recipient; sends may come from several threads."""

    def send(self, page: Page) -> None:
        """Return when the far end has taken the page; else raise DeliveryError, within the channel's timeouts."""


class DeliveryError(Exception):
    """A page was not delivered: what happened, what to do.

    `permanent` when the far end said a final no, so that trying again soon is no use; `retry_after_ns` is the wait it asked for.
    """

    def __init__(self, problem: str, hint: str = "", *, permanent: bool = False, retry_after_ns: int | None = None) -> None:
        super().__init__(f"{problem}. {hint}" if hint else problem)
        self.problem, self.hint, self.permanent, self.retry_after_ns = problem, hint, permanent, retry_after_ns


def reveal(value: str | Secret | None) -> str:
    """The text behind a configuration value, secret or not; empty for none."""
    return "" if value is None else value if isinstance(value, str) else value.reveal()


def redacted(text: str, *secrets: str) -> str:
    """One line of at most 300 characters in which no secret stands, be it plain, as part of an address, or in base64."""
    forms = {form for secret in secrets if secret for form in _forms(secret)}
    for form in sorted(forms, key=lambda form: (-len(form), form)):
        text = re.sub(re.escape(form), "***", text, flags=re.IGNORECASE)
    return " ".join(text.split())[:300]


def address_secrets(url: str) -> tuple[str, ...]:
    """All that may be secret in an address: the parts of its user, host, path and query, short ones only where a password stands."""
    rest = url.partition("://")[2]
    user, found, _ = rest.rpartition("@")
    parts = set(re.split(r"[/:@?&=#]", user)) if found else set()
    parts |= {part for part in re.split(r"[/:@?&=#,;]", rest) if len(part) >= 4}
    return (*sorted(parts - {""}), rest)


def _forms(secret: str) -> set[str]:
    plain = {secret, unquote(secret)}
    forms = plain | {quote(text, safe="") for text in plain} | {quote(text) for text in plain} | {quote_plus(text) for text in plain}
    return forms | {base64.b64encode(text.encode()).decode() for text in plain}
