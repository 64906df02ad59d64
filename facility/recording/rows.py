"""A block of a table as rows in the long form: one row per reading, still unjudged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from facility.reading import QUALITIES
from facility.recording.chunk import OCCUPANCY_SUFFIX
from facility.recording.columns import STATE, TimeOf, Times, Values, as_text, codes, is_text, texts, times, times_by, values
from facility.recording.mapping import PLACEHOLDER, Cell, QualityColumn, TableMapping, TimeColumn
from facility.recording.table import BATCH_ROWS, Block
from facility.times import epoch_ns, parse_time

UNKNOWN_QUALITY = 255
_SPREADSHEET_EPOCH_NS = -2_209_161_600 * 10**9  # 1899-12-30
_DAY_NS = 86_400 * 10**9
_UNIT_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


@dataclass(frozen=True, slots=True)
class Rows:
    """n rows: record number, times, values, codes of point and unit into their names, quality (UNKNOWN_QUALITY where not understood).

    A point code of -1 is an empty name. `quality_text` gives the texts not understood by index. The problems in `time` and `received`
    go by record number, as a wide record makes many rows.
    """

    row: NDArray[np.int64]
    time: Times
    received: Times | None
    point: NDArray[np.int32]
    names: list[str]
    values: Values
    quality: NDArray[np.uint8]
    unit: NDArray[np.int32]
    units: list[str]
    quality_text: dict[int, str] = field(default_factory=dict)


def plain_rows(block: Block, zone: ZoneInfo | None) -> Rows:
    """The rows of a recording file: time,point,value and, where they are there, received,quality,unit,value_text."""
    columns = block.columns
    point, names = codes(columns["point"])
    value = columns["value"]
    if "value_text" in columns and columns["value_text"].null_count < len(value):
        value = pc.coalesce(as_text(columns["value_text"]), as_text(value))
    received = _by_record(times(columns["received"], zone), block.row) if "received" in columns else None
    quality, quality_text = _qualities(columns.get("quality"), QualityColumn(column="quality"), len(value))
    unit, units = codes(columns["unit"]) if "unit" in columns else (np.full(len(value), -1, np.int32), [])
    time = _by_record(times(columns["time"], zone), block.row)
    return Rows(block.row, time, received, point, names, _with_states(value, point, names), quality, unit, units, quality_text)


def mapped_rows(block: Block, mapping: TableMapping, zone: ZoneInfo | None) -> Rows:
    """The rows that a mapping makes of a table; a wide record gives one row per mapped column, in the order of the mapping."""
    time = _by_record(_clock(block, mapping.time, zone), block.row)
    received = _by_record(_clock(block, mapping.received, zone), block.row) if mapping.received else None
    form = mapping.quality or QualityColumn(column="")
    quality, quality_text = _qualities(block.columns.get(form.column), form, len(block.row))
    if mapping.long is not None:
        point, names = _point(block, mapping.long.point, mapping)
        found = _cells(block.columns[mapping.long.value], mapping.long, mapping, point, names)
        unit, units = _units(block, mapping)
        return Rows(block.row, time, received, point, names, found, quality, unit, units, quality_text)
    parts = []
    for column, cell in mapping.columns.items():
        point, names = _point(block, cell.point, mapping)
        parts.append((point, names, _cells(block.columns[column], cell, mapping, point, names), cell.unit))
    return _interleaved(block.row, time, received, quality, quality_text, parts)


def in_order(blocks: Iterable[Block], mapping: TableMapping, zone: ZoneInfo | None) -> Iterator[Block]:
    """All records of a file by `received`, else by `time`, those of one moment as they stand in it; holds the file in memory."""
    parts = list(blocks)
    if not parts:
        return
    columns = {name: pa.concat_arrays([part.columns[name] for part in parts]) for name in parts[0].columns}
    malformed = tuple(chain.from_iterable(part.malformed for part in parts))
    whole = Block(columns, np.concatenate([part.row for part in parts]), malformed, parts[-1].read_bytes)
    order = np.argsort(_clock(whole, mapping.received or mapping.time, zone).ns, kind="stable")
    for start in range(0, max(len(order), 1), BATCH_ROWS):
        rows = order[start : start + BATCH_ROWS]
        taken = {name: column.take(pa.array(rows)) for name, column in columns.items()}
        yield Block(taken, whole.row[rows], malformed if start == 0 else (), whole.read_bytes)


def _interleaved(
    row: NDArray[np.int64], time: Times, received: Times | None, quality: NDArray[np.uint8], quality_text: dict[int, str], parts: list[Any]
) -> Rows:
    width = len(parts)
    start = np.cumsum([0, *(len(names) for _, names, _, _ in parts[:-1])])
    point = np.stack([np.where(point < 0, -1, point + first) for (point, *_), first in zip(parts, start, strict=True)], axis=1)
    text = {index * width + at: text for at, (_, _, found, _) in enumerate(parts) for index, text in found.text.items()}
    value = np.stack([found.value for _, _, found, _ in parts], axis=1)
    status = np.stack([found.status for _, _, found, _ in parts], axis=1)
    return Rows(
        np.repeat(row, width),
        Times(np.repeat(time.ns, width), time.problem),
        Times(np.repeat(received.ns, width), received.problem) if received else None,
        point.ravel().astype(np.int32),
        list(chain.from_iterable(names for _, names, _, _ in parts)),
        Values(value.ravel(), status.ravel(), text),
        np.repeat(quality, width),
        np.tile(np.arange(width, dtype=np.int32), len(row)),
        [unit for *_, unit in parts],
        {index * width + at: text for index, text in quality_text.items() for at in range(width)},
    )


def _by_record(found: Times, row: NDArray[np.int64]) -> Times:
    return Times(found.ns, {int(row[index]): problem for index, problem in found.problem.items()})


def _with_states(array: pa.Array, point: NDArray[np.int32], names: list[str]) -> Values:
    """Values, but the texts of those rows that are a place's occupancy."""
    state_codes = [code for code, name in enumerate(names) if name.endswith(OCCUPANCY_SUFFIX)]
    if not state_codes:
        return values(array)
    is_state = np.isin(point, state_codes) & np.asarray(pc.is_valid(array))
    array = as_text(array)
    found = values(pc.if_else(pa.array(is_state), pa.scalar(None, pa.string()), array))
    index = np.flatnonzero(is_state)
    found.status[index] = STATE
    found.text.update(zip(index.tolist(), (cell or "" for cell in texts(array.take(pa.array(index)))), strict=True))
    return found


