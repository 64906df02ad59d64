"""What judgement needs to go on where it was: what is under way (kept with every step) and the newest of everything (now and then)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from alerts.judging.judgement import Judgement
from alerts.judging.outages import in_service
from facility.reading import Readings
from rules.plan import Pairs
from rules.runs import Extent, RunState
from rules.stale import FOREVER_NS, StaleState
from rules.windows import Windows


class Columns(msgspec.Struct, frozen=True):
    """Rows of arrays by the (rule, point) that they belong to."""

    keys: list[tuple[str, str]]
    columns: dict[str, tuple[str, bytes]]


class UnderWay(msgspec.Struct, frozen=True):
    """Pairs with an open excursion or a run that may become one, a group each; silences that are open.

    `lasting`: per stream the newest evaluated time of points that report on change, which may be that of a copy, by ascending number.
    """

    groups: list[Columns]
    silences: Columns
    lasting: list[bytes]
    listened: tuple[int, int]


class Newest(msgspec.Struct, frozen=True):
    """Per stream the newest evaluated time by point number and the readings that settle; per silence pair its last arrival."""

    newest: list[bytes]
    waiting: list[dict[str, tuple[str, bytes]]]
    silences: Columns


def under_way(judgement: Judgement) -> bytes:
    plan = judgement.plan
    groups = [_rows(pairs, state, np.flatnonzero(state.active)) for pairs, state in zip(plan.groups, judgement.states, strict=True)]
    silences = _rows(plan.stale, judgement.silences, np.flatnonzero(judgement.silences.open))
    numbers = judgement.lasting.numbers
    lasting = [stream.newest[numbers].tobytes() for stream in judgement.streams]
    return msgspec.msgpack.encode(UnderWay(groups, silences, lasting, judgement.lasting.listened))


def newest(judgement: Judgement) -> bytes:
    waiting = [_arrays(stream.waiting) for stream in judgement.streams]
    silences = _rows(judgement.plan.stale, judgement.silences, np.arange(len(judgement.plan.stale)))
    return msgspec.msgpack.encode(Newest([stream.newest.tobytes() for stream in judgement.streams], waiting, silences))


def restore(judgement: Judgement, newest_blob: bytes, under_way_blob: bytes, since: Iterable[Readings], clock: int) -> None:
    """Put an adopted judgement where it was; `since` are the readings stored after `newest_blob`, `clock` is the last step's time."""
    kept = msgspec.msgpack.decode(newest_blob, type=Newest)
    going = msgspec.msgpack.decode(under_way_blob, type=UnderWay)
    arrived = Readings.concatenate(list(since))
    for which, stream in enumerate(judgement.streams):
        known = np.frombuffer(kept.newest[which], np.int64)
        stream.newest[: len(known)] = known
        readings = Readings.concatenate([_readings(kept.waiting[which]), arrived])
        settled = readings.received <= clock - judgement.plan.groups[which].settle_ns
        np.maximum.at(stream.newest, readings.point[settled], readings.time[settled])
        for number, time in judgement.derivations.news(readings.take(settled))[1].items():
            stream.newest[number] = max(int(stream.newest[number]), time)
        stream.newest[judgement.lasting.numbers] = np.frombuffer(going.lasting[which], np.int64)
        stream.waiting = readings.take(~settled)
    for pairs, state, rows in zip(judgement.plan.groups, judgement.states, going.groups, strict=True):
        _put(pairs, state, rows)
    judgement.lasting.listened = going.listened
    judgement.recall(clock)
    stale = judgement.plan.stale
    _put(stale, judgement.silences, kept.silences)
    _arrivals(stale, judgement.silences, in_service(judgement.outages, arrived)[0])
    judgement.silences.open[:] = judgement.silences.dead[:] = False
    _put(stale, judgement.silences, going.silences)


def _arrivals(pairs: Pairs, silences: StaleState, arrived: Readings) -> None:
    if not len(arrived):
        return
    last = {int(number): row for row, number in enumerate(arrived.point.tolist())}
    for number, row in last.items():
        rows = slice(int(pairs.offsets[number]), int(pairs.offsets[number + 1]))
        silences.received[rows] = arrived.received[row]
        silences.heard[rows] = np.where(pairs.on_change[rows], FOREVER_NS, arrived.heard[row])


def _rows(pairs: Pairs, state: RunState | StaleState, which: NDArray[np.intp]) -> Columns:
    return Columns([pairs.key(int(row)) for row in which], _arrays(state.rows(which)))


def _arrays(value: Any, prefix: str = "") -> dict[str, tuple[str, bytes]]:
    columns: dict[str, tuple[str, bytes]] = {}
    for field in fields(value):
        column = getattr(value, field.name)
        if column is None or isinstance(column, Windows):
            continue  # windows are read from the series again
        if isinstance(column, Extent):
            columns |= _arrays(column, f"{field.name}.")
        else:
            columns[prefix + field.name] = (column.dtype.str, column.tobytes())
    return columns


def _put(pairs: Pairs, state: RunState | StaleState, rows: Columns) -> None:
    row_of = {pairs.key(row): row for row in range(len(pairs))} if rows.keys else {}
    found = [(row_of[key], position) for position, key in enumerate(rows.keys) if key in row_of]
    if not found:
        return
    target, source = np.array(found, np.intp).T
    for name, (dtype, data) in rows.columns.items():
        holder, _, leaf = name.rpartition(".")
        column = getattr(getattr(state, holder) if holder else state, leaf)
        column[target] = np.frombuffer(data, dtype)[source]


def _readings(columns: dict[str, tuple[str, bytes]]) -> Readings:
    loaded: list[Any] = [np.frombuffer(data, dtype) for dtype, data in (columns[field.name] for field in fields(Readings))]
    return Readings(*loaded)
