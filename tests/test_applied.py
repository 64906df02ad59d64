"""What is in force: `apply: signed`, the commands, what judged a point when."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from alerts.record.signing import digest_of
from facility.problems import ConfigurationError
from facility.site import SECOND_NS
from facility.times import parse_time
from ingest.journal.entries import CONFIGURATION, Changed, ConfigurationBody, decode, encode
from ingest.journal.journal import Journal, JournalReader
from rules.excursion import Excursion
from service.applied import NotInForce, in_force, is_signed, starting
from service.cli.apply import impact_lines
from service.clock import SystemClock
from service.configuration.configuration import Configuration, load_configuration
from service.impact.consequences import Consequences
from service.pipeline import Pipeline
from tests.support.changing import POINT, RULES, Place, edited, loaded, run, written


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield (made := Place(tmp_path / "site"))
    made.close()


# Signed


def signed(place: Place) -> Configuration:
    place.apply(edited(place.folder, "renrum.yaml", "apply: on_start", "apply: signed"))
    place.settle()
    return place.configuration


def test_signed_starts_with_what_was_applied_whatever_the_files_say(place: Place) -> None:
    applied = signed(place)
    edited(place.folder, "limits.csv", ",action,10,", ",action,12,")
    edited(place.folder, "renrum.yaml", "apply: signed", "apply: on_start")  # that, too, has to be applied
    found = starting(place.config, {}, place.data_dir)
    assert found.configuration.as_entry() == applied.as_entry()
    assert found.configuration.judging_hash == applied.judging_hash
    assert found.waiting.startswith("renrum.yaml, limits.csv differ from what is in force (2 values); `renrum apply")
    pipeline = Pipeline(found.configuration, SystemClock(), lambda: loaded(place.folder))
    pipeline.start()
    [check] = [check for check in pipeline.monitor.health().ready if check.name == "configuration"]
    assert "limits.csv; `renrum apply` puts it in force" in check.words
    pipeline.stop()
    assert len(in_force(place.data_dir)) == 2, "a start applies nothing"
    with pytest.raises(NotInForce, match="another configuration was applied meanwhile"):
        Pipeline(loaded(place.folder), SystemClock()).start()

    (place.folder / "rules.yaml").write_text("rules: [{id: x}]")
    found = starting(place.config, {}, place.data_dir)
    assert found.configuration.as_entry() == applied.as_entry()
    assert "the files cannot be used" in found.waiting
    check_ = run("check", "--config", place.config)
    assert check_.exit_code == 2


def test_check_and_doctor_say_what_is_not_in_force(place: Place) -> None:
    signed(place)
    assert "in force" not in run("check", "--config", place.config).output
    edited(place.folder, "limits.csv", ",action,10,", ",action,12,")
    checked = run("check", "--config", place.config)
    assert checked.exit_code == 0
    assert "limits.csv differs from what is in force (1 value); `renrum apply --reason TEXT` puts them in force" in checked.stderr
    said = run("doctor", "--config", place.config).stdout
    assert "`renrum apply` puts the files in force" in said


def test_a_first_start_applies_what_is_there_also_when_it_is_signed(tmp_path: Path) -> None:
    written(tmp_path)
    configuration = edited(tmp_path, "renrum.yaml", "apply: on_start", "apply: signed")
    found = starting(tmp_path / "renrum.yaml", {}, configuration.settings.data_dir)
    assert (found.configuration.as_entry(), found.waiting) == (configuration.as_entry(), "")
    pipeline = Pipeline(found.configuration, SystemClock())
    pipeline.start()
    pipeline.stop()
    [(_, body)] = in_force(configuration.settings.data_dir)
    assert is_signed(body.entry)
    assert body.changes == []


def test_a_start_audits_what_it_applies_value_by_value(place: Place) -> None:
    place.settle()
    pipeline = Pipeline(edited(place.folder, "limits.csv", ",action,10,", ",action,12,"), SystemClock())
    pipeline.start()
    pipeline.stop()
    body = in_force(place.data_dir)[-1][1]
    assert (body.by, body.reason) == ("", "applied on start")
    assert body.changes == [Changed("cp1.dp action below", "10 Pa", "12 Pa")]


def test_what_the_journal_kept_is_refused_when_this_version_reads_it_otherwise(place: Place) -> None:
    kept = signed(place).as_entry()
    with pytest.raises(ConfigurationError, match="what was in force"):
        load_configuration(place.config, {}, kept | {"hash": "0" * 64})


# At the command line


def test_who_signs_sees_what_moves() -> None:
    at = parse_time("2026-11-20T08:00:00Z")
    before = Excursion("dp-low", "cp1.dp", "alert", onset=at, raised=at + 8 * SECOND_NS, ended=at + 60 * SECOND_NS)
    after = replace(before, raised=at + 30 * SECOND_NS, ended=None)
    lines = list(impact_lines(Consequences(1, 1, 1, moved=[(before, after)]), "90d", ZoneInfo("Europe/Stockholm")))
    assert lines[1:] == [
        "  moved    2026-11-20 09:00:00  dp-low cp1.dp, raised 2026-11-20 09:00:30 instead of 2026-11-20 09:00:08,"
        " ends not yet instead of 2026-11-20 09:01:00"
    ]


def test_apply_shows_asks_and_says(place: Place) -> None:
    for second in range(0, 60, 2):
        place.read(POINT, 15.0 if second < 20 or second > 40 else 11.0, second)
    place.at += 3 * 10**9
    place.step()
    place.settle()
    edited(place.folder, "limits.csv", ",action,10,", ",action,12,")
    since = ("--last", "9000d")
    shown = run("apply", "--config", place.config, "--dry-run", *since)
    assert shown.exit_code == 0
    assert shown.stdout.splitlines() == [
        "1 value changes:",
        "  cp1.dp action below 10 → 12 Pa",
        "Excursions of the last 9000d at 1 point judged otherwise: 0 → 1: 0 removed, 1 added, 0 moved",
        "  added    2026-11-20 09:00:20  dp-low cp1.dp, worst 11 Pa",
    ]
    assert run("apply", "--config", place.config).stderr.startswith("Error: --reason: say why")
    assert "There is nobody to ask" in run("apply", "--config", place.config, "--reason", "x").stderr
    assert len(in_force(place.data_dir)) == 1
    done = run("apply", "--config", place.config, "--reason", "requalified", "--change", "CR-7", "--yes", "--json", *since)
    document = json.loads(done.stdout)
    assert document["result"] == "applied"
    assert document["changes"] == [{"what": "cp1.dp action below", "old": "10 Pa", "new": "12 Pa"}]
    assert [row["onset"] for row in document["excursions"]["added"]] == ["2026-11-20T08:00:20Z"]
    again = run("apply", "--config", place.config, "--reason", "requalified", "--yes")
    assert (again.exit_code, again.stdout[:17]) == (0, "Nothing to apply:")
    (place.folder / "rules.yaml").write_text(RULES.replace("above: 25", "abvoe: 25"))
    refused = run("apply", "--config", place.config, "--reason", "x", "--yes")
    assert refused.exit_code == 2
    assert "abvoe" in refused.stderr
    assert len(in_force(place.data_dir)) == 2

    pages = run("history", POINT, "--config", place.config).stdout.splitlines()
    assert [line for line in pages if "dp-low below" in line] == [
        "  dp-low below limits: 10 Pa",
        "  dp-low below limits: 10 Pa → limits: 12 Pa",
    ]
    assert any("CR-7: requalified" in line for line in pages)
    was = run("history", POINT, "--config", place.config, "--at", "2026-11-20T09:30").stdout
    assert "dp-low below limits: 10 Pa" in was
    assert "CR-7" not in was
    found = json.loads(run("history", POINT, "--config", place.config, "--json").stdout)["changes"]
    assert [change["values"]["dp-low below"] for change in found] == ["limits: 10 Pa", "limits: 12 Pa"]
    assert found[1]["changes"] == [{"what": "dp-low below", "old": "limits: 10 Pa", "new": "limits: 12 Pa"}]
    unknown = run("history", "cp1.dq", "--config", place.config)
    assert unknown.exit_code == 2
    assert "did you mean" in unknown.stderr.lower()


def test_history_tells_when_nothing_judges_a_point_any_more(place: Place) -> None:
    point = "      - {id: cp1.temp, quantity: temperature, unit: degC, period: 1s}\n"
    place.at += 10**9
    place.apply(edited(place.folder, "facility.yaml", point, ""))
    place.settle()
    assert "nothing judges cp1.temp any more" in run("history", "cp1.temp", "--config", place.config).stdout


def test_the_digest_is_of_every_text(tmp_path: Path) -> None:
    before = digest_of(written(tmp_path).as_entry())
    assert before == digest_of(loaded(tmp_path).as_entry())
    assert before != digest_of(edited(tmp_path, "rules.yaml", "rules:", "# a word\nrules:").as_entry())


def test_an_older_journal_without_changes_is_read(place: Place) -> None:
    place.settle()
    with closing(Journal(place.data_dir / "journal.db")) as journal:
        old = ConfigurationBody("hash", 1, {}, place.configuration.as_entry())
        journal.append(CONFIGURATION, encode(old), place.at)
    with closing(JournalReader(place.data_dir / "journal.db")) as reader:
        body = decode([*reader.entries(kinds=(CONFIGURATION,))][-1])
    assert body == old
