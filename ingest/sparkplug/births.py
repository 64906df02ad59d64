"""From a birth to what its metrics are: names, aliases, datatypes, units, and the points that they report."""

from __future__ import annotations

from collections.abc import Mapping

from facility.site import Facility
from facility.sources.sparkplug import Metrics, SparkplugSource
from ingest.arrivals import Reason
from ingest.decoding.topics import NEVER_NS, Addressed
from ingest.sparkplug.metric import Definition, unit_fault, unit_of
from ingest.sparkplug.node import Born
from ingest.sparkplug.payload import Metric, Payload


class Births:
    """Reads births for one facility. `taken` remembers which metric reports a point, by its number."""

    def __init__(self, facility: Facility, number_of: Mapping[str, int]) -> None:
        self._points = {
            point.id: Addressed(number_of[point.id], point, NEVER_NS if point.retired_ns is None else point.retired_ns)
            for point in facility.measured
        }
        self._taken: dict[int, tuple[str, str]] = {}

    def read(self, metrics: Metrics, source: str, node: str, device: str, payload: Payload) -> Born:
        """The metrics of a birth; ValueError when a name is no text."""
        by_name: dict[str, Definition] = {}
        by_alias: dict[int, Definition] = {}
        ambiguous: set[int] = set()
        for metric in payload.metrics:
            if not isinstance(metric.name, str):
                raise ValueError(f"the name {metric.name!r} is no UTF-8")
            definition = by_name[metric.name] = self._definition(metrics, source, node, device, metric, metric.name)
            if metric.HasField("alias"):
                known = by_alias.setdefault(metric.alias, definition)
                if known.name != definition.name:
                    ambiguous.add(metric.alias)
        for alias in ambiguous:  # which of the two is meant is not known: then it is nothing
            del by_alias[alias]
        numbers = {own.addressed.number for own in by_name.values() if own.addressed is not None and own.why is None}
        return Born(by_alias, by_name, tuple(sorted(numbers)))

    def let_go(self, source: str) -> None:
        """The source is dead: its points may be reported by others."""
        gone = [number for number, (owner, _) in self._taken.items() if owner == source or owner.startswith(f"{source}/")]
        for number in gone:
            del self._taken[number]

    def _definition(self, metrics: Metrics, source: str, node: str, device: str, metric: Metric, name: str) -> Definition:
        found = metrics.of(node, device, name)
        if found is None:
            return Definition(name, metric.datatype)
        point, unit = found
        addressed = self._points.get(point)
        if addressed is None:
            return Definition(name, metric.datatype, why=(Reason.POINT_UNKNOWN, f"no point {point} in the facility file"))
        unit = unit or unit_of(metric)
        why = unit_fault(unit, addressed.point.unit) if unit else None
        owner = self._taken.setdefault(addressed.number, (source, name))
        if owner != (source, name):
            why = (Reason.POINT_TAKEN, f"{point} is reported by {owner[1]} of {owner[0]} already")
        return Definition(name, metric.datatype, addressed, unit, why)


def groups_of(sources: tuple[SparkplugSource, ...]) -> dict[str, tuple[SparkplugSource, Metrics]]:
    """By group id: its settings, and all metrics of it in the order of the file."""
    groups: dict[str, tuple[SparkplugSource, Metrics]] = {}
    for source in sources:
        metrics = [metric for other in sources if other.group == source.group for metric in other.metrics]
        groups.setdefault(source.group, (source, Metrics(metrics)))
    return groups
