"""The life of an alarm: one table of transitions (ISA-18.2 without shelving and latching)."""

from __future__ import annotations

from dataclasses import dataclass

UNACKNOWLEDGED, ACKNOWLEDGED, RETURNED, NORMAL = "unacknowledged", "acknowledged", "returned", "normal"
STATES = (UNACKNOWLEDGED, ACKNOWLEDGED, RETURNED, NORMAL)
"""`returned`: the condition is over and nobody has acknowledged yet; `normal`: over and acknowledged."""

RAISE, RETURN, ACKNOWLEDGE = "raise", "return", "acknowledge"
RISE, FALL = "rise", "fall"
"""Of the levels of a rule: to the action level, which is told anew, and back to the alert level, which is only shown."""
TRANSITIONS = {
    (NORMAL, RAISE): UNACKNOWLEDGED,
    (RETURNED, RAISE): UNACKNOWLEDGED,
    (UNACKNOWLEDGED, RETURN): RETURNED,
    (ACKNOWLEDGED, RETURN): NORMAL,
    (UNACKNOWLEDGED, ACKNOWLEDGE): ACKNOWLEDGED,
    (RETURNED, ACKNOWLEDGE): NORMAL,
    (UNACKNOWLEDGED, RISE): UNACKNOWLEDGED,
    (ACKNOWLEDGED, RISE): UNACKNOWLEDGED,
    (UNACKNOWLEDGED, FALL): UNACKNOWLEDGED,
    (ACKNOWLEDGED, FALL): ACKNOWLEDGED,
}


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm: one for each excursion, and one for all that overlap of a rule with `levels`. Times are int ns UTC.

    `rule` is the id as the rules file has it, without a level. `excursion`, `level` and `priority` are those of the highest level that is
    open, and when it is over of the highest that there was. `risen_at` is when it was last told anew, at a higher level or again.
    """

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
    risen_at: int | None = None


def after(state: str, event: str) -> str | None:
    """The state that an event leads to; None where it changes nothing."""
    return TRANSITIONS.get((state, event))
