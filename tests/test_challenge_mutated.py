"""The challenge of derived points, and of states that last too long: whatever is wrong with the instance is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from facility.derived import Derived
from facility.durations import parse_duration
from facility.site import SECOND_NS, Facility, Place
from rules.rule import Bound, Rule, Selection
from service.challenge import stays
from service.challenge.subject import FAIL
from service.configuration.configuration import Configuration
from tests.support.challenged import COMPUTED, OF_COMPUTED, challenged, configured, lines, otherwise

WRONG: dict[str, Callable[[Rule], Rule]] = {
    "reversed": lambda rule: replace(rule, below=Bound(5.0)),
    "low": lambda rule: replace(rule, on_delay=parse_duration("5800ms")),
    "high.alert": lambda rule: replace(rule, above=Bound(30.0, inclusive=True)),
    "high.action": lambda rule: replace(rule, during=()),
    "kept": lambda rule: replace(rule, above=Bound(60.05)),
    "dirty": lambda rule: replace(rule, above=Bound(19.0)),
    "often": lambda rule: replace(rule, k=1),
    "average": lambda rule: replace(rule, window=parse_duration("20m")),
    "jump": lambda rule: replace(rule, change=4.2),
    "disk": lambda rule: replace(rule, below=Bound(9.5)),
    "forgotten": lambda rule: replace(rule, select=Selection(zone=("bsc1",))),
}
"""What is wrong with each rule of the instance."""


@pytest.fixture
def faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks for what fails need not wait until the machine is surely in time."""
    monkeypatch.setattr(stays, "LEAD_NS", SECOND_NS)


@pytest.mark.usefixtures("faster")
def test_whatever_is_wrong_is_found(tmp_path: Path) -> None:
    configuration = configured(tmp_path / "site", OF_COMPUTED, COMPUTED)
    rules = tuple(WRONG[rule.id](rule) if rule.id in WRONG else rule for rule in configuration.rules)
    record = challenged(configuration, tmp_path / "own", otherwise(configuration, rules))
    found = {rule: {(one.point, one.case) for one in lines(record, rule, FAIL)} for rule in WRONG}
    assert [rule for rule, cases in found.items() if not cases] == []
    assert ("step", "below/beyond") in found["reversed"]
    assert found["high.action"] == {("highest", "not-judged")}
    assert {point for point, _ in found["forgotten"]} == {"cp1/occupancy"}


def derived(configuration: Configuration, point: str, change: Callable[[Derived], Derived]) -> Facility:
    """The facility in which a point is derived otherwise."""
    points = tuple(
        replace(one, derived=change(one.derived)) if one.id == point and one.derived else one for one in configuration.facility.points
    )
    return replace(configuration.facility, points=points)


def aged(origin: int, more_ns: int) -> Callable[[Derived], Derived]:
    def change(derived: Derived) -> Derived:
        origins = [replace(one, max_age_ns=one.max_age_ns + more_ns * (n == origin)) for n, one in enumerate(derived.origins)]
        return replace(derived, origins=tuple(origins))

    return change


@pytest.mark.usefixtures("faster")
def test_what_is_computed_otherwise_is_found(tmp_path: Path) -> None:
    """Each point by another formula; the room's cleaning a little longer."""
    configuration = configured(tmp_path / "site", OF_COMPUTED, COMPUTED)
    changes: dict[str, Callable[[Derived], Derived]] = {
        "step": aged(1, SECOND_NS // 5),
        "lowest": lambda one: replace(one, origins=one.origins[:-1]),
        "highest": aged(0, -SECOND_NS // 5),
        "cubic": lambda one: replace(one, samples=one.samples + 1),
    }
    wrong = configuration
    for point, change in changes.items():
        wrong = replace(wrong, facility=derived(wrong, point, change))
    places = tuple(_longer(place) for place in wrong.facility.places)
    record = challenged(configuration, tmp_path / "own", otherwise(wrong, wrong.rules, replace(wrong.facility, places=places)))
    found = {rule.id: {one.case for one in lines(record, rule.id, FAIL)} for rule in configuration.rules}
    assert found["reversed"] >= {"origin/expired"}
    assert found["low"] >= {"origin/each"}
    assert found["high.alert"] == {"origin/age"}
    assert found["dirty"] >= {"origin/rolls", "above/beyond"}
    assert found["forgotten"] == {"cleaning/long", "cleaning/again", "cleaning/late/found"}


def _longer(place: Place) -> Place:
    return replace(place, at_most_ns=tuple((state, ns + SECOND_NS * (state == "cleaning")) for state, ns in place.at_most_ns))
