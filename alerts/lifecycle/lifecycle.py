"""The life of an alarm after ISA-18.2: one table of transitions, and three flags beside the state."""

from __future__ import annotations

from dataclasses import dataclass

from facility.times import format_time

UNACKNOWLEDGED, ACKNOWLEDGED, RETURNED, NORMAL = "unacknowledged", "acknowledged", "returned", "normal"
LATCHED_UNACKNOWLEDGED, LATCHED_ACKNOWLEDGED = "latched_unacknowledged", "latched_acknowledged"
STATES = (UNACKNOWLEDGED, ACKNOWLEDGED, LATCHED_UNACKNOWLEDGED, LATCHED_ACKNOWLEDGED, RETURNED, NORMAL)
"""`returned`: the condition is over and nobody has acknowledged yet; `latched_…`: it is over and waits for a reset; `normal`: done."""
ACTIVE = (UNACKNOWLEDGED, ACKNOWLEDGED)
"""States in which the condition is there."""

RAISE, RETURN, LATCH = "raise", "return", "latch"
"""The condition is there; it is over; it is over and its rule latches."""
RISE, FALL = "rise", "fall"
"""Of the levels of a rule: to the action level, which is told anew, and back to the alert level, which is only shown."""
ACKNOWLEDGE, RESET = "acknowledge", "reset"
REALARM, ANNUNCIATE = "realarm", "annunciate"
"""Acknowledged for as long as its rule allows, and active still; no flag is set any more, and it stands still."""
TRANSITIONS = {
    (NORMAL, RAISE): UNACKNOWLEDGED,
    (RETURNED, RAISE): UNACKNOWLEDGED,
    (LATCHED_UNACKNOWLEDGED, RAISE): UNACKNOWLEDGED,
    (LATCHED_ACKNOWLEDGED, RAISE): UNACKNOWLEDGED,
    (UNACKNOWLEDGED, RETURN): RETURNED,
    (ACKNOWLEDGED, RETURN): NORMAL,
    (UNACKNOWLEDGED, LATCH): LATCHED_UNACKNOWLEDGED,
    (ACKNOWLEDGED, LATCH): LATCHED_ACKNOWLEDGED,
    (UNACKNOWLEDGED, ACKNOWLEDGE): ACKNOWLEDGED,
    (RETURNED, ACKNOWLEDGE): NORMAL,
    (LATCHED_UNACKNOWLEDGED, ACKNOWLEDGE): LATCHED_ACKNOWLEDGED,
    (LATCHED_UNACKNOWLEDGED, RESET): RETURNED,
    (LATCHED_ACKNOWLEDGED, RESET): NORMAL,
    (UNACKNOWLEDGED, RISE): UNACKNOWLEDGED,
    (ACKNOWLEDGED, RISE): UNACKNOWLEDGED,
    (UNACKNOWLEDGED, FALL): UNACKNOWLEDGED,
    (ACKNOWLEDGED, FALL): ACKNOWLEDGED,
    (ACKNOWLEDGED, REALARM): UNACKNOWLEDGED,
    (UNACKNOWLEDGED, ANNUNCIATE): UNACKNOWLEDGED,
    (ACKNOWLEDGED, ANNUNCIATE): UNACKNOWLEDGED,
    (LATCHED_UNACKNOWLEDGED, ANNUNCIATE): LATCHED_UNACKNOWLEDGED,
}
ANEW = frozenset({RAISE, RISE, REALARM, ANNUNCIATE})
"""Transitions after which an alarm waits for its acknowledgement anew. All are told, but where late readings show one open again."""

SHELVE, UNSHELVE = "shelve", "unshelve"
SUPPRESS, REVEAL = "suppress", "reveal"
TAKE_OUT, PUT_BACK = "out_of_service", "return_to_service"
FLAGS = {SHELVE: "shelved", SUPPRESS: "suppressed", TAKE_OUT: "out_of_service"}
"""What sets each flag; UNSHELVE, REVEAL, PUT_BACK take it away. They change no state: only who is told."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm: one for each excursion, one for all that overlap of a rule with `levels`, and of one that latches all until its reset.

    Times are int ns UTC. `rule` is the id as the rules file has it, without a level. `excursion`, `level` and `priority` are those of the
    highest level that is open, and when it is over of the highest that there was. `risen_at` is when it was last told anew, at a higher
    level or again; `retold` how often it was told again of what it had been told of; `realarm_at` when it will be, unless it is over.
    The flags: `shelved_until` (None: not shelved) with who, when and why; `suppressed` the state of the room that does it, else empty;
    `out_until` the end of its point's time out of service, else None.
    `group` is what it was told in last, empty where by itself.
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
    realarm_at: int | None = None
    retold: int = 0
    shelved_until: int | None = None
    shelved_at: int | None = None
    shelved_by: str = ""
    shelved_reason: str = ""
    shelved_signed: bool = False
    suppressed: str = ""
    out_until: int | None = None
    group: str = ""

    @property
    def flags(self) -> tuple[str, ...]:
        """Those that are set."""
        held = (self.shelved_until is not None, bool(self.suppressed), self.out_until is not None)
        return tuple(flag for flag, is_set in zip(FLAGS.values(), held, strict=True) if is_set)

    @property
    def annunciated(self) -> bool:
        """Whether people are told of it: none of the flags is set."""
        return not self.flags

    @property
    def active(self) -> bool:
        """Whether the condition is there."""
        return self.state in ACTIVE

    def described(self) -> str:
        """State and flags in words, for the audit trail; the state stands before the first comma."""
        parts = [self.state]
        if self.shelved_until is not None:
            parts.append(f"shelved until {format_time(self.shelved_until)}")
        if self.suppressed:
            parts.append(f"suppressed in {self.suppressed}")
        if self.out_until is not None:
            parts.append(f"out of service until {format_time(self.out_until)}")
        return ", ".join(parts)


def after(state: str, event: str) -> str | None:
    """The state that an event leads to; None where it changes nothing."""
    return TRANSITIONS.get((state, event))
