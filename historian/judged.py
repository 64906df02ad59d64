"""What the rules found, as lines: excursions with their revisions, and the transitions of alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from historian.lines import Field, line
from historian.schema import ALARM, EXCURSION, Measurement


@dataclass(frozen=True, slots=True)
class Row:
    """One excursion row or transition: `seq` orders the changes, `time` is int ns UTC, unique for its tags; `columns` by schema name.

    Without columns it is something else, which only moves the cursor.
    """

    seq: int
    time: int
    columns: Mapping[str, Field]


class Judged(Protocol):
    """Changes in the order in which they were committed; a row that changed again stands once, with its newest number."""

    def excursions(self, after: int, limit: int) -> Sequence[Row]: ...

    def transitions(self, after: int, limit: int) -> Sequence[Row]: ...

    def newest(self) -> tuple[int, int]:
        """The highest number of either kind, 0 without any."""
        ...


def excursion_line(row: Row, site: str, updated: int) -> bytes:
    return _line(EXCURSION, row, {"site": site, "updated": updated})


def transition_line(row: Row, site: str) -> bytes:
    return _line(ALARM, row, {"site": site})


def _line(measurement: Measurement, row: Row, more: Mapping[str, Field]) -> bytes:
    columns = {**row.columns, **more}
    return line(measurement, {name: str(columns[name]) for name in measurement.tags}, columns, row.time)
