"""`renrum rules diff`: what a change would have done is what it does to an installation that lived with it."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from historian.wanted import Wanted
from rules.difference import ADDED, MOVED, REMOVED
from rules.excursion import CURRENT, Excursion
from service.archive import Archive
from service.changing import Change, Setting
from service.configuration import load_configuration
from service.impact import from_journal
from tests.support.archive_data import START, Installation

SECOND_NS = 10**9
CHANGE = ("dp-cascade.alert.below=11", "dp-cascade.on_delay=16s", "silent.after=6 periods", "particles-a.alert.above=400")
POINTS = ("cp1.dp1.dp", "pal1.dp1.dp", "bsc1.p05")


def change(*settings: str) -> Change:
    return Change((), tuple(Setting.parsed(text) for text in settings))


def set_in(place: Installation, *settings: tuple[str, str]) -> None:
    """Put the example configuration with these settings in force."""
    rules = place.folder / "rules.yaml"
    text = rules.read_text()
    for old, new in settings:
        assert old in text
        text = text.replace(old, new)
    rules.write_text(text)
    place.configure(load_configuration(place.config, {}))


CHANGED = (
    ("alert: {below: 12,", "alert: {below: 11,"), ("on_delay: 8s # real: 60s;", "on_delay: 16s #"),
    ("after: 4 periods", "after: 6 periods"), ("alert: {above: 1000,", "alert: {above: 400,"),
)  # fmt: skip
LATER = (("deadband: 1\n    on_delay", "deadband: 0.5\n    on_delay"),)


def live(folder: Path, seed: int, changed: bool) -> Installation:
    """Half an hour with drops of pressure, silences, late readings and states, and a second configuration in the middle."""
    place = Installation(folder)
    if changed:
        set_in(place, *CHANGED)
    chance = random.Random(seed)
    late: list[tuple[str, float, float]] = []
    for second in range(0, 1000, 4):
        place.at = max(place.at, START + second * SECOND_NS)
        if second == 500:
            set_in(place, *LATER)
        for point in POINTS:
            low = (second // 60 + POINTS.index(point)) % 7 == 3
            value = chance.uniform(9, 14) if low else 15.0
            if point.startswith("bsc1"):
                value = chance.choice([0.0, 500.0, 2000.0])
            fate = chance.random()
            if (second // 100) % 6 == POINTS.index(point):
                continue  # silent for a while
            if fate < 0.1:
                late.append((point, value, second))
            else:
                place.read(point, value, second)
        if second % 300 == 0:
            place.occupancy("cp1", chance.choice(["at_rest", "in_operation"]), second - 20)
        if chance.random() < 0.05:
            for point, value, then in late:
                place.read(point, value, then)
            late = []
        if second % 8 == 0:
            place.step()
        if second == 600:
            place.write_series()
    place.step()
    return place


def record(place: Installation) -> list[Excursion]:
    """What is current on record, without what another journal numbers otherwise."""
    return [replace(row, id="", revision=0, late=False, config="") for row in place.store.excursions("status = ?", (CURRENT,))]


@pytest.mark.parametrize("seed", [1, 2])
def test_after_is_what_lives_with_the_change(tmp_path: Path, seed: int) -> None:
    as_it_was, with_it = live(tmp_path / "a", seed, False), live(tmp_path / "b", seed, True)
    before, after = record(as_it_was), record(with_it)
    (tmp_path / "files").mkdir()
    with Archive(as_it_was.data_dir) as archive:
        impact = from_journal(archive, change(*CHANGE), (), Wanted(), tmp_path / "files", lambda done: None)
        assert impact.changed == {"dp-cascade.alert", "dp-cascade.action", "silent", "particles-a.alert"}
        found = list(impact.differences())
        old = sorted((one.before for one in found if one.before), key=_order)
        new = sorted((one.after for one in found if one.after), key=_order)
        plain = [replace(row, id="", revision=0, late=False, config="") for row in old]
        assert plain == sorted((row for row in before if row.rule in impact.changed), key=_order)
        wanted = sorted((row for row in after if row.rule in impact.changed), key=_order)
        assert [row for row in new if row.rule != "silent"] == [row for row in wanted if row.rule != "silent"]
        # Arrivals are a few ns of listening apart, as the second configuration is another entry; silences are the same otherwise.
        assert [(row.point, row.onset, row.ended) for row in new if row.rule == "silent"] == [
            (row.point, row.onset, row.ended) for row in wanted if row.rule == "silent"
        ]
        assert sum(one.before for one in impact.sums.values()) == len(old) > 5
        assert sum(one.after for one in impact.sums.values()) == len(new) > 5
        assert {one.what for one in found} >= {REMOVED, MOVED, ADDED}
        impact.found.close()
    as_it_was.close()
    with_it.close()


def _order(row: Excursion) -> tuple[str, str, int]:
    return row.rule, row.point, row.onset
