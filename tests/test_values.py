"""What changes in a configuration, in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.configuration.values import differences
from tests.support.changing import edited, loaded, told, written

# In words


@pytest.mark.parametrize(
    ("name", "old", "new", "lines"),
    [
        ("limits.csv", ",action,10,", ",action,12,", ["cp1.dp action below 10 → 12 Pa"]),
        (
            "limits.csv",
            "cp1.dp,,action,10,\n",
            "cp1.dp,in_operation,action,10,\ncp1.dp,at_rest,action,5,\n",
            ["cp1.dp action below 10 Pa → 10 Pa in in_operation, 5 Pa in at_rest, none in cleaning and maintenance and shutdown"],
        ),
        ("rules.yaml", "above: 25", "above: 26", ["rule warm above 25 → 26 degC"]),
        ("rules.yaml", "on_delay: 5m", "on_delay: 90s", ["rule warm on_delay 5m → 90s"]),
        ("rules.yaml", "above: 25", "at_or_above: 25", ["rule warm above 25 degC → 25 (at it, too) degC"]),
        ("rules.yaml", "Close the doors.", "Run.", ["rule dp-low text en Close the doors. → Run."]),
        ("facility.yaml", "range: [-100, 100]", "range: [-100, 50]", ["cp1.dp range -100, 100 → -100, 50"]),
        ("facility.yaml", "grade: B", "grade: C", ["room cp1 grade B → C"]),
        (
            "facility.yaml",
            "      - {id: cp1.temp",
            "      - {id: cp1.rh, quantity: relative_humidity, unit: '%'}\n      - {id: cp1.temp",
            ["cp1.rh: new: quantity relative_humidity, unit %, room cp1, name cp1.rh"],
        ),
        ("oncall.yaml", "pages.jsonl", "other.jsonl", ["on-call channels.sink.file pages.jsonl → other.jsonl"]),
        ("renrum.yaml", "apply: on_start", "apply: signed", ["renrum.yaml apply on_start → signed"]),
        ("rules.yaml", "rules:", "# a word\nrules:", ["file rules.yaml: new: only comments, order or layout"]),
    ],
)
def test_every_changed_value_is_one_line(tmp_path: Path, name: str, old: str, new: str, lines: list[str]) -> None:
    before = written(tmp_path)
    assert told(before, edited(tmp_path, name, old, new)) == lines


def test_what_is_gone_is_said_and_no_secret_is(tmp_path: Path) -> None:
    before = written(tmp_path)
    (tmp_path / "hook").write_text("https://hooks.example.org/s3cr3t")
    (tmp_path / "oncall.yaml").write_text("channels: {hook: {kind: webhook, url_file: hook}}\n")
    found = told(before, loaded(tmp_path))
    assert "on-call channels.sink.kind: gone, was: local" in found
    assert "on-call channels.hook.url_file: new: hook" in found
    assert "s3cr3t" not in json.dumps([*found, loaded(tmp_path).as_entry()])


values = st.dictionaries(st.sampled_from("abc"), st.dictionaries(st.sampled_from("xyz"), st.sampled_from("123")))


@given(values, values)
def test_the_differences_turn_one_set_of_values_into_the_other(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> None:
    changes = differences(before, after)
    assert not changes or before != after
    assert bool(changes) == (before != after)
    made = {thing: dict(own) for thing, own in before.items()}
    for changed in changes:
        thing, _, name = changed.what.partition(" ")
        if not name:
            assert (thing in before) != (thing in after)
            made.pop(thing, None)
            if thing in after:
                made[thing] = after[thing]
        else:
            assert made[thing].get(name, "") == changed.old
            made[thing] |= {name: changed.new}
            if not changed.new:
                del made[thing][name]
    assert made == after
