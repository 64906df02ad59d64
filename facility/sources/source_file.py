"""sources.yaml read and checked: every source by its kind, then what they may not do together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, Any

from pydantic import Field

from facility.document import Block, Path, did_you_mean, one_of, read_document, shown
from facility.files import Files
from facility.problems import Problem
from facility.sections import Section, validated
from facility.site import Facility
from facility.sources.filters import TopicFilter, parse_filter
from facility.sources.json import json_source
from facility.sources.json_sections import JsonSection
from facility.sources.source import Reading, Source, SourceSection
from facility.sources.sparkplug import SparkplugSection, one_host, sparkplug_source

# A further kind joins in two places: its section in AnySource, and in KINDS with what makes a Source of it.
AnySource = Annotated[JsonSection | SparkplugSection, Field(discriminator="kind")]
Build = Callable[[Any, Reading], Source | None]
KINDS: dict[str, tuple[type[SourceSection], Build]] = {
    "json": (JsonSection, json_source),
    "sparkplug": (SparkplugSection, sparkplug_source),
}


class SourcesSection(Section):
    """sources.yaml: foreign payloads, and which points they feed."""

    sources: list[AnySource]
    """Each message is read by one source: no topic may match two."""


class SourcesOutline(Section):
    """The same with its sources unread: each is read by its kind."""

    sources: list[Any]


@dataclass(frozen=True, slots=True)
class SourcesRead:
    """The sources without what is wrong, what is wrong, and what looks like a mistake."""

    sources: tuple[Source, ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def read_sources(files: Files, name: str, facility: Facility) -> SourcesRead:
    """Read and check a sources file against the facility (its points, where it has any); raises Unreadable."""
    document, problems = read_document(files, name)
    if problems and not document.value:
        return SourcesRead(problems=tuple(problems))
    outline, faults = validated(SourcesOutline, document, stand_ins={"sources": []})
    reading = Reading(files, name, document, facility.as_measured, problems=[*problems, *faults])
    sources: list[tuple[Path, Source]] = []
    ids: dict[str, Path] = {}
    for number, block in enumerate(outline.sources if outline else []):
        source = _source(reading, ("sources", number), block)
        if source is None:
            continue
        path = ("sources", number)
        first = ids.setdefault(source.id, path)
        if first != path:
            reading.refuse((*path, "id"), f"{source.id!r} again", "each source id once")
        sources.append((path, source))
    _check_overlaps(reading, sources)
    one_host([source for _, source in sources], reading)
    _check_points(reading, [source for _, source in sources], facility)
    return SourcesRead(tuple(source for _, source in sources), tuple(dict.fromkeys(reading.problems)), tuple(reading.warnings))


def _source(reading: Reading, path: Path, block: Any) -> Source | None:
    if not isinstance(block, Block):
        reading.refuse(path, shown(block), "a mapping with a `kind`")
        return None
    kind = block.get("kind")
    known = KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        found = "no key 'kind'" if kind is None else shown(kind)
        reading.refuse((*path, "kind"), found, one_of(tuple(KINDS)), did_you_mean(kind, tuple(KINDS)) if kind else "")
        return None
    model, build = known
    section, faults = validated(model, reading.document, block)
    reading.problems += faults
    reading.partial = bool(faults)
    return None if section is None else build(section, reading)


def _check_overlaps(reading: Reading, sources: list[tuple[Path, Source]]) -> None:
    """No message may be for two sources, nor for a source and ourselves."""
    ours = own_filter(reading.facility)
    filters = [(path, source, filter) for path, source in sources for filter in source.filters]
    for path, _, filter in filters:
        if filter.overlaps(ours):
            allowed = f"a filter that matches no topic of {ours.subscription}, which Renrum reads itself"
            reading.refuse((*path, "topic"), shown(filter.text), allowed)
    for (path, one, filter), (other_path, _, other_filter) in combinations(filters, 2):
        if filter.overlaps(other_filter):
            file, line = reading.document.position((*path, "topic"))
            found = f"{other_filter.text!r}, which overlaps {filter.text!r} of {one.id} in {file}:{line}"
            reading.refuse((*other_path, "topic"), found, "filters of which at most one matches a message")


def _check_points(reading: Reading, sources: list[Source], facility: Facility) -> None:
    """Warn of points that two sources feed, and of those that none does in a room or zone of which a source feeds others."""
    fed: dict[str, str] = {}
    for source in sources:
        for point in sorted(source.points):
            if point in fed:
                found = f"{point}, which {fed[point]} and {source.id} feed"
                reading.warn(("sources",), found, "one source for a point", "The first reading of a time stands, another is a conflict.")
            fed[point] = source.id
    places = {point.zone or point.room for point in facility.points if point.id in fed}
    points = (point for point in facility.measured if (point.zone or point.room) in places)
    left = tuple(point.id for point in points if point.id not in fed and point.retired_ns is None)
    if left:
        many = f"{len(left)} points that no source feeds: {one_of(left, 8)}" if len(left) > 1 else f"{left[0]}, which no source feeds"
        reading.warn(("sources",), many, f"this, for what reports on renrum/{facility.site.id}/<room>/<point> itself")


def own_filter(facility: Facility) -> TopicFilter:
    """What Renrum reads without any source."""
    return parse_filter(f"renrum/{facility.site.id}/+/+")
