"""The part of the obvious evaluator that is about clocks: docs/rules.md, "clock_ahead", in plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from facility.site import Point
from rules.excursion import Excursion
from rules.rule import Rule
from tests.support.admitted import Admitted, arrived

MINUTE = 60 * 10**9


def clocks(rule: Rule, selected: Sequence[Point], admitted: Admitted, clock: int) -> list[Excursion]:
    """The excursions of a `clock_ahead` rule: moment after moment, what was stored, what was refused, what the clock reached."""
    points = {point.id: point for point in selected}
    refused = [(arrived(row), row.point) for row, reason in admitted.quarantined if reason == "clock_ahead" and row.point in points]
    stored = [(reading.received, reading.point) for reading in admitted.readings if reading.point in points]
    moments = {moment for moment, _ in refused + stored} | {moment + MINUTE for moment, _ in refused}
    runs: dict[str, int] = {}
    opened: dict[str, Excursion] = {}
    done: list[Excursion] = []

    def over(id: str, moment: int) -> None:
        if id in opened:
            done.append(replace(opened.pop(id), ended=moment, cleared=moment))

    for moment in sorted(moment for moment in moments if moment <= clock):
        before = [received for received, _ in refused if moment - MINUTE < received < moment]
        lately = {id for received, id in refused if moment - MINUTE < received <= moment}
        refused_now = {id for received, id in refused if received == moment}
        stored_now = {id for received, id in stored if received == moment}
        for id in stored_now:
            runs.pop(id, None)
            over(id, moment)
        if stored_now and not before:
            over("$clock", moment)
        if "$clock" not in opened:
            runs |= {id: moment for id in refused_now if id not in runs and id not in opened}
            if refused_now and len(lately) >= 2 and len(lately) > len(points) / 2:
                opened["$clock"] = Excursion(rule.id, "$clock", rule.level, min([*before, moment]), moment)
                runs = {}
        for id in [id for id, start in runs.items() if moment >= start + MINUTE]:
            point = points[id]
            onset = runs.pop(id)
            opened[id] = Excursion(rule.id, id, rule.level, onset, onset + MINUTE, zone=point.zone or "", room=point.room, unit=point.unit)
    return done + list(opened.values())
