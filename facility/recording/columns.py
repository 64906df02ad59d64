"""Cells of text, or of a file's own types, as numbers: times, values, codes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from facility.times import epoch_ns, parse_time

NO_TIME = np.iinfo(np.int64).min
"""Stands in a column of times where there is none, or none that can be understood."""
READING, EMPTY, INVALID, STATE = range(4)
_CLOCK = r"(\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01]))T(([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?)"
_UTC, _LOCAL = f"^{_CLOCK}Z$", f"^{_CLOCK}$"
_NUMBER = r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_NUMBER_AS_TYPED = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_TRUTH = {"true": 1.0, "false": 0.0}

TimeOf = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Times:
    """A column of times: int64 ns UTC, NO_TIME where empty or wrong; `problem` gives text and reason by index where wrong."""

    ns: NDArray[np.int64]
    problem: dict[int, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Values:
    """A column of values: float64, nan where there is no number; `status` says READING, EMPTY, INVALID or STATE.

    `text` gives, by index, what stands there where `value` alone does not tell it.
    """

    value: NDArray[np.float64]
    status: NDArray[np.uint8]
    text: dict[int, str]


def texts(array: pa.Array) -> list[str | None]:
    """Arrow text as Python text."""
    cells: list[str | None] = array.to_pylist()
    return cells


def is_text(array: pa.Array) -> bool:
    """Whether the column holds text, dictionary-encoded or not."""
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind))


def as_text(array: pa.Array) -> pa.Array:
    """The column as plain Arrow text."""
    return array if array.type == pa.string() else array.cast(pa.string())


def times(array: pa.Array, zone: ZoneInfo | None) -> Times:
    """RFC 3339 text, or Parquet's timestamps and epoch numbers, as int64 ns; a time without offset is that of `zone`."""
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        try:
            ns = array.cast(pa.timestamp("ns", "UTC")).cast(pa.int64())
            return Times(_filled(ns))
        except pa.ArrowInvalid:  # beyond the years 1677 to 2262: find out which
            array = pc.strftime(array.cast(pa.timestamp(array.type.unit, "UTC")), format="%Y-%m-%dT%H:%M:%SZ")
    if pa.types.is_timestamp(array.type):
        array = pc.replace_substring(array.cast(pa.string()), " ", "T")
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        return times_by(array.cast(pa.string()), lambda text: epoch_ns(float(text) if "." in text or "e" in text else int(text)))
    return _text_times(as_text(array), zone)


def times_by(array: pa.Array, time_of: TimeOf) -> Times:
    """Every cell through `time_of`, each text once; a ValueError of it becomes the cell's problem."""
    ns = np.full(len(array), NO_TIME, np.int64)
    problem: dict[int, tuple[str, str]] = {}
    _slow_times(range(len(array)), texts(array), time_of, ns, problem)
    return Times(ns, problem)


def _text_times(array: pa.Array, zone: ZoneInfo | None) -> Times:
    ns = np.full(len(array), NO_TIME, np.int64)
    known = np.asarray(pc.is_null(array))
    for pattern, convert in ((_UTC, _utc_ns), (_LOCAL, lambda cells: _local_ns(cells, zone))):
        if known.all():
            break
        mask = np.asarray(pc.fill_null(pc.match_substring_regex(array, pattern), False)) & ~known
        if not mask.any():
            continue
        try:
            ns[mask] = convert(array if mask.all() else array.filter(pa.array(mask)))
        except pa.ArrowInvalid:  # 30 February, an ambiguous hour, a year out of reach: the slow way tells which row
            continue
        known |= mask
    problem: dict[int, tuple[str, str]] = {}
    slow = np.flatnonzero(~known)
    if len(slow):
        _slow_times(slow.tolist(), texts(array.take(pa.array(slow))), lambda text: parse_time(text.strip(), zone), ns, problem)
    return Times(ns, problem)


def _slow_times(
    where: Iterable[int], cells: Iterable[str | None], time_of: TimeOf, ns: NDArray[np.int64], problem: dict[int, tuple[str, str]]
) -> None:
    seen: dict[str, int | str] = {}
    for index, cell in zip(where, cells, strict=True):
        if cell is None:
            continue
        found = seen.get(cell)
        if found is None:
            try:
                found = time_of(cell)
                if not NO_TIME < found <= np.iinfo(np.int64).max:
                    found = "lies outside the years 1678 to 2261"
            except (ValueError, OverflowError) as error:
                found = str(error)
            seen[cell] = found
        if isinstance(found, str):
            problem[index] = (cell, found)
        else:
            ns[index] = found


