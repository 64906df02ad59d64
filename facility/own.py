"""The points at which the service measures itself: part of a facility as soon as a rule names one of them.

Their ids and that of their place start with `$`, which no file may give. A glob fits them only when it starts with `$`, too, and a rule
that selects no point or room never does: as `#` in MQTT fits no topic of the broker's own.
"""

from __future__ import annotations

from dataclasses import replace

from facility.site import SECOND_NS, Facility, Place, Point

OWN = "$"
PLACE = Place("$pipeline", "Pipeline")
PERIOD_NS = 60 * SECOND_NS
VERIFY_OK = "$verify.ok"
DELIVERIES_FAILING = "$deliveries.failing"
TESTS_MISSED = "$oncall.missed"
NEWEST = 1
"""The number of the newest set of points: a configuration keeps the one that it was read with."""


def _point(id: str, quantity: str, unit: str, name: str) -> Point:
    return Point(id, quantity, unit, PLACE.id, name=name, period_ns=PERIOD_NS)


_SETS: dict[int, tuple[Point, ...]] = {
    0: (),
    1: (
        _point("$broker.link", "link", "1", "Broker delivers"),
        _point("$ingest.lag", "duration", "s", "A message from the broker to the journal"),
        _point("$ingest.lost", "count", "1", "Received, and neither stored nor duplicate nor in quarantine"),
        _point("$journal.latency", "duration", "s", "Slowest commit to the journal"),
        _point("$steps.lag", "duration", "s", "Since rules were last evaluated"),
        _point("$historian.lag", "duration", "s", "Behind in InfluxDB"),
        _point(DELIVERIES_FAILING, "count", "1", "Pages tried and not delivered"),
        _point(TESTS_MISSED, "count", "1", "On-call tests that nobody acknowledged"),
        _point("$disk.free", "disk_free", "%", "Free on the disk of the data"),
        _point("$disk.days", "disk_days", "d", "Days until that disk is full"),
        _point("$clock.offset", "duration", "s", "Clock against its source"),
        _point("$clock.synchronised", "synchronised", "1", "Clock follows its source"),
        _point(VERIFY_OK, "verified", "1", "Last verify found nothing wrong"),
        _point("$verify.age", "duration", "s", "Since the last verify ended"),
    ),
}


def own_points(number: int = NEWEST) -> tuple[Point, ...]:
    """The points of a set; raises KeyError for a number that this version does not know."""
    return _SETS[number]


def with_own(facility: Facility, number: int = NEWEST) -> Facility:
    """The facility with the service's own points and their place."""
    return replace(facility, places=(*facility.places, PLACE), points=(*facility.points, *own_points(number)))


def without_own(facility: Facility) -> Facility:
    """What instruments measure: no message may speak for the service's own points."""
    if PLACE not in facility.places:
        return facility
    points = tuple(point for point in facility.points if not point.id.startswith(OWN))
    return replace(facility, places=tuple(place for place in facility.places if place != PLACE), points=points)
