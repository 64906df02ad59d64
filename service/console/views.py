"""From what is configured and stored to what people are shown: pure building of views."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from alerts.lifecycle.lifecycle import ACKNOWLEDGED, LATCHED_ACKNOWLEDGED, LATCHED_UNACKNOWLEDGED, NORMAL, RETURNED, Alarm
from alerts.pages.page import OUR_CLOCK
from dashboards.views import AlarmView, LimitInForce, PlaceView, PointView, Shelf
from facility.site import OCCUPANCIES, Facility, Point
from rules.ahead import OURS
from rules.excursion import Excursion
from rules.occupancy import Occupancy
from rules.plan import LIMITED, Pairs, Plan
from rules.rule import Rule
from service.console.board import PointStanding


class Words:
    """What the rules and points of a configuration are called; of those that it no longer has, what can be said without them."""

    def __init__(self, rules: Sequence[Rule], facility: Facility) -> None:
        self._rules: Mapping[str, Rule] = {rule.id: rule for rule in rules}
        self._points = facility.judged_by_id

    def rule(self, excursion: Excursion) -> Rule | None:
        """The rule of an excursion, None where it is gone."""
        return self._rules.get(excursion.rule)

    def kind_of(self, excursion: Excursion) -> str:
        """The kind of the excursion's rule; of a rule that is gone, the kind that such an excursion is of."""
        rule = self._rules.get(excursion.rule)
        if rule is not None:
            return rule.kind
        if excursion.limit is not None:
            return "limit"
        return "quality" if excursion.readings else "stale"

    def alarm(self, alarm: Alarm, excursion: Excursion) -> AlarmView:
        """An alarm and the newest revision of its excursion in words."""
        rule, point = self._rules.get(excursion.rule), OUR_CLOCK if alarm.point == OURS else self._points.get(alarm.point)
        text = rule.text if rule is not None else {}
        over = None if alarm.returned_at is None else excursion.ended if excursion.ended is not None else alarm.returned_at
        return AlarmView(
            id=alarm.id,
            state=alarm.state,
            since=_since(alarm),
            rule=alarm.rule,
            kind=self.kind_of(excursion),
            level=alarm.level,
            priority=alarm.priority,
            point=alarm.point,
            room=excursion.room,
            zone=excursion.zone or None,
            quantity=point.quantity if point is not None else "",
            unit=excursion.unit,
            onset=excursion.onset,
            raised=alarm.raised_at,
            point_name=point.name if point is not None else "",
            direction=_direction(excursion, rule),
            limit=excursion.limit,
            peak=excursion.peak,
            resolution=point.resolution if point is not None else None,
            returned=over,
            acknowledged=alarm.acknowledged_at,
            acknowledged_by=alarm.acknowledged_by or "",
            comment=alarm.comment or "",
            text=text.get("en") or next(iter(text.values()), ""),
            sop=(rule.sop if rule is not None else None) or "",
            excursion=alarm.excursion,
            late=alarm.late,
            shelved=_shelf(alarm),
            suppressed=alarm.suppressed,
            out_until=alarm.out_until,
            group=alarm.group,
            texts=text,
        )


def _shelf(alarm: Alarm) -> Shelf | None:
    if alarm.shelved_until is None or alarm.shelved_at is None:
        return None
    return Shelf(alarm.shelved_until, alarm.shelved_at, alarm.shelved_by, alarm.shelved_reason)


def _since(alarm: Alarm) -> int:
    """When the alarm came into its state."""
    told = alarm.raised_at if alarm.risen_at is None else alarm.risen_at
    returned, acknowledged = alarm.returned_at or told, alarm.acknowledged_at or told
    both = max(returned, acknowledged)
    since = {RETURNED: returned, ACKNOWLEDGED: acknowledged, LATCHED_UNACKNOWLEDGED: returned, LATCHED_ACKNOWLEDGED: both, NORMAL: both}
    return since.get(alarm.state, told)


def _direction(excursion: Excursion, rule: Rule | None) -> str:
    """On which side of its limit the worst value is; at it, the side that equality breaks."""
    if excursion.peak is None or excursion.limit is None:
        return ""
    if excursion.peak == excursion.limit:
        return "above" if rule is not None and rule.above is not None and rule.above.inclusive else "below"
    side = "above" if excursion.peak > excursion.limit else "below"
    # Of a `count` that goes on for earlier readings, the worst since its onset may lie inside.
    return side if rule is None or getattr(rule, side) is not None else ""


class LimitsInForce:
    """The limits that a plan holds against each point, by the occupancy whose limits apply (an index of OCCUPANCIES)."""

    def __init__(self, plan: Plan, number_of: Mapping[str, int]) -> None:
        self._groups = [pairs for pairs in plan.groups if pairs.kind in LIMITED]
        self._number_of = number_of
        self._known: dict[tuple[str, int], tuple[LimitInForce, ...]] = {}

    def of(self, point: str, code: int) -> tuple[LimitInForce, ...]:
        """The limits of a point; those whose table specifies nothing for the occupancy are left out."""
        key = (point, code)
        found = self._known.get(key)
        if found is None:
            number = self._number_of[point]
            rows = [(pairs, row) for pairs in self._groups for row in range(int(pairs.offsets[number]), int(pairs.offsets[number + 1]))]
            found = tuple(limit for pairs, row in rows if (limit := _limit(pairs, row, code)) is not None)
            self._known[key] = found
        return found


def _limit(pairs: Pairs, row: int, code: int) -> LimitInForce | None:
    above, below = pairs.limits_in(row, OCCUPANCIES[code])
    if math.isnan(above):
        return None
    rule = pairs.rules[row]
    return LimitInForce(rule.id, rule.level, *(side if math.isfinite(side) else None for side in (above, below)))


def limit_codes(occupancy: Occupancy, at: int) -> NDArray[np.int8]:
    """For each place of the facility the occupancy whose limits apply at a moment (clean-up counted in), as an index of OCCUPANCIES."""
    count = len(occupancy.reported)
    return occupancy.limit_codes(np.arange(count, dtype=np.int32), np.full(count, at))


def place_views(facility: Facility, occupancy: Occupancy, at: int) -> tuple[PlaceView, ...]:
    """Rooms and zones with the occupancy that was reported of them."""
    moment = np.array([at])
    return tuple(
        PlaceView(place.id, place.name, place.grade, place.type, place.parent, OCCUPANCIES[int(timeline.at(moment)[0])])
        for place, timeline in zip(facility.places, occupancy.reported, strict=True)
    )


def point_view(point: Point, standing: PointStanding, limits: tuple[LimitInForce, ...]) -> PointView:
    """A point as it is now."""
    return PointView(
        id=point.id,
        name=point.name,
        quantity=point.quantity,
        unit=point.unit,
        room=point.room,
        zone=point.zone,
        grade=point.grade,
        resolution=point.resolution,
        period_ns=point.period_ns,
        latest=standing.latest,
        limits=limits,
        state=standing.state,
        since=standing.since,
    )
