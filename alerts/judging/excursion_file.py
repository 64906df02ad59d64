"""Excursion files: CSV or Parquet with the columns of docs/rules.md in their order."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet

from facility.times import format_time, parse_time
from facility.whole_file import whole_file, whole_text
from rules.excursion import COLUMNS, Excursion

SUFFIXES = (".csv", ".parquet")
TIMES = ("onset", "raised", "ended", "cleared")
_NUMBERS = ("peak", "limit")
_COUNTS = ("readings", "revision")
_FROM_TEXT: dict[str, Callable[[str], Any]] = (
    dict.fromkeys(TIMES, parse_time)
    | dict.fromkeys(_NUMBERS, float)
    | dict.fromkeys(_COUNTS, int)
    | {"late": {"true": True, "false": False}.__getitem__}
)
_BATCH_ROWS = 65_536


class NoExcursionFile(Exception):
    """A file that holds no excursions: which file, what is wrong with it, what to do."""


def write_excursions(path: str | os.PathLike[str], rows: Iterable[Excursion]) -> int:
    """Write excursions in the order given, as Parquet where the name ends so, else as CSV; returns how many.

    The file appears when it is complete. Raises OSError.
    """
    if Path(path).suffix == ".parquet":
        with whole_file(path) as file:
            return _write_parquet(file, rows)
    with whole_text(path) as text:
        return write_excursion_lines(text, rows)


def write_excursion_lines(text: IO[str], rows: Iterable[Excursion]) -> int:
    """Write excursions as CSV to an open text; returns how many."""
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    count = 0
    for row in rows:
        lines.writerow(rows_of(row))
        count += 1
    return count


def rows_of(excursion: Excursion) -> list[str]:
    """The cells of an excursion as CSV has them: times in RFC 3339 UTC, numbers in the shortest exact form, empty for none."""
    return [_cell(name, getattr(excursion, name)) for name in COLUMNS]


def read_excursions(path: str | os.PathLike[str]) -> Iterator[Excursion]:
    """The excursions of a file that was written by `write_excursions`, in its order; raises NoExcursionFile, OSError."""
    rows = _parquet_rows(path) if Path(path).suffix == ".parquet" else _csv_rows(path)
    for number, row in enumerate(rows, 2):
        try:
            yield _excursion(row)
        except (ValueError, TypeError, KeyError) as error:
            raise NoExcursionFile(f"{path}: row {number} is no excursion ({error}). Give a file that Renrum wrote.") from None


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in TIMES:
        return format_time(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(float(value)) if name in _NUMBERS else str(value)


def _csv_rows(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        _check(path, next(rows, []))
        yield from (dict(zip(COLUMNS, cells, strict=False)) for cells in rows)


def _parquet_rows(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            _check(path, file.schema_arrow.names)
            for batch in file.iter_batches():
                # As int64: Python's datetimes end at the microsecond.
                plain = pa.table({name: batch[name].cast(pa.int64()) if name in TIMES else batch[name] for name in COLUMNS})
                yield from plain.to_pylist()
    except pa.ArrowInvalid as error:
        raise NoExcursionFile(f"{path}: is no Parquet file ({error}). Give a file that Renrum wrote.") from None


def _check(path: str | os.PathLike[str], columns: list[str]) -> None:
    if tuple(columns) != COLUMNS:
        raise NoExcursionFile(f"{path}: has the columns {', '.join(columns) or 'of nothing'}; expected {', '.join(COLUMNS)}.")


def _excursion(row: dict[str, Any]) -> Excursion:
    made: dict[str, Any] = {name: row[name] for name in COLUMNS}
    for name, value in made.items():
        if isinstance(value, str) and name in _FROM_TEXT:
            made[name] = _FROM_TEXT[name](value) if value else None
    return Excursion(**made)


def _write_parquet(file: IO[bytes], rows: Iterable[Excursion]) -> int:
    kinds: dict[str, pa.DataType] = dict.fromkeys(COLUMNS, pa.string())
    kinds |= dict.fromkeys(TIMES, pa.timestamp("ns", "UTC")) | dict.fromkeys(_NUMBERS, pa.float64()) | dict.fromkeys(_COUNTS, pa.int64())
    schema = pa.schema(list((kinds | {"late": pa.bool_()}).items()))
    count, left = 0, iter(rows)
    with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while batch := list(islice(left, _BATCH_ROWS)):
            columns = [pa.array([getattr(row, name) for row in batch], schema.field(name).type) for name in COLUMNS]
            writer.write_table(pa.table(columns, schema=schema))
            count += len(batch)
    return count
