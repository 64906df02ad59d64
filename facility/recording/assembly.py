"""Rows judged: readings, occupancy states and rejects, with `received` filled in, as chunks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facility.reading import QUALITIES
from facility.recording import chunk as reasons
from facility.recording.chunk import OCCUPANCY_SUFFIX, Chunk, Reject, StateRow
from facility.recording.columns import EMPTY, INVALID, NO_TIME, READING, STATE
from facility.recording.rows import UNKNOWN_QUALITY, Rows
from facility.recording.table import Malformed
from facility.site import OCCUPANCIES
from facility.times import format_time

GARBLED = "\ufffd"
"""What bytes become that are no text in the file's encoding."""
TEXT_MAX = 1000
"""Characters of a reject's text: an unclosed quotation mark can swallow a whole file."""


class Assembly:
    """Turns the rows of a recording, file after file, into chunks; keeps the names, and how far `received` has come."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._units: dict[str, int] = {"": 0}
        self._newest = NO_TIME
        self._received = NO_TIME

    def chunk(self, file: str, rows: Rows, malformed: Sequence[Malformed], done: float) -> Chunk:
        """The next rows and malformed records of a file, which follow all that was given before."""
        received, decreases = self._receipts(rows)
        wrong = self._wrong(rows, decreases)
        status = rows.values.status
        plain = not wrong.any() and not (status != READING).any()
        good = np.flatnonzero((status == READING) & ~wrong)
        states = np.flatnonzero((status == STATE) & ~wrong)
        rejected = np.flatnonzero((status != EMPTY) & wrong)
        position = {int(index): at for at, index in enumerate(good)} if rows.values.text else {}
        kept: slice | NDArray[np.intp] = slice(None) if plain else good
        stamped = received[np.searchsorted(received, NO_TIME, side="right") :]  # they never decrease
        rejects = [_reject(file, rows, int(index), bool(decreases[index])) for index in rejected]
        rejects += [Reject(file, record.row, record.text[:TEXT_MAX], reasons.ROW_MALFORMED, record.detail) for record in malformed]
        return Chunk(
            file=file,
            point=_registered(self._names, rows.names, rows.point[kept]),
            names=tuple(self._names),
            time=rows.time.ns[kept],
            value=rows.values.value[kept],
            quality=rows.quality[kept],
            received=received[kept],
            unit=_registered(self._units, rows.units, rows.unit[kept]),
            units=tuple(self._units),
            row=rows.row[kept],
            raw={position[index]: text for index, text in sorted(rows.values.text.items()) if index in position},
            states=tuple(_state(rows, int(index), received, int(np.searchsorted(good, index))) for index in states),
            rejects=tuple(sorted(rejects, key=lambda reject: reject.row)),
            without_value=int((status == EMPTY).sum()),
            received_span=(int(stamped[0]), int(stamped[-1])) if len(stamped) else None,
            done=done,
        )

    def _receipts(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """`received` of every row, never decreasing, and which rows state one that is earlier than a row before."""
        if not len(rows.row):
            return np.empty(0, np.int64), np.empty(0, np.bool_)
        newest = np.maximum.accumulate(np.maximum(rows.time.ns, self._newest))
        self._newest = int(newest[-1])
        if rows.received is None:
            received = np.maximum(newest, self._received)
            self._received = int(received[-1])
            return received, np.zeros(len(received), np.bool_)
        stated = rows.received.ns
        received = np.maximum.accumulate(np.maximum(np.where(stated == NO_TIME, newest, stated), self._received))
        self._received = int(received[-1])
        return received, (stated != NO_TIME) & (stated < received)

    def _wrong(self, rows: Rows, decreases: NDArray[np.bool_]) -> NDArray[np.bool_]:
        wrong: NDArray[np.bool_] = (rows.time.ns == NO_TIME) | decreases | (rows.point < 0) | (rows.values.status == INVALID)
        wrong |= (rows.quality == UNKNOWN_QUALITY) & (rows.values.status != STATE)
        if rows.received is not None and rows.received.problem:
            wrong |= np.isin(rows.row, list(rows.received.problem))
        nameless = [code for code, name in enumerate(rows.names) if name in ("", OCCUPANCY_SUFFIX) or GARBLED in name]
        if nameless:
            wrong |= np.isin(rows.point, nameless)
        for index in np.flatnonzero(rows.values.status == STATE):
            wrong[index] |= rows.values.text[int(index)] not in OCCUPANCIES
        unreadable_units = [code for code, name in enumerate(rows.units) if GARBLED in name]
        if unreadable_units:
            wrong |= np.isin(rows.unit, unreadable_units)
        return wrong


def _state(rows: Rows, index: int, received: NDArray[np.int64], before: int) -> StateRow:
    place = rows.names[rows.point[index]].removesuffix(OCCUPANCY_SUFFIX)
    return StateRow(place, int(rows.time.ns[index]), rows.values.text[index], int(received[index]), int(rows.row[index]), before)


def _reject(file: str, rows: Rows, index: int, decreases: bool) -> Reject:
    row, point = int(rows.row[index]), int(rows.point[index])
    name = rows.names[point] if point >= 0 else ""
    text, reason, detail = _verdict(rows, index, row, name, decreases)
    return Reject(file, row, text[:TEXT_MAX], reason, f"{detail} (point {name})" if name else detail)


def _verdict(rows: Rows, index: int, row: int, name: str, decreases: bool) -> tuple[str, str, str]:
    """Text, reason and detail of the first thing that is wrong with a row."""
    cell = rows.values.text.get(index, repr(float(rows.values.value[index])))
    if GARBLED in name:
        return name, reasons.POINT_INVALID, "point: not text in the file's encoding"
    if name in ("", OCCUPANCY_SUFFIX):
        return cell, reasons.POINT_MISSING, "point: the cell is empty"
    if rows.time.ns[index] == NO_TIME:
        text, why = rows.time.problem.get(row, ("", "the cell is empty"))
        return text, reasons.TIME_INVALID, f"time not understood: {why}"
    if rows.received is not None and row in rows.received.problem:
        text, why = rows.received.problem[row]
        return text, reasons.RECEIVED_INVALID, f"received not understood: {why}"
    if decreases:
        stated = format_time(int(rows.received.ns[index])) if rows.received is not None else ""
        return stated, reasons.RECEIVED_DECREASES, "received: expected no earlier time than in the rows before; sort the file by received"
    status = rows.values.status[index]
    if status == STATE and cell not in OCCUPANCIES:
        return cell, reasons.STATE_UNKNOWN, f"expected one of {', '.join(OCCUPANCIES)}"
    if status == INVALID:
        return cell, reasons.VALUE_INVALID, "expected a number, true, false, NaN or null"
    if rows.quality[index] == UNKNOWN_QUALITY:
        return (
            rows.quality_text.get(index, ""),
            reasons.QUALITY_UNKNOWN,
            f"stands for none of {', '.join(QUALITIES)}: expected one of these or what the mapping calls so, or an empty cell",
        )
    return rows.units[rows.unit[index]], reasons.UNIT_INVALID, "unit: not text in the file's encoding"


def _registered(register: dict[str, int], names: Sequence[str], code: NDArray[np.int32]) -> NDArray[np.int32]:
    """Codes into a block's names as codes into the register, which takes up the names that are used, by first appearance."""
    if not len(code):
        return np.empty(0, np.int32)
    if not names:  # all cells are empty
        return np.full(len(code), register.setdefault("", len(register)), np.int32)
    first = np.full(len(names) + 1, len(code))  # the last: an empty cell, code -1
    first[code[::-1]] = np.arange(len(code) - 1, -1, -1)  # what is assigned last stays
    used = np.flatnonzero(first < len(code))
    table = np.zeros(len(names) + 1, np.int32)
    for local in used[np.argsort(first[used])].tolist():
        name = names[local] if local < len(names) else ""
        table[local] = register.setdefault(name, len(register))
    return table[code]
