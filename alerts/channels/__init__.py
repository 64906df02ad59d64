"""The ways to reach people, one small file each: a frozen configuration with `send(page)`."""

from __future__ import annotations

from alerts.channels.channel import Channel, DeliveryError, redacted
from alerts.channels.email import Email
from alerts.channels.local import Local
from alerts.channels.webhook import Webhook

__all__ = ["Channel", "DeliveryError", "Email", "Local", "Webhook", "redacted"]