def _cells(array: pa.Array, cell: Cell, mapping: TableMapping, point: NDArray[np.int32], names: list[str]) -> Values:
    missing = [*mapping.missing, *cell.missing]
    if cell.values or missing or (mapping.table.decimal == "," and is_text(array)):
        array = as_text(array)
    if missing:
        array = pc.if_else(pc.is_in(array, pa.array(missing)), pa.scalar(None, pa.string()), array)
    if cell.values:
        encoded = array.dictionary_encode()
        meanings = [None if text is None else cell.values.get(text, text) for text in texts(encoded.dictionary)]
        array = pa.array(meanings, pa.string()).take(encoded.indices)
    if mapping.table.decimal == "," and is_text(array):
        array = pc.replace_substring(array, ",", ".")
    found = _with_states(array, point, names)
    if cell.scale == 1.0 and cell.offset == 0.0:
        return found
    with np.errstate(over="ignore", invalid="ignore"):
        value = found.value * cell.scale + cell.offset
    overflow = np.flatnonzero(np.isfinite(found.value) & ~np.isfinite(value))
    return Values(value, found.status, found.text | {int(index): repr(float(found.value[index])) for index in overflow})


def _point(block: Block, pattern: str, mapping: TableMapping) -> tuple[NDArray[np.int32], list[str]]:
    """Point ids of a pattern: codes per record (-1 where a cell in it is empty) and the names."""
    columns = PLACEHOLDER.findall(pattern)
    if not columns:
        return np.zeros(len(block.row), np.int32), [pattern]
    coded = [codes(block.columns[column]) for column in columns]
    combined = np.stack([code for code, _ in coded], axis=1)
    distinct, point = np.unique(combined, axis=0, return_inverse=True)
    names: list[str] = []
    for combination in distinct:
        cells = {
            column: mapping.rename.get(column, {}).get(known[code], known[code]) if code >= 0 else ""
            for column, code, (_, known) in zip(columns, combination, coded, strict=True)
        }
        names.append(_filled_in(pattern, cells))
    empty = (combined < 0).any(axis=1)
    return np.where(empty, -1, point.reshape(-1)).astype(np.int32), names


