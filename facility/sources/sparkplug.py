"""A source that speaks Sparkplug B: which metrics of which edge nodes and devices are which points."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from facility.document import Path, did_you_mean, one_of, shown
from facility.files import Unreadable, beside
from facility.sections import PeriodNs, Section, refused
from facility.site import SECOND_NS
from facility.sources.filters import TopicFilter, parse_filter
from facility.sources.source import Reading, Source, SourceSection
from facility.spreadsheet import read_rows
from facility.units import UnknownUnit, conversion

NAMESPACE = "spBv1.0"
COLUMNS = ("node", "device", "metric", "point", "unit")
LOSSY = "Sparkplug B data is published with QoS 0: what is sent while the service or the broker is away is lost, unless the node buffers it"
_CAPTURE = re.compile(r"\{([a-z][a-z0-9_]*)\}")


def _level(text: str) -> str:
    if re.fullmatch(r"[^/+#\x00]+", text) is None or text == "STATE":
        raise refused("an id without / + #, not STATE")
    return text


Level = Annotated[str, AfterValidator(_level)]
Text = Annotated[str, Field(min_length=1)]


class MetricSection(Section):
    """A metric, or all that a pattern matches: {name} captures what stands there, + is any."""

    metric: Text
    """Its name with its folders, such as Room 1/Temperature or Environment/{tag}; {name} is one level."""
    point: Text
    """A point id; {name} is what was captured."""
    node: Text = "+"
    """Edge node id."""
    device: Text | None = None
    """Device id; without it the metric is the node's own."""
    unit: Text | None = None
    """What is sent; else the metric's property `engUnit` says it, and without that it is the point's unit."""


class SparkplugSection(SourceSection):
    """Edge nodes that speak Sparkplug B."""

    kind: Literal["sparkplug"]
    group: Level
    """Group id of the edge nodes."""
    host_id: Level | None = None
    """Our id as a host application: says on spBv1.0/STATE/<host_id> whether we are online. Without it nothing is said."""
    metrics: list[MetricSection] = Field([])
    metrics_file: Text | None = None
    """CSV with the columns node, device, metric, point and optionally unit: the same as `metrics`."""
    reorder: PeriodNs = 2 * SECOND_NS
    """How long a missing message is waited for before a rebirth is asked for."""
    rebirth_every: PeriodNs = 30 * SECOND_NS
    """A node is asked for a rebirth at most once in this time."""
    birth_within: PeriodNs = 30 * SECOND_NS
    """After a lost link, or a birth of its node: whoever lived and is not born again in this time counts as dead."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric, or a pattern of metrics, and the point it reports; `device` empty for the node's own; `unit` empty where it is not said."""

    node: str
    device: str
    metric: str
    point: str
    unit: str = ""

    @property
    def literal(self) -> bool:
        """Whether it names one metric."""
        return not any(text == "+" or _CAPTURE.search(text) for text in (self.node, self.device, self.metric))

    def expression(self) -> re.Pattern[str]:
        """Matches node, device and metric name, joined by the character 0."""
        return re.compile("\0".join(map(_expression, (self.node, self.device, self.metric))), re.DOTALL)


@dataclass(frozen=True, slots=True)
class SparkplugSource:
    """A group of edge nodes; `host_id` empty where no STATE is published. Durations in ns."""

    id: str
    group: str
    host_id: str
    metrics: tuple[Metric, ...]
    reorder_ns: int
    rebirth_every_ns: int
    birth_within_ns: int
    points: frozenset[str]
    lossy: str = LOSSY

    @property
    def filters(self) -> tuple[TopicFilter, ...]:
        return (parse_filter(f"{NAMESPACE}/{self.group}/#"),)

    @property
    def own_topics(self) -> tuple[str, ...]:
        return (f"{NAMESPACE}/STATE/{self.host_id}",) if self.host_id else ()


class Metrics:
    """Finds what a metric reports: the one that names it, else the first pattern in the file that matches it."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        metrics = tuple(metrics)
        self._named = {(own.node, own.device, own.metric): own for own in metrics if own.literal}
        self._patterns = [(own.expression(), own) for own in metrics if not own.literal]
        self._nodes = [re.compile(_expression(node), re.DOTALL) for node in dict.fromkeys(own.node for own in metrics)]
        self.nodes = tuple(dict.fromkeys(own.node for own in metrics if own.node != "+" and not _CAPTURE.search(own.node)))
        """The nodes that are named."""

    def of(self, node: str, device: str, metric: str) -> tuple[str, str] | None:
        """The id of the point and the unit that is sent (empty: not said); None for a metric that is nobody's."""
        named = self._named.get((node, device, metric))
        if named is not None:
            return named.point, named.unit
        name = "\0".join((node, device, metric))
        for expression, own in self._patterns:
            match = expression.fullmatch(name)
            if match is not None:
                return _filled(own.point, match.groupdict()), own.unit
        return None

    def knows(self, node: str) -> bool:
        """Whether any metric of the node may be one of ours."""
        return any(expression.fullmatch(node) for expression in self._nodes)


