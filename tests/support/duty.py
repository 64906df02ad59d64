"""A desk of duties held in memory."""

from __future__ import annotations

from dataclasses import replace

from dashboards.duty_api import DutyBoard, DutyView, SwapAsked, SwapView
from facility.times import parse_time

MONDAY = parse_time("2026-11-23T07:00:00Z")


class FakeDesk:
    """Implements dashboards.duty_api.Desk: one rotation, Anna's until Monday."""

    def __init__(self, now: int) -> None:
        self.shown = DutyBoard(now, (DutyView("facility", "anna", MONDAY, None, "bo"),), (), {"anna": "Anna Berg", "bo": "Bo Lind"})

    def board(self, at: int | None = None) -> DutyBoard:
        return self.shown if at is None else replace(self.shown, at=at)

    def swap(self, asked: SwapAsked) -> None:
        view = SwapView(asked.rotation, asked.person, asked.start, asked.end, asked.instead_of, asked.reason, asked.by, self.shown.at)
        self.shown = replace(self.shown, swaps=(*self.shown.swaps, view))