def _filled_in(pattern: str, cells: dict[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: cells[match[1]], pattern)


def _units(block: Block, mapping: TableMapping) -> tuple[NDArray[np.int32], list[str]]:
    assert mapping.long is not None
    if mapping.long.unit_column is None:
        return np.zeros(len(block.row), np.int32), [mapping.long.unit]
    unit, units = codes(block.columns[mapping.long.unit_column])
    # An empty cell means the unit that the mapping gives for all.
    return np.where(unit < 0, len(units), unit).astype(np.int32), [*units, mapping.long.unit]


def _qualities(array: pa.Array | None, form: QualityColumn, count: int) -> tuple[NDArray[np.uint8], dict[int, str]]:
    if array is None:
        return np.zeros(count, np.uint8), {}
    code_of = {text: code for code, name in enumerate(QUALITIES) for text in getattr(form, name)}
    code, names = codes(array)
    table = np.array([*(code_of.get(name, UNKNOWN_QUALITY) for name in names), 0], np.uint8)
    quality = table[code]  # -1, the empty cell, takes the last: good
    unknown = np.flatnonzero(quality == UNKNOWN_QUALITY)
    return quality, {int(index): names[code[index]] for index in unknown}


def _clock(block: Block, clock: TimeColumn, zone: ZoneInfo | None) -> Times:
    zone = ZoneInfo(clock.zone) if clock.zone else zone
    arrays = [block.columns[column] for column in clock.column]
    array = arrays[0] if len(arrays) == 1 else pc.binary_join_element_wise(*map(as_text, arrays), " ")
    if clock.base is None and clock.format == "iso":
        return times(array, zone)
    return times_by(as_text(array), _reading_of(clock, zone))


def _reading_of(clock: TimeColumn, zone: ZoneInfo | None) -> TimeOf:
    """The function that reads one cell of a clock as int ns UTC."""
    if clock.base is not None:
        base, scale = parse_time(clock.base, zone), _UNIT_NS[clock.unit or "s"]
        return lambda text: base + int(_decimal(text) * scale)
    if clock.format == "spreadsheet":
        return lambda text: _local_ns(_spreadsheet_time(_decimal(text)), zone)
    if clock.format == "epoch":
        epoch_unit = clock.unit
        return lambda text: int(_decimal(text) * _UNIT_NS[epoch_unit]) if epoch_unit else epoch_ns(_decimal(text))
    return lambda text: _patterned(text, clock.format, zone)


def _patterned(text: str, pattern: str, zone: ZoneInfo | None) -> int:
    return parse_time(datetime.strptime(text.strip(), pattern).isoformat(), zone)


def _spreadsheet_time(days: Decimal) -> int:
    # A day number near 45,000 is known to about a microsecond; people and loggers mean milliseconds.
    return _SPREADSHEET_EPOCH_NS + round(days * _DAY_NS / 10**6) * 10**6


def _local_ns(wall: int, zone: ZoneInfo | None) -> int:
    seconds, rest = divmod(wall, 10**9)
    text = str(np.datetime64(seconds, "s"))
    return parse_time(f"{text}.{rest:09d}", zone)


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError(f"a number, not {text!r}") from None
    if not number.is_finite():
        raise ValueError(f"a finite number, not {text!r}")
    return number
