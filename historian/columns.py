"""Readings as InfluxDB has them, field by field, as columns."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from historian.influx import Influx, InfluxUnavailable, explained
from historian.lines import id_of
from historian.queries.flux import text
from historian.schema import FLOAT, READING

_TYPES = {
    "_time": pa.timestamp("ns", "UTC"),
    "point": pa.dictionary(pa.int32(), pa.string()),
    "place": pa.dictionary(pa.int32(), pa.string()),
}
_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class FieldColumns:
    """Some values of one field: `point` indexes `names`, `time` int64 ns UTC, `value` float64 or int64."""

    names: list[str]
    point: NDArray[np.int64]
    time: NDArray[np.int64]
    value: NDArray[Any]

    def of(self, points: Collection[str]) -> FieldColumns:
        """Those of some points."""
        which = np.array([name in points for name in self.names], np.bool_)[self.point]
        return FieldColumns(self.names, self.point[which], self.time[which], self.value[which])


def field_columns(influx: Influx, site: str, field: str, start: int, end: int) -> Iterator[FieldColumns]:
    """A field of the readings with start <= time < end (int ns UTC), by point and time; in pieces, as they come. Raises InfluxFault."""
    flux = (
        f"from(bucket: {text(influx.target.bucket)}) |> range(start: time(v: {start}), stop: time(v: {end}))"
        f' |> filter(fn: (r) => r._measurement == {text(READING.name)} and r._field == "{field}" and r.site == {text(site)})'
        ' |> keep(columns: ["_time", "_value", "point"])'
    )
    kind = pa.float64() if READING.fields[field] == FLOAT else pa.int64()
    for table in tables(influx, flux, {"_value": kind}):
        point = table.column("point")
        yield FieldColumns(
            names=[id_of(name) for name in point.dictionary.to_pylist()],
            point=point.indices.to_numpy(zero_copy_only=False).astype(np.int64),
            time=table.column("_time").cast(pa.int64()).to_numpy(zero_copy_only=False),
            value=table.column("_value").to_numpy(zero_copy_only=False),
        )


def tables(influx: Influx, flux: str, types: dict[str, Any]) -> Iterator[Any]:
    """The record batches of a query whose tables all have the same columns. Raises InfluxFault, also when the answer breaks off."""
    with explained(influx.target):
        answer = influx.stream(flux)
        answer.auto_close = False
        try:
            convert = pacsv.ConvertOptions(column_types=_TYPES | types, strings_can_be_null=False)
            read = pacsv.ReadOptions(block_size=_BLOCK_BYTES)
            try:
                reader = pacsv.open_csv(pa.PythonFile(_Lines(answer), mode="r"), read_options=read, convert_options=convert)
                yield from reader
            except pa.ArrowInvalid as error:
                if "Empty CSV" not in str(error):
                    words = f"{influx.target.url} gives an answer that cannot be read: {str(error)[:300]}"
                    raise InfluxUnavailable(words) from None
        finally:
            answer.close()


class _Lines:
    """The answer as a file without its empty lines, which Arrow would count as an empty file."""

    closed = False

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._answer.read(size)
        return b"" if data == b"\r\n" else data

    def close(self) -> None:
        self.closed = True
