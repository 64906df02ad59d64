"""What lies in InfluxDB: measurements, tags and fields. Whoever writes or queries them takes the names from here.

Only what makes a series stands in tags, so that a renamed room doubles none. Times are in ns; fields of times are int ns UTC.
"""

from __future__ import annotations

from dataclasses import dataclass

FLOAT, INT, BOOL, STRING = "float", "int", "bool", "string"

SITE, POINT, PLACE, RULE, REVISION = "site", "point", "place", "rule", "revision"
"""The tags."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measurement: its tags in the order in which they are written, its fields and their types, what `time` is."""

    name: str
    tags: tuple[str, ...]
    fields: dict[str, str]
    time: str

    def __str__(self) -> str:
        return self.name


_WINDOW = {"min": FLOAT, "mean": FLOAT, "max": FLOAT, "count": INT, "total": INT, "worst": INT}
"""`min`, `mean`, `max` of the good and uncertain readings, absent without any; `count` how many those are, `total` all; `worst` quality."""

READING = Measurement("reading", (POINT, SITE), {"value": FLOAT, "quality": INT, "received": INT}, "of the reading")
"""`value` in the point's unit, absent where there was no finite number; `quality` 0 good, 1 uncertain, 2 bad."""
MINUTE = Measurement("reading_1m", (POINT, SITE), _WINDOW, "the start of the UTC minute")
HOUR = Measurement("reading_1h", (POINT, SITE), _WINDOW, "the start of the UTC hour")
POINT_INFO = Measurement(
    "point",
    (POINT, SITE),
    dict.fromkeys(("name", "room", "zone", "grade", "quantity", "unit"), STRING),
    "when the configuration took force",
)
"""Empty text for none."""
ROOM_STATE = Measurement("room_state", (PLACE, SITE), {"state": STRING, "received": INT}, "of the state")
EXCURSION = Measurement(
    "excursion",
    (POINT, REVISION, RULE, SITE),
    {
        "id": STRING, "status": STRING, "level": STRING, "room": STRING, "zone": STRING, "occupancy": STRING,
        "raised": INT, "ended": INT, "cleared": INT, "peak": FLOAT, "limit": FLOAT, "readings": INT, "late": BOOL,
        "unit": STRING, "closed_by": STRING, "config": STRING, "updated": INT,
    },
    "the onset; the few that share one with an earlier excursion of the same rule and point lie a ns apart",
)  # fmt: skip
"""`ended`, `cleared`, `peak`, `limit` are absent where there is none; a row is written again as its excursion grows."""
ALARM = Measurement(
    "alarm",
    (POINT, RULE, SITE),
    {
        "alarm": STRING, "transition": STRING, "from": STRING, "to": STRING,
        "actor": STRING, "level": STRING, "priority": STRING, "comment": STRING,
    },
    "the transition; those of one rule and point at the same moment lie a ns apart",
)  # fmt: skip

MEASUREMENTS = (READING, MINUTE, HOUR, POINT_INFO, ROOM_STATE, EXCURSION, ALARM)
QUALITIES = (0, 1, 2)
"""Of `quality` and `worst`: good, uncertain, bad."""
