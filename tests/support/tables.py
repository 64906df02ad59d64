"""A limit table for tests: a dictionary with the one method that judgement asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from facility.site import Point


@dataclass(frozen=True, slots=True)
class PlainCell:
    """Both sides of one cell; None where the table says nothing."""

    below: float | None = None
    above: float | None = None


@dataclass(frozen=True, slots=True)
class PlainTable:
    """Cells by (occupancy, level), the same for every point."""

    cells: Mapping[tuple[str, str], PlainCell] = field(default_factory=dict)

    def cell(self, point: Point, occupancy: str, level: str) -> PlainCell | None:
        """The cell, or None where it is not specified."""
        return self.cells.get((occupancy, level))
