"""Who is paged for what, told by the journal: computing state.db again wakes nobody for what was before their channel."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec

from alerts.channels import Local
from ingest.journal.entries import ConfigurationBody
from rules.excursion import Excursion
from service.configuration.configuration import Configuration
from service.configuration.judging import Judges
from service.pages.paging import Paging
from tests.support.archive_data import example_configuration
from tests.support.challenged import configured


def body_of(configuration: Configuration) -> ConfigurationBody:
    body = ConfigurationBody(configuration.judging_hash, 1, {}, configuration.as_entry())
    return msgspec.convert(json.loads(msgspec.json.encode(body)), ConfigurationBody)


def with_channels(configuration: Configuration, *names: str) -> Configuration:
    return replace(configuration, oncall=replace(configuration.oncall, channels={name: Local(Path(name)) for name in names}))


def test_a_page_goes_to_the_channels_of_its_moment(tmp_path: Path) -> None:
    old = with_channels(example_configuration(tmp_path), "day", "night")
    new = with_channels(old, "day", "mail")
    paging = Paging(Judges(), [(100, body_of(old)), (200, body_of(new))])
    rule, point = old.rules[0], old.facility.points[0]
    excursion = Excursion(rule.id, point.id, rule.level, onset=0, raised=0, room=point.room, unit=point.unit, config=old.judging_hash)
    assert [target for target, _ in paging.pages(excursion, "A1", 150)] == ["day", "night"]
    assert [target for target, _ in paging.pages(excursion, "A1", 200)] == ["day", "mail"]


def test_an_excursion_found_late_under_a_rule_that_is_gone_is_told_all_the_same(tmp_path: Path) -> None:
    old = with_channels(example_configuration(tmp_path), "day")
    gone = old.rules[0]
    new = replace(old, rules=old.rules[1:], judging_hash="other")
    judges = Judges()
    judges.know(new.as_entry(), new.judge)
    paging = Paging(judges, [(100, body_of(old)), (200, body_of(new))])
    point = old.facility.points[0]
    found = Excursion(gone.id, point.id, gone.level, onset=0, raised=0, room=point.room, unit=point.unit, late=True)
    [(target, page)] = paging.pages(replace(found, config=old.judging_hash), "A1", 300)
    assert (target, page.kind, page.facts["rule"]) == ("day", "late", gone.id)


def test_a_state_that_lasts_too_long_is_told_of_its_zone(tmp_path: Path) -> None:
    configuration = configured(tmp_path / "site", "rules: [{id: forgotten, kind: state, priority: low}]")
    paging = Paging(Judges(), [(100, body_of(configuration))])
    [rule] = configuration.rules
    hash_ = configuration.judging_hash
    excursion = Excursion(rule.id, "bsc1/occupancy", rule.level, onset=0, raised=0, room="cp1", zone="bsc1", config=hash_)
    subject = paging.subject(excursion)
    assert (subject.point, subject.room, subject.zone) == ("bsc1/occupancy", "cp1", "bsc1")
    [(target, page)] = paging.pages(excursion, "A1", 150)
    assert (target, page.facts["point"]) == ("pager", "bsc1/occupancy")
