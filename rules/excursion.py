"""An excursion: one row of what was out of limits, from its first breaching reading to its clearing."""

from __future__ import annotations

from dataclasses import dataclass

CURRENT, REVISED, SUPERSEDED = "current", "revised", "superseded"
COLUMNS = (
    "rule", "point", "level", "onset", "raised", "ended", "cleared", "peak", "readings",
    "id", "revision", "status", "late", "zone", "room", "occupancy", "limit", "unit", "closed_by", "config",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Excursion:
    """One excursion in the columns of docs/rules.md, in their order.

    Times are int ns UTC, None while open; `peak` and `limit` are float64 in `unit`, None where the kind has none;
    `status` is current, revised or superseded; `closed_by` is empty, `configuration` or `out_of_service`; `late` marks one that late data
    showed.
    """

    rule: str
    point: str
    level: str
    onset: int
    raised: int
    ended: int | None = None
    cleared: int | None = None
    peak: float | None = None
    readings: int = 0
    id: str = ""
    revision: int = 0
    status: str = CURRENT
    late: bool = False
    zone: str = ""
    room: str = ""
    occupancy: str = ""
    limit: float | None = None
    unit: str = ""
    closed_by: str = ""
    config: str = ""

    @property
    def open(self) -> bool:
        return self.cleared is None
