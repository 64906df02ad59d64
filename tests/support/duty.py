"""A desk of duties held in memory."""

from __future__ import annotations

from dataclasses import replace

from alerts.alarms import Answer
from alerts.escalation.drills import Drill
from dashboards.duty_api import DutyBoard, DutyView, SwapAsked, SwapView
from dashboards.telling import Telling
from facility.times import parse_time

MONDAY = parse_time("2026-11-23T07:00:00Z")


class FakeDesk:
    """Implements dashboards.duty_api.Desk: one rotation, Anna's until Monday."""

    def __init__(self, now: int) -> None:
        self.shown = DutyBoard(now, (DutyView("facility", "anna", MONDAY, None, "bo"),), (), {"anna": "Anna Berg", "bo": "Bo Lind"})
        self.tellings: dict[str, Telling] = {}

    def board(self, at: int | None = None) -> DutyBoard:
        return self.shown if at is None else replace(self.shown, at=at)

    def test(self, names: tuple[str, ...], within_ns: int, by: str) -> str:
        drill = Drill(f"T{len(self.shown.tests) + 1}", self.shown.at, by, names, self.shown.at + within_ns)
        self.shown = replace(self.shown, tests=(*self.shown.tests, drill))
        return drill.id

    def acknowledge_test(self, id: str, by: str, comment: str) -> Answer:
        was = self.found(id)
        assert was is not None
        if was.acknowledged_at is not None:
            return Answer("already", id, was.acknowledged_by, was.acknowledged_at)
        now = replace(was, acknowledged_at=self.shown.at, acknowledged_by=by)
        self.shown = replace(self.shown, tests=tuple(now if drill.id == id else drill for drill in self.shown.tests))
        return Answer("accepted", id, by, self.shown.at)

    def found(self, id: str) -> Drill | None:
        return next((drill for drill in self.shown.tests if drill.id == id), None)

    def telling(self, alarm_id: str) -> Telling | None:
        return self.tellings.get(alarm_id)

    def swap(self, asked: SwapAsked) -> None:
        view = SwapView(asked.rotation, asked.person, asked.start, asked.end, asked.instead_of, asked.reason, asked.by, self.shown.at)
        self.shown = replace(self.shown, swaps=(*self.shown.swaps, view))
