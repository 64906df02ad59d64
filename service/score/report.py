"""How surely and how fast rules find faults, as tables for people and as one document for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from facility.times import format_time
from simulators.score import Fault, Figures, Found, Run, by_kind, by_rule, overall

COLUMNS = ("faults", "found", "recall", "median", "p95", "right", "false", "precision", "false per point-week")
LISTED = 20
NONE = "·"


def delay_text(ns: float | None) -> str:
    """A delay as people say it: seconds up to two minutes, then minutes, then hours."""
    if ns is None:
        return NONE
    seconds = ns / 10**9
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def cells(figures: Figures) -> tuple[str, ...]:
    """Figures as the cells of COLUMNS."""
    return (
        str(figures.faults) if figures.faults else NONE,
        str(figures.found) if figures.faults else NONE,
        _share(figures.recall),
        delay_text(figures.delay_median_ns),
        delay_text(figures.delay_p95_ns),
        str(figures.right),
        NONE if figures.false is None else str(figures.false),
        _share(figures.precision),
        NONE if figures.false_per_point_week is None else f"{figures.false_per_point_week:.2g}",
    )


def _share(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.0f} %" if share in (0, 1) else f"{100 * share:.1f} %"


def rows(runs: Sequence[Run]) -> Iterator[tuple[str, str, Figures]]:
    """(all | kind | rule, its name, its figures), in the order of the report."""
    yield "all", "", overall(runs)
    yield from (("kind", name, figures) for name, figures in by_kind(runs).items())
    yield from (("rule", name, figures) for name, figures in by_rule(runs).items())


def missed(runs: Sequence[Run]) -> list[Fault]:
    """The faults that nothing found."""
    return [fault for run in runs for fault in run.faults if not fault.found_by]


def false_alarms(runs: Sequence[Run]) -> list[Found]:
    """The excursions that found nothing."""
    return [one for run in runs for one in run.false]


def document(runs: Sequence[Run], points: int, duration_ns: int) -> dict[str, Any]:
    """The scores as JSON has them; delays in seconds."""
    scores: dict[str, Any] = {"points": points, "seconds": duration_ns / 10**9, "kinds": {}, "rules": {}}
    for group, name, figures in rows(runs):
        if group == "all":
            scores["all"] = _object(figures)
        else:
            scores[f"{group}s"][name] = _object(figures)
    scores["missed"] = [
        {
            "start": format_time(fault.truth.start_ns),
            "end": None if fault.truth.end_ns is None else format_time(fault.truth.end_ns),
            "kind": fault.truth.kind,
            "rooms": fault.truth.places,
            "points": fault.truth.points,
            "rules": fault.rules,
        }
        for fault in missed(runs)
    ]
    scores["false_alarms"] = [
        {"rule": one.rule, "point": one.point, "onset": format_time(one.onset), "raised": format_time(one.raised)}
        for one in false_alarms(runs)
    ]
    return scores


def _object(figures: Figures) -> dict[str, Any]:
    seconds = [None if ns is None else ns / 10**9 for ns in (figures.delay_median_ns, figures.delay_p95_ns)]
    return {
        "faults": figures.faults,
        "found": figures.found,
        "recall": figures.recall,
        "delay_median": seconds[0],
        "delay_p95": seconds[1],
        "right": figures.right,
        "false": figures.false,
        "precision": figures.precision,
        "false_per_point_week": figures.false_per_point_week,
    }
