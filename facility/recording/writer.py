"""Writing recordings that read back to the identical columns."""

from __future__ import annotations

import gzip
import lzma
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from numpy.typing import NDArray

from facility.reading import QUALITIES
from facility.recording.chunk import OCCUPANCY_SUFFIX, Chunk, RecordingError

COLUMNS = ("time", "point", "value", "received", "quality", "unit")
_NS = pa.timestamp("ns", "UTC")
_FILE_TYPES = {
    "time": _NS, "point": pa.dictionary(pa.int32(), pa.string()), "value": pa.float64(), "received": _NS,
    "quality": pa.dictionary(pa.int32(), pa.string()), "unit": pa.dictionary(pa.int32(), pa.string()), "value_text": pa.string(),
}  # fmt: skip


class RecordingWriter:
    """Writes chunks to one file, CSV (`.gz` and `.xz` compressed) or, ending in `.parquet`, Parquet; a context manager.

    The file appears under its name when it is complete; until then it is NAME.part, and on an error nothing is left. `columns` leaves out
    what is not wanted beyond time,point,value. Parquet keeps numbers as float64, and in a column `value_text` what is none: states of
    rooms and the text of values such as NaN. Raises RecordingError when the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], columns: Iterable[str] = COLUMNS) -> None:
        self.path = Path(path)
        self.rows = 0
        """Rows written so far, states included."""
        self._columns = tuple(name for name in COLUMNS if name in (*COLUMNS[:3], *columns))
        self._part = self.path.with_name(self.path.name + ".part")
        self._parquet = self.path.suffix == ".parquet"
        self._file: Any = None
        self._writer: Any = None

    def __enter__(self) -> Self:
        try:
            self._file = open(self._part, "wb")  # closed by __exit__
            self._start()
        except OSError as error:
            self._discard()
            raise self._failed(error) from None
        return self

    def _start(self) -> None:
        if self._parquet:
            names = (*self._columns, "value_text")
            schema = pa.schema([(name, _FILE_TYPES[name]) for name in names])
            self._writer = pyarrow.parquet.ParquetWriter(self._file, schema, compression="zstd")
        else:
            self._writer = _compressed(self._file, self.path.suffix)
            self._writer.write(",".join(self._columns).encode() + b"\n")

    def write(self, chunk: Chunk) -> None:
        """Append the readings and states of a chunk, in the order of their rows."""
        table = _table(chunk)
        try:
            if self._parquet:
                self._writer.write_table(table.select(self._writer.schema.names).cast(self._writer.schema))
            else:
                self._writer.write(_text(table, self._columns).encode())
        except OSError as error:
            raise self._failed(error) from None
        self.rows += table.num_rows

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            self._writer.close()
            if not self._file.closed:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
            self._part.replace(self.path)
        except OSError as failure:
            self._discard()
            raise self._failed(failure) from None

    def _discard(self) -> None:
        if self._file is not None:
            self._file.close()
            self._part.unlink(missing_ok=True)

    def _failed(self, error: OSError) -> RecordingError:
        return RecordingError(
            str(self.path), f"cannot be written ({error.strerror or error})", "Check the path, the permissions and the free space."
        )


def write_recording(path: str | os.PathLike[str], chunks: Iterable[Chunk], columns: Iterable[str] = COLUMNS) -> int:
    """Write chunks to a recording file, whole or not at all; returns the rows written. See RecordingWriter."""
    with RecordingWriter(path, columns) as writer:
        for chunk in chunks:
            writer.write(chunk)
    return writer.rows


def csv_rows(chunk: Chunk) -> str:
    """The readings and states of a chunk as lines of a CSV recording with all COLUMNS, without its first line."""
    return _text(_table(chunk), COLUMNS)


def chunk_of(
    names: tuple[str, ...],
    point: NDArray[np.int32],
    time: NDArray[np.int64],
    value: NDArray[np.float64],
    quality: NDArray[np.uint8] | None = None,
    received: NDArray[np.int64] | None = None,
    units: tuple[str, ...] = ("",),
    unit: NDArray[np.int32] | None = None,
) -> Chunk:
    """Columns as a chunk to be written; `received` is by default what a reader would fill in, given that nothing came before."""
    count = len(point)
    received = np.maximum.accumulate(time) if received is None else received
    return Chunk(
        file="",
        names=names,
        point=point,
        time=time,
        value=value,
        quality=np.zeros(count, np.uint8) if quality is None else quality,
        received=received,
        units=units,
        unit=np.zeros(count, np.int32) if unit is None else unit,
        row=np.arange(1, count + 1, dtype=np.int64),
        received_span=(int(received[0]), int(received[-1])) if count else None,
    )


def _compressed(file: IO[bytes], suffix: str) -> Any:
    if suffix == ".gz":
        return gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0)  # the same rows give the same bytes
    return lzma.LZMAFile(file, "wb") if suffix == ".xz" else file


def _table(chunk: Chunk) -> pa.Table:
    """Readings and states of a chunk in row order, with the columns of a file and `value_text`."""
    count, states = len(chunk), chunk.states
    places = {state.place: len(chunk.names) + at for at, state in enumerate(states)}
    names = pa.array([*chunk.names, *(state.place + OCCUPANCY_SUFFIX for state in states)], pa.string())
    point = np.concatenate([chunk.point, np.array([places[state.place] for state in states], np.int32)])
    time = np.concatenate([chunk.time, np.array([state.time for state in states], np.int64)])
    received = np.concatenate([chunk.received, np.array([state.received for state in states], np.int64)])
    value = np.concatenate([chunk.value, np.full(len(states), np.nan)])
    text = _texts(chunk)
    quality = np.concatenate([chunk.quality, np.zeros(len(states), np.uint8)]).astype(np.int32)
    unit = np.concatenate([chunk.unit, np.zeros(len(states), np.int32)])
    table = pa.table(
        {
            "time": pa.array(time).cast(_NS),
            "point": pa.DictionaryArray.from_arrays(pa.array(point), names),
            "value": pa.array(value, mask=np.isnan(value)),
            "received": pa.array(received).cast(_NS),
            "quality": pa.DictionaryArray.from_arrays(pa.array(quality), pa.array(QUALITIES)),
            "unit": pa.DictionaryArray.from_arrays(pa.array(unit, mask=unit == 0), pa.array(chunk.units, pa.string())),
            "value_text": text,
        }
    )
    place = np.concatenate([np.arange(count), np.array([state.before for state in states], np.int64) - 0.5])
    return table.take(pa.array(np.argsort(place, kind="stable"))) if states else table


def _texts(chunk: Chunk) -> pa.Array:
    """What stands in `value_text`, readings first, then states."""
    odd = np.flatnonzero(~np.isfinite(chunk.value))
    if not len(odd) and not chunk.states:
        return pa.nulls(len(chunk), pa.string())
    text = np.full(len(chunk) + len(chunk.states), None, object)
    for index in odd:
        text[index] = chunk.raw.get(int(index), repr(float(chunk.value[index])))
    text[len(chunk) :] = [state.state for state in chunk.states]
    return pa.array(text, pa.string())


def _text(table: pa.Table, columns: Iterable[str]) -> str:
    return "".join(_lines(table, columns).to_pylist())


def _lines(table: pa.Table, columns: Iterable[str]) -> pa.Array:
    """The rows as CSV lines, cells quoted only where they must be."""
    number = table.column("value").to_numpy()
    missing = np.isnan(number).tolist()
    cells = [None if absent else repr(value) for value, absent in zip(number.tolist(), missing, strict=True)]
    text = {"value": pc.coalesce(_quoted(table.column("value_text")), pa.chunked_array([pa.array(cells, pa.string())]))}
    for name in {"time", "received"}.intersection(columns):
        # Arrow writes a blank and nine decimals, and takes ten times as long for a time with a zone.
        whole = pc.replace_substring(table.column(name).cast(pa.timestamp("ns")).cast(pa.string()), " ", "T")
        text[name] = pc.binary_join_element_wise(pc.utf8_rtrim(pc.utf8_rtrim(whole, "0"), "."), "Z", "")
    for name in ("point", "quality", "unit"):
        text[name] = _quoted(table.column(name).cast(pa.string()))
    row = pc.binary_join_element_wise(*(text[name] for name in columns), ",", null_handling="replace", null_replacement="")
    return pc.binary_join_element_wise(row, "", "\n").combine_chunks()


def _quoted(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    special = pc.match_substring_regex(cells, '[,"\r\n]')
    if not pc.any(special).as_py():
        return cells
    return pc.if_else(special, pc.binary_join_element_wise('"', pc.replace_substring(cells, '"', '""'), '"', ""), cells)