def sparkplug_source(section: SparkplugSection, reading: Reading) -> Source | None:
    """Check a section against the facility; None when it maps nothing."""
    given = [(section.at("metrics", number), own) for number, own in enumerate(section.metrics)]
    if section.metrics_file is not None:
        given += _read_file(section, section.metrics_file, reading)
    metrics: dict[tuple[str, str, str], Metric] = {}
    for path, own in given:
        metric = Metric(own.node, own.device or "", own.metric, own.point, own.unit or "")
        key = metric.node, metric.device, metric.metric
        if key in metrics:
            reading.refuse(path, f"the metric {own.metric!r} of {own.node} {own.device or ''} again".replace("  ", " "), "each metric once")
        metrics[key] = metric
        _check(metric, path, reading)
    if not given:
        reading.refuse(section.at("metrics"), "no metric", "`metrics`, or a `metrics_file` with them")
        return None
    fed = [re.compile(_expression(metric.point)) for metric in metrics.values()]
    points = frozenset(point.id for point in reading.facility.points if any(own.fullmatch(point.id) for own in fed))
    return SparkplugSource(
        id=section.id,
        group=section.group,
        host_id=section.host_id or "",
        metrics=tuple(metrics.values()),
        reorder_ns=section.reorder,
        rebirth_every_ns=section.rebirth_every,
        birth_within_ns=section.birth_within,
        points=points,
    )


def one_host(sources: Iterable[Source], reading: Reading) -> None:
    """A connection has one will: all sources have the same host id."""
    ids = list(dict.fromkeys(source.host_id for source in sources if isinstance(source, SparkplugSource)))
    if len(ids) > 1:
        found = f"the host ids {one_of(tuple(shown(id) for id in ids))}"
        reading.refuse(("sources",), found, "the same host_id for every source of the kind sparkplug")


def _check(metric: Metric, path: Path, reading: Reading) -> None:
    captured = [name for text in (metric.node, metric.device, metric.metric) for name in _CAPTURE.findall(text)]
    for name in {name for name in captured if captured.count(name) > 1}:
        reading.refuse(path, f"{{{name}}} twice", "each name once")
    wanted = _CAPTURE.findall(metric.point)
    for name in wanted:
        if name not in captured:
            reading.refuse((*path, "point"), f"{{{name}}}", f"a name that is captured: {one_of(tuple(captured))}")
    points = reading.facility.point_by_id
    if wanted:
        return
    if not metric.literal:
        hint = "Capture what differs and name it in `point`, or name the one metric."
        reading.warn((*path, "point"), f"{metric.point}, which many metrics may report", "one metric for a point", hint)
    point = points.get(metric.point)
    if point is None:
        reading.refuse((*path, "point"), shown(metric.point), "a point of the facility file", did_you_mean(metric.point, tuple(points)))
    elif metric.unit:
        try:
            conversion(metric.unit, point.unit)
        except UnknownUnit as error:
            reading.refuse((*path, "unit"), shown(metric.unit), str(error))


def _read_file(section: SparkplugSection, reference: str, reading: Reading) -> list[tuple[Path, MetricSection]]:
    file, key = beside(reading.name, reference), section.at("metrics_file")
    try:
        rows, problems = read_rows(reading.files, file, COLUMNS, ("node", "metric", "point"))
    except Unreadable as error:
        reading.refuse(key, str(error), f"a CSV file with the columns {', '.join(COLUMNS)}")
        return []
    reading.problems += problems
    given: list[tuple[Path, MetricSection]] = []
    for number, row in enumerate(rows):
        path = (*key, number)
        reading.document.positions[path] = (reading.files.shown(file), row.line)
        cells = {column: text for column in COLUMNS if (text := row.cells.get(column))}
        if {"node", "metric", "point"} <= cells.keys():
            given.append((path, MetricSection.model_validate(cells)))
    return given


def _expression(text: str) -> str:
    """The regular expression of a pattern: + as a whole is anything, {name} is one level."""
    if text == "+":
        return "[^\0]+"
    pieces = _CAPTURE.split(text)
    return "".join(re.escape(piece) if index % 2 == 0 else f"(?P<{piece}>[^/\0]+)" for index, piece in enumerate(pieces))


def _filled(template: str, captured: Mapping[str, str]) -> str:
    return _CAPTURE.sub(lambda match: captured[match[1]], template)
