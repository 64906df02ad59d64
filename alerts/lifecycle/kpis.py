"""Key figures of alarm management (ISA-18.2, IEC 62682, EEMUA 191): whether people can answer what they are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alerts.lifecycle.lifecycle import ANEW
from alerts.record.store import StateStore

MINUTE_NS = 60 * 10**9
TEN_MINUTES_NS, HOUR_NS, DAY_NS = 10 * MINUTE_NS, 60 * MINUTE_NS, 24 * 60 * MINUTE_NS
SPAN_NS = 30 * DAY_NS
"""What the figures are taken over by default: fewer days say little."""
TOLD = tuple(sorted(ANEW))
"""The transitions by which an alarm is told, or told anew, unless a flag stands beside its state."""
FLOOD_BEGINS, FLOOD_ENDS = 10, 5
"""More than so many in ten minutes begin a flood (EEMUA 191); fewer than so many in ten minutes end it."""
BUSY_HOUR = 30
CHATTERS, CHATTERS_WITHIN_NS = 3, MINUTE_NS
STALE_NS = DAY_NS
MOST_FREQUENT = 10
_FOREVER = (1 << 63) - 1

Source = tuple[str, str]
"""Rule and point."""


@dataclass(frozen=True, slots=True)
class Annunciations:
    """What people were told, in time order: `at` int64 ns UTC, one source and one priority for each."""

    at: NDArray[np.int64]
    source: Sequence[Source]
    priority: Sequence[str]


@dataclass(frozen=True, slots=True)
class Kpis:
    """The figures of [start, end), int ns UTC; ratios are 0 to 1. `annunciated` alarms are those that people were told.

    `peak_10m` is the most in any ten minutes; `busy_10m_ratio` the share of ten-minute periods with more than 10,
    `busy_1h_ratio` of hours with more than 30; `flood_ratio` the share of time in a flood. `frequent_ratio` is the share of the ten
    most frequent sources. `stale` were active for more than 24 h at the end. `answered_*_ns` is from told to acknowledged.
    """

    start: int
    end: int
    annunciated: int
    per_day: float
    per_hour: float
    per_10m: float
    peak_10m: int
    busy_10m_ratio: float
    busy_1h_ratio: float
    flood_ratio: float
    frequent: tuple[tuple[Source, int], ...]
    frequent_ratio: float
    chattering: tuple[tuple[Source, int], ...]
    stale: int
    priorities: dict[str, float] = field(default_factory=dict)
    answered_median_ns: int | None = None
    answered_p95_ns: int | None = None


def kpis_of(told: Annunciations, start: int, end: int, active_since: Sequence[int] = (), answered_ns: Sequence[int] = ()) -> Kpis:
    """The figures of what was told in [start, end); `active_since` of what is active at the end, `answered_ns` of what was acknowledged."""
    span, count = max(end - start, 1), len(told.at)
    sources = Counter(told.source)
    frequent = tuple(sources.most_common(MOST_FREQUENT))
    priorities = Counter(told.priority)
    answered = np.array(answered_ns, np.int64)
    return Kpis(
        start=start,
        end=end,
        annunciated=count,
        per_day=count * DAY_NS / span,
        per_hour=count * HOUR_NS / span,
        per_10m=count * TEN_MINUTES_NS / span,
        peak_10m=int(_within(told.at, TEN_MINUTES_NS).max(initial=0)),
        busy_10m_ratio=min(1.0, _busy(told.at, TEN_MINUTES_NS, FLOOD_BEGINS) * TEN_MINUTES_NS / span),
        busy_1h_ratio=min(1.0, _busy(told.at, HOUR_NS, BUSY_HOUR) * HOUR_NS / span),  # a span may be shorter than a period
        flood_ratio=flood_ns(told.at, end) / span,
        frequent=frequent,
        frequent_ratio=sum(number for _, number in frequent) / count if count else 0.0,
        chattering=tuple(_chattering(told)),
        stale=sum(end - since > STALE_NS for since in active_since),
        priorities={priority: number / count for priority, number in sorted(priorities.items())},
        answered_median_ns=int(np.median(answered)) if len(answered) else None,
        answered_p95_ns=int(np.quantile(answered, 0.95, method="higher")) if len(answered) else None,
    )


def flood_ns(at: NDArray[np.int64], end: int) -> int:
    """How long floods lasted, up to `end`: from the alarm that makes more than 10 in ten minutes until fewer than 5 are left in them."""
    total, since = 0, None
    within = _within(at, TEN_MINUTES_NS)
    for index, moment in enumerate(at):
        if since is not None:
            # The moment when the fifth newest was ten minutes ago: fewer than 5 are left.
            over = int(at[index - FLOOD_ENDS]) + TEN_MINUTES_NS
            if over < moment:
                total, since = total + over - since, None
        if since is None and within[index] > FLOOD_BEGINS:
            since = int(moment)
    if since is not None:
        total += min(end, int(at[-FLOOD_ENDS]) + TEN_MINUTES_NS) - since
    return total


def _within(at: NDArray[np.int64], span_ns: int) -> NDArray[np.int64]:
    """How many there are in the span that each of them ends, with itself."""
    return np.arange(1, len(at) + 1) - np.searchsorted(at, at - span_ns, side="right")


def _busy(at: NDArray[np.int64], period_ns: int, most: int) -> int:
    """Periods of UTC with more than so many."""
    return int((np.unique(at // period_ns, return_counts=True)[1] > most).sum())


def _chattering(told: Annunciations) -> list[tuple[Source, int]]:
    """Sources that were told at least three times within a minute, with how often they began to."""
    by_source: dict[Source, list[int]] = {}
    for at, source in zip(told.at.tolist(), told.source, strict=True):
        by_source.setdefault(source, []).append(at)
    found = []
    for source, times in by_source.items():
        chatters = _within(np.array(times, np.int64), CHATTERS_WITHIN_NS) >= CHATTERS
        begun = int(chatters[0]) + int((chatters[1:] & ~chatters[:-1]).sum())
        if begun:
            found.append((source, begun))
    return sorted(found, key=lambda one: (-one[1], one[0]))


def kpis_on_record(store: StateStore, start: int, end: int) -> Kpis:
    """The figures from what the audit trail says of [start, end)."""
    marks = ", ".join("?" * len(TOLD))
    rows = store.rows(
        "select audit.at, alarms.rule, alarms.point, coalesce(stood.priority, alarms.priority), max(audit.seq) from audit"
        " join alarms on alarms.id = audit.object left join stood on stood.audit = audit.seq"
        f" where audit.action in ({marks}) and audit.at >= ? and audit.at < ?"
        " and audit.new not like '%,%'"  # flags stand after a comma (alerts/lifecycle/lifecycle.py)
        " group by audit.entry, audit.object order by audit.at",  # what changes twice in a step is told once
        (*TOLD, start, end),
    )
    told = Annunciations(np.array([row[0] for row in rows], np.int64), [(row[1], row[2]) for row in rows], [row[3] for row in rows])
    active = store.rows(
        "select raised_at from alarms where raised_at < ? and coalesce(returned_at, ?) >= ?", (end - STALE_NS, _FOREVER, end)
    )
    answered = store.rows(
        "select acknowledged_at - coalesce(risen_at, raised_at) from alarms where acknowledged_at >= ? and acknowledged_at < ?",
        (start, end),
    )
    return kpis_of(told, start, end, [row[0] for row in active], [max(0, row[0]) for row in answered])
