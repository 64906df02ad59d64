"""The life of an alarm: one table of transitions (ISA-18.2 without shelving and latching)."""

from __future__ import annotations

from dataclasses import dataclass

UNACKNOWLEDGED, ACKNOWLEDGED, RETURNED, NORMAL = "unacknowledged", "acknowledged", "returned", "normal"
STATES = (UNACKNOWLEDGED, ACKNOWLEDGED, RETURNED, NORMAL)
"""`returned`: the condition is over and nobody has acknowledged yet; `normal`: over and acknowledged."""

RAISE, RETURN, ACKNOWLEDGE = "raise", "return", "acknowledge"
TRANSITIONS = {
    (NORMAL, RAISE): UNACKNOWLEDGED,
    (RETURNED, RAISE): UNACKNOWLEDGED,
    (UNACKNOWLEDGED, RETURN): RETURNED,
    (ACKNOWLEDGED, RETURN): NORMAL,
    (UNACKNOWLEDGED, ACKNOWLEDGE): ACKNOWLEDGED,
    (RETURNED, ACKNOWLEDGE): NORMAL,
}


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm: one for each excursion. Times are int ns UTC."""

    id: str
    excursion: str
    rule: str
    point: str
    level: str
    priority: str
    state: str
    late: bool
    raised_at: int
    returned_at: int | None = None
    acknowledged_at: int | None = None
    acknowledged_by: str = ""
    comment: str = ""


def after(state: str, event: str) -> str | None:
    """The state that an event leads to; None where it changes nothing."""
    return TRANSITIONS.get((state, event))
