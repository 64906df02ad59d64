"""Whatever Apprise reaches: chat, push, SMS gateways, voice; one address a channel."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import apprise

from alerts.channels.channel import DeliveryError, address_secrets, redacted, reveal
from alerts.pages.page import TEST, Page
from facility.secret import Secret

_secrets: ContextVar[tuple[str, ...]] = ContextVar("apprise_secrets", default=())


def _redact(record: logging.LogRecord) -> bool:
    """Apprise logs addresses with their tokens: pass only what is said while we send, without them."""
    record.msg, record.args, record.exc_info = redacted(record.getMessage(), *_secrets.get()), (), None
    return bool(_secrets.get())


logging.getLogger("apprise").addFilter(_redact)
# The first use loads every plug-in. Do it now, not when a disk has just failed; some of them import what Python will drop.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    apprise.Apprise.instantiate("json://localhost")


@dataclass(frozen=True, slots=True)
class Apprise:
    """One Apprise address: one service, one recipient (docs of Apprise list them)."""

    url: str | Secret = field(repr=False)

    def send(self, page: Page) -> None:
        """Send by the service; Apprise does not tell a final refusal from a passing one, so only an unknown address is permanent."""
        with self._discreet():
            sender = self._sender()
            if sender is None:
                raise DeliveryError("Apprise does not understand the address", "https://appriseit.com lists the forms", permanent=True)
            weight = apprise.NotifyType.INFO if page.kind == TEST else apprise.NotifyType.FAILURE
            result = sender.notify(body=page.text, title=page.subject, notify_type=weight, body_format=apprise.NotifyFormat.TEXT)
            if not result:  # an AppriseResult: true when delivered, but never `is True`
                said = "; ".join(entry.message for entry in result.logs()) or result.status.name.lower()
                raise DeliveryError(f"apprise: {said}", "Check the address and the service's own log")

    def understood(self) -> bool:
        """Whether Apprise knows the form of the address; nothing is sent."""
        with self._discreet():
            return self._sender() is not None

    @contextmanager
    def _discreet(self) -> Iterator[None]:
        token = _secrets.set(address_secrets(reveal(self.url)))
        try:
            yield
        finally:
            _secrets.reset(token)

    def _sender(self) -> apprise.Apprise | None:
        asset = apprise.AppriseAsset(app_id="Renrum", app_desc="Renrum", async_mode=False, storage_mode="memory")
        sender = apprise.Apprise(asset=asset)
        return sender if sender.add(reveal(self.url)) and len(sender) == 1 else None
