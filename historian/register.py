"""Points by number as InfluxDB knows them: names, site and units, as the journal's configurations say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import pyarrow as pa

from facility.site import Facility
from historian.lines import heads, line
from historian.schema import HOUR, MINUTE, POINT_INFO, READING, ROOM_STATE
from ingest.journal.entries import CONFIGURATION, ConfigurationBody, State, decode
from ingest.journal.journal import Entry

FacilityOf = Callable[[ConfigurationBody], Facility]


class Register:
    """Grows by one configuration after the other, in the journal's order."""

    def __init__(self, facility_of: FacilityOf) -> None:
        self._facility_of = facility_of
        self.names: list[str] = []
        self.site = ""

    def configure(self, entry: Entry) -> tuple[bytes, ...]:
        """Take a configuration; gives the lines that describe its points."""
        body = decode(entry)
        assert entry.kind == CONFIGURATION
        assert isinstance(body, ConfigurationBody)
        facility = self._facility_of(body)
        self.site = facility.site.id
        self.names += [""] * (max(body.points.values(), default=-1) + 1 - len(self.names))
        for point, number in body.points.items():
            self.names[number] = point
        for known in ("readings", "minutes", "hours"):
            self.__dict__.pop(known, None)
        return _described(facility, entry.at)

    @cached_property
    def readings(self) -> pa.Array:
        return heads(READING, self.names, self.site)

    @cached_property
    def minutes(self) -> pa.Array:
        return heads(MINUTE, self.names, self.site)

    @cached_property
    def hours(self) -> pa.Array:
        return heads(HOUR, self.names, self.site)

    def states(self, states: Sequence[State], received: int) -> tuple[bytes, ...]:
        """The lines of room states of one journal entry."""
        return tuple(
            line(ROOM_STATE, {"place": state.place, "site": self.site}, {"state": state.state, "received": received}, state.time)
            for state in states
        )


def _described(facility: Facility, at: int) -> tuple[bytes, ...]:
    return tuple(
        line(
            POINT_INFO,
            {"point": point.id, "site": facility.site.id},
            {
                "name": point.name,
                "room": point.room,
                "zone": point.zone or "",
                "grade": point.grade or "",
                "quantity": point.quantity,
                "unit": point.unit,
            },
            at,
        )
        for point in facility.points
    )
