"""The journal against InfluxDB, by point and UTC day: how many readings, and sums over what they say that do not depend on their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facility.reading import BAD, Readings
from historian.columns import FieldColumns

DAY_NS = 86_400 * 10**9
FIELDS = ("quality", "value", "received")
"""Each is compared by itself; every reading has the first."""
_POINTS = 1 << 32

Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Difference:
    """A point's day (int ns UTC of its start) that is not the same: readings on either side, and which fields say something else."""

    point: str
    day: int
    journal: int
    influxdb: int
    fields: tuple[str, ...]


@dataclass(slots=True)
class Tallies:
    """By point and day, for each field: how many, and the sum (modulo 2^64) of a hash of time and value, bit for bit."""

    sums: dict[str, dict[Key, tuple[int, int]]] = field(default_factory=lambda: {name: {} for name in FIELDS})

    def add_readings(self, names: list[str], readings: Readings) -> None:
        """Readings of the journal; `names` by point number."""
        finite = np.isfinite(readings.value)
        point, time = readings.point.astype(np.int64), readings.time
        self._add("quality", names, point, time, np.minimum(readings.quality, BAD).astype(np.int64))
        self._add("received", names, point, time, readings.received)
        self._add("value", names, point[finite], time[finite], readings.value[finite])

    def add_columns(self, name: str, columns: FieldColumns) -> None:
        """A field's values out of InfluxDB."""
        self._add(name, columns.names, columns.point, columns.time, columns.value)

    def _add(self, name: str, names: list[str], point: NDArray[np.int64], time: NDArray[np.int64], value: NDArray[Any]) -> None:
        if not len(point):
            return
        keys, where, counts = np.unique(time // DAY_NS * _POINTS + point, return_inverse=True, return_counts=True)
        digests = np.zeros(len(keys), np.uint64)
        np.add.at(digests, where, hashed(time, value))
        sums = self.sums[name]
        for key, count, digest in zip(keys.tolist(), counts.tolist(), digests.tolist(), strict=True):
            at = (names[key % _POINTS], key // _POINTS * DAY_NS)
            before = sums.get(at, (0, 0))
            sums[at] = (before[0] + count, (before[1] + digest) % (1 << 64))

    def count(self) -> int:
        return sum(count for count, _ in self.sums["quality"].values())


def hashed(time: NDArray[np.int64], value: NDArray[Any]) -> NDArray[np.uint64]:
    """A hash of each pair, of the bits of both: the finalizer of SplitMix64 (Steele et al., 2014), twice."""
    bits = np.ascontiguousarray(value).view(np.uint64)
    return _mixed(_mixed(np.ascontiguousarray(time).view(np.uint64)) ^ bits)


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def differences(journal: Tallies, influxdb: Tallies) -> list[Difference]:
    """By day and point."""
    nothing = (0, 0)
    wrong: dict[Key, list[str]] = {}
    for name in FIELDS:
        ours, theirs = journal.sums[name], influxdb.sums[name]
        for key in ours.keys() | theirs.keys():
            if ours.get(key, nothing) != theirs.get(key, nothing):
                wrong.setdefault(key, []).append(name)
    found = [
        Difference(*key, _count(journal.sums, key), _count(influxdb.sums, key), tuple(names)) for key, names in wrong.items()
    ]  # fmt: skip
    return sorted(found, key=lambda difference: (difference.day, difference.point))


def _count(sums: Mapping[str, Mapping[Key, tuple[int, int]]], key: Key) -> int:
    return max(sums[name].get(key, (0, 0))[0] for name in FIELDS)
