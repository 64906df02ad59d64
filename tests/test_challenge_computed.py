"""The challenge of rules at points that no instrument sends, and of states that last too long: right ones pass, wrong ones are found."""

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
from service.challenge.conduct import Record
from service.challenge.stays import Said, due_of
from service.challenge.subject import FAIL, NOT_APPLICABLE, NOT_TESTED, PASS, Due
from service.configuration import Configuration, load_configuration
from service.judging import judging_hash
from tests.support.challenged import challenged, lines

MINUTE_NS = 60 * SECOND_NS
FACILITY = """
site: {id: lab, name: Lab, timezone: Europe/Stockholm}
rooms:
  - id: cp1
    grade: B
    at_most: {cleaning: 4h, maintenance: 30m}
    points:
      - {id: dp, quantity: differential_pressure, unit: Pa, period: 2s, range: [-100, 100], resolution: 0.1}
      - {id: dp2, quantity: differential_pressure, unit: Pa, period: 4s, range: [0, 100], resolution: 0.1}
      - {id: dp3, quantity: differential_pressure, unit: Pa, period: 2s, range: [-100, 100], resolution: 0.1}
      - {id: p50, quantity: particles_5_0um, unit: 1/m3, period: 60s}
      - {id: step, quantity: cascade, derived: {difference: [dp, dp2]}}
      - {id: lowest, quantity: lowest, derived: {minimum: {room: cp1, quantity: differential_pressure}}}
      - {id: highest, quantity: highest, derived: {maximum: {room: cp1, quantity: differential_pressure}}}
      - {id: cubic, quantity: cubic, unit: 1/m3, derived: {sum: p50, volume: 1 m3, sample: 100 L}}
    zones:
      - {id: bsc1, grade: A, type: bsc}
"""
RULES = """
rules:
  - {id: reversed, kind: limit, select: {point: step}, level: action, below: 5.1, on_delay: 10s, off_delay: 4s, deadband: 1}
  - {id: low, kind: limit, select: {point: lowest}, level: alert, below: 4, on_delay: 6s, max_gap: 8s}
  - {id: high, kind: limit, select: {point: highest}, levels: {alert: {above: 30}, action: {above: 40}}, while: [in_operation]}
  - {id: kept, kind: limit, select: {point: lowest}, level: alert, above: 60, on_delay: 4s}
  - {id: dirty, kind: limit, select: {point: cubic}, level: action, above: 20, on_delay: 1m}
  - {id: often, kind: count, select: {point: cubic}, level: alert, above: 3, k: 2, n: 4}
  - {id: average, kind: mean, select: {point: step}, level: alert, below: 9, window: 5m}
  - {id: jump, kind: rate, select: {point: step}, level: technical, change: 4, window: 2m}
  - {id: still, kind: flatline, select: {point: step}, duration: 1h}
  - {id: disk, kind: limit, select: {point: $disk.free}, level: technical, below: 10, on_delay: 2m}
  - {id: forgotten, kind: state}
"""


def configured(folder: Path) -> Configuration:
    folder.mkdir(parents=True)
    (folder / "facility.yaml").write_text(FACILITY)
    (folder / "rules.yaml").write_text(RULES)
    (folder / "oncall.yaml").write_text("channels: {pager: {kind: webhook, url: 'http://127.0.0.1:9/never'}}\n")
    main = folder / "renrum.yaml"
    main.write_text(
        "environment: production\nfacility: facility.yaml\nrules: rules.yaml\noncall: oncall.yaml\ndata_dir: ./data\n"
        "mqtt: {url: 'mqtt://127.0.0.1:9'}\nhttp: {host: 127.0.0.1, port: 0}\n"
    )
    return load_configuration(main, {})


def otherwise(configuration: Configuration, rules: tuple[Rule, ...], facility: Facility) -> Configuration:
    hash_ = judging_hash(facility, rules, configuration.tables)
    return replace(configuration, facility=facility, rules=rules, judging_hash=hash_)


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Record:
    folder = tmp_path_factory.mktemp("right")
    return challenged(configured(folder / "site"), folder / "own")


def test_right_rules_pass(right: Record) -> None:
    assert [outcome for outcome in right.outcomes if outcome.status in (FAIL, NOT_TESTED)] == []
    assert {one.rule.id for one in right.chosen} == {"still"} | {outcome.rule for outcome in right.outcomes if outcome.status == PASS}
    assert right.lost == 0
    told = {(one.rule, one.reason) for one in right.outcomes if one.case == "rule" and one.status == NOT_APPLICABLE}
    assert told == {("still", "the point is computed of others, and rules of this kind judge instruments")}


def test_what_was_driven(right: Record) -> None:
    cases = {(outcome.rule, outcome.case) for outcome in right.outcomes if outcome.status == PASS}
    assert {("reversed", f"below/{case}") for case in ("inside", "at-limit", "beyond", "delay-short", "delay-exact", "deadband")} < cases
    assert {("reversed", f"origin/{case}") for case in ("silent",)} < cases
    assert {("low", f"origin/{case}") for case in ("each", "age")} < cases
    assert {("dirty", f"origin/{case}") for case in ("rolls", "gap")} < cases
    assert {(rule, case) for rule in ("reversed", "low", "dirty") for case in ("late/found", "late/taken-back", "uncertain")} < cases
    assert {("often", "above/at-limit"), ("average", "below/beyond"), ("jump", "up/beyond"), ("high.alert", "not-judged")} < cases
    assert {("disk", f"below/{case}") for case in ("inside", "at-limit", "beyond", "delay-exact")} < cases
    states = {f"{state}/{case}" for state in ("cleaning", "maintenance") for case in ("short", "exact", "long", "again", "late/found")}
    assert {("forgotten", case) for case in {"free", "waiting/before", "waiting/raised", *states}} < cases
    assert {one.point for one in right.outcomes if one.rule == "forgotten"} == {"cp1/occupancy", "bsc1/occupancy"}


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
    configuration = configured(tmp_path / "site")
    rules = tuple(WRONG[rule.id](rule) if rule.id in WRONG else rule for rule in configuration.rules)
    record = challenged(configuration, tmp_path / "own", otherwise(configuration, rules, configuration.facility))
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
    configuration = configured(tmp_path / "site")
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


def test_which_stays_are_too_long_by_hand() -> None:
    said = (Said(0, "at_rest"), Said(10, "cleaning"), Said(15, "cleaning"), Said(21, "at_rest"), Said(99, "cleaning"), Said(109, "at_rest"))
    assert due_of(said, {"cleaning": 10}) == (Due(10, 20, 21, 21, None, None, 0),)
    assert due_of(said, {"cleaning": 11, "at_rest": 50}) == (Due(21, 71, 99, 99, None, None, 0),)