def _utc_ns(cells: pa.Array) -> NDArray[np.int64]:
    return _filled(pc.cast(cells, pa.timestamp("ns", "UTC")).cast(pa.int64()))


def _local_ns(cells: pa.Array, zone: ZoneInfo | None) -> NDArray[np.int64]:
    if zone is None or zone.key is None:
        raise pa.ArrowInvalid("no zone to read local times in")
    local = pc.cast(cells, pa.timestamp("ns"))
    return _filled(pc.assume_timezone(local, zone.key, ambiguous="raise", nonexistent="raise").cast(pa.int64()))


def _filled(array: pa.Array) -> NDArray[np.int64]:
    return _numbers(array, int(NO_TIME))


def _numbers(array: pa.Array, missing: float) -> NDArray[Any]:
    """A column of numbers, with `missing` where there is none; by another way than to_numpy, which would load pandas in half a second."""
    if array.null_count or not len(array):
        array = pc.fill_null(array, missing)
        return np.asarray(array)
    return np.from_dlpack(array)


def values(array: pa.Array) -> Values:
    """Numbers, `true`/`false` as 1/0, and NaN, null (as nan) and infinities with their text; null cells are EMPTY."""
    if not is_text(array):
        number = array.cast(pa.float64(), safe=False) if not pa.types.is_boolean(array.type) else array.cast(pa.uint8()).cast(pa.float64())
        return _finished(number, array, np.zeros(len(array), np.bool_), {})
    array = as_text(array)
    try:
        return _finished(pc.cast(array, pa.float64()), array, np.zeros(len(array), np.bool_), {})
    except pa.ArrowInvalid:
        pass
    plain = pc.fill_null(pc.match_substring_regex(array, _NUMBER), False)
    number = np.array(pc.cast(pc.if_else(plain, array, pa.scalar(None, pa.string())), pa.float64()).to_numpy(zero_copy_only=False))
    odd = np.flatnonzero(~np.asarray(plain) & np.asarray(pc.is_valid(array)))
    invalid = np.zeros(len(array), np.bool_)
    text: dict[int, str] = {}
    blank: list[int] = []
    for index, cell in zip(odd.tolist(), texts(array.take(pa.array(odd))), strict=True):
        if not (cell or "").strip():
            blank.append(index)
            continue
        found = _number_as_typed(cell or "")
        number[index] = math.nan if found is None else found
        invalid[index] = found is None
        if found is None or not math.isfinite(found):
            text[index] = cell or ""
    finished = _finished(pa.array(number), array, invalid, text)
    for index in blank:
        finished.status[index] = EMPTY
        del finished.text[index]
    return finished


def _finished(number: pa.Array, array: pa.Array, invalid: NDArray[np.bool_], text: dict[int, str]) -> Values:
    if not array.null_count and not text and not invalid.any():
        value = _numbers(number, math.nan)
        if np.isfinite(value).all():
            return Values(value, np.full(len(value), READING, np.uint8), {})
    value = np.array(number.to_numpy(zero_copy_only=False), dtype=np.float64)
    present = np.asarray(pc.is_valid(array))
    status = np.where(present, READING, EMPTY).astype(np.uint8)
    status[invalid] = INVALID
    endless = np.flatnonzero(present & ~np.isfinite(value))
    if len(endless):
        cells = texts(array.take(pa.array(endless)).cast(pa.string()))
        text.update({index: cell or "" for index, cell in zip(endless.tolist(), cells, strict=True) if index not in text})
    value[~present] = np.nan
    return Values(value, status, text)


def _number_as_typed(cell: str) -> float | None:
    """The number that a person or a spreadsheet wrote with blanks or a plus sign; None when there is none."""
    bare = cell.strip()
    if bare.lower() in _TRUTH:
        return _TRUTH[bare.lower()]
    if _NUMBER_AS_TYPED.fullmatch(bare) or _NOT_FINITE.fullmatch(bare):
        return float(bare)
    return math.nan if bare.lower() == "null" else None


def codes(array: pa.Array) -> tuple[NDArray[np.int32], list[str]]:
    """A column of few different texts as int32 codes (-1 where empty) and the texts."""
    encoded = array if pa.types.is_dictionary(array.type) else as_text(array).dictionary_encode()
    index = _numbers(encoded.indices.cast(pa.int32()), -1)
    return index, [cell or "" for cell in texts(as_text(encoded.dictionary))]
