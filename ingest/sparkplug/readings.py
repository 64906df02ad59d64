"""From the metrics of a message to rows: those of ours to columns or quarantine, each by itself; the others are counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from ingest.arrivals import Arrivals, Quarantined, Raw
from ingest.decoding.topics import NotUnderstood, readable
from ingest.sparkplug.metric import Definition, row_of
from ingest.sparkplug.node import Born
from ingest.sparkplug.payload import Metric, Payload, only

_KEPT_NAMES = 100
Named = tuple[Metric, Definition]


def of_birth(payload: Payload, born: Born) -> Iterator[Named]:
    """A birth's own metrics."""
    return ((metric, born.by_name[str(metric.name)]) for metric in payload.metrics)


def take_readings(named: Iterable[Named], payload: Payload, topic: str, index: int, arrivals: Arrivals) -> None:
    """Add every reading of a message with that topic and index in the batch; a metric is kept with its name and datatype."""
    for metric, definition in named:
        if definition.addressed is None and definition.why is None:
            name = readable(definition.name) if len(arrivals.ignored_keys) < _KEPT_NAMES else "…"
            arrivals.ignored_keys[name] = arrivals.ignored_keys.get(name, 0) + 1
            continue
        alone = partial(only, payload, metric, definition.name, definition.datatype)
        try:
            row = row_of(metric, definition, payload)
        except NotUnderstood as why:
            arrivals.quarantine.append(Quarantined(topic, alone(), why.reason, why.detail))
            continue
        if row.raw is not None:
            arrivals.raw.append(Raw(len(arrivals.point), row.raw.value, row.raw.unit))
        arrivals.parts[len(arrivals.point)] = alone
        arrivals.add(row.number, row.time, row.value, row.quality, -1, index)
