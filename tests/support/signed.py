"""An act as who signs it sends it."""

from __future__ import annotations

from msgspec import structs

from alerts.alarms import Alarms
from alerts.lifecycle.flags import act_digest
from alerts.record.store import StateStore
from ingest.journal.entries import ActionBody


def signed_over(store: StateStore, body: ActionBody) -> ActionBody:
    """The act, signed over its alarm as it stands."""
    alarm = Alarms(store).find(body.target)
    assert alarm is not None
    body = structs.replace(body, meaning="responsibility")
    return structs.replace(body, digest=act_digest(alarm, body))
