"""A configuration put in force: what changes in words, who may, what is refused, what a stopped service takes, what judged a point when."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from dashboards.monitor import APPLIED, MOVED_ON, UNCHANGED, ApplyAsked, MonitorUnavailable
from facility.problems import ConfigurationError
from facility.times import format_time
from ingest.entries import CONFIGURATION, Changed, ConfigurationBody, decode, encode
from ingest.journal import Journal, JournalReader, JournalUnavailable
from ingest.message import Message
from service.applied import NotInForce, in_force, is_signed, starting
from service.applying import apply_stopped, body_of, digest_of
from service.archive import ArchiveUnavailable
from service.cli import main
from service.clock import SystemClock
from service.configuration import Configuration, load_configuration
from service.pipeline import Pipeline
from service.values import changes_between, differences, line_of
from tests.support.archive_data import START, Installation
from tests.support.verifying import wrong

POINT = "cp1.dp"
FACILITY = """
site: {id: lab, name: Laboratory, timezone: Europe/Stockholm}
rooms:
  - id: cp1
    name: Cell processing 1
    grade: B
    points:
      - {id: cp1.dp, quantity: differential_pressure, unit: Pa, period: 1s, range: [-100, 100]}
      - {id: cp1.temp, quantity: temperature, unit: degC, period: 1s}
"""
RULES = """
rules:
  - {id: dp-low, kind: limit, level: action, below: limits, select: {quantity: differential_pressure}, text: {en: Close the doors.}}
  - {id: warm, kind: limit, level: action, above: 25, on_delay: 5m, select: {quantity: temperature}}
"""
LIMITS = "point,occupancy,level,below,above\ncp1.dp,,action,10,\n"
ONCALL = "channels: {sink: {kind: local, file: pages.jsonl}}\n"
MAIN = """
environment: validation
facility: facility.yaml
limits: limits.csv
rules: rules.yaml
oncall: oncall.yaml
data_dir: ./data
mqtt: {url: embedded}
http: {port: 0}
apply: on_start
"""
ASKED = ApplyAsked("anna", "requalified", "CR-7")


def written(folder: Path) -> Configuration:
    folder.mkdir(parents=True, exist_ok=True)
    files = {"facility.yaml": FACILITY, "rules.yaml": RULES, "limits.csv": LIMITS, "oncall.yaml": ONCALL, "renrum.yaml": MAIN}
    for name, text in files.items():
        (folder / name).write_text(text)
    return loaded(folder)


def loaded(folder: Path) -> Configuration:
    return load_configuration(folder / "renrum.yaml", {})


def edited(folder: Path, name: str, old: str, new: str) -> Configuration:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
    return loaded(folder)


def told(old: Configuration, new: Configuration) -> list[str]:
    return [line_of(changed) for changed in changes_between(old.as_entry(), old.judge, new.as_entry(), new.judge)]


class Place(Installation):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, written)

    def apply(self, configuration: Configuration) -> None:
        """As a running service does it, between two steps."""
        old, self.configuration = self.configuration, configuration
        facility = configuration.facility
        added = {id_: len(self.number_of) + new for new, id_ in enumerate(p.id for p in facility.points if p.id not in self.number_of)}
        self.number_of |= added
        changes = changes_between(old.as_entry(), old.judge, configuration.as_entry(), configuration.judge)
        body = body_of(configuration, added, changes, "anna", "requalified", "CR-7")
        prepared = self.intake.prepared(facility, self.number_of, True, configuration.sources)
        self.intake.reconfigured(prepared, lambda: self.journal.append(CONFIGURATION, encode(body), self.at, self.at - START))

    def settle(self) -> None:
        self.step()
        self.write_series()
        self.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield (made := Place(tmp_path / "site"))
    made.close()


def run(*arguments: object, text: str = "") -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], input=text)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


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


# Judged


def test_each_reading_is_judged_by_what_was_in_force_at_its_time(place: Place) -> None:
    place.read(POINT, 9.5, 0)
    place.read("cp1.temp", 20.0, 0)
    place.step()
    assert [row.rule for row in place.store.excursions("cleared is null")] == []  # a table waits two seconds for the room's state
    place.at += 3 * 10**9
    place.step()
    [excursion] = place.store.excursions("cleared is null")
    assert (excursion.rule, excursion.limit) == ("dp-low", 10.0)
    moment = place.at
    place.apply(edited(place.folder, "limits.csv", ",action,10,", ",action,9,"))
    place.step()
    [closed] = place.store.excursions("status = 'current'")
    assert (closed.id, closed.cleared, closed.closed_by) == (excursion.id, moment, "configuration")

    place.at += 10 * 10**9
    after_s = (place.at - START) / 10**9
    place.read(POINT, 9.5, after_s)  # inside the new limit
    place.read(POINT, 8.0, after_s + 1)  # beyond it
    place.read(POINT, 9.5, 1)  # late, of the time of the old one: a part of what was found then
    place.at += 3 * 10**9
    place.step()
    found = {row.id: row for row in place.store.excursions("status = 'current'")}
    assert [(row.limit, row.readings, row.cleared is None) for row in found.values()] == [(10.0, 2, False), (9.0, 1, True)]
    actions = place.store.rows("select actor, object, old, new, reason from audit where action = 'configuration value'")
    assert actions == [("anna", "cp1.dp action below", "10 Pa", "9 Pa", "CR-7: requalified")]
    place.settle()
    assert wrong(place.data_dir) == {}


def test_admission_follows_at_the_very_entry_and_new_points_are_heard(place: Place) -> None:
    new = "      - {id: cp1.rh, quantity: relative_humidity, unit: '%'}\n      - {id: cp1.temp"
    place.send("cp1/cp1.rh", {"time": format_time(START), "value": 40})
    place.read(POINT, 60.0, 0)
    edited(place.folder, "facility.yaml", "      - {id: cp1.temp", new)
    place.apply(edited(place.folder, "facility.yaml", "range: [-100, 100]", "range: [-100, 50]"))
    place.send("cp1/cp1.rh", {"time": format_time(START + 10**9), "value": 41})
    place.read(POINT, 60.0, 1)
    place.step()
    assert place.intake.sums.in_quarantine == {"point_unknown": 1}
    place.write_series()
    assert place.series.read(place.number_of["cp1.rh"]).value.tolist() == [41.0]
    assert [quality > 2 for quality in place.series.read(place.number_of[POINT]).quality.tolist()] == [False, True]


def test_an_entry_that_cannot_be_written_changes_nothing(place: Place) -> None:
    def fails() -> None:
        raise ZeroDivisionError("the disk")

    other = edited(place.folder, "facility.yaml", "range: [-100, 100]", "range: [-100, 50]")
    prepared = place.intake.prepared(other.facility, place.number_of, True)
    with pytest.raises(ZeroDivisionError):
        place.intake.reconfigured(prepared, fails)  # type: ignore[arg-type]
    place.read(POINT, 60.0, 0)
    place.step()
    place.write_series()
    assert place.series.read(place.number_of[POINT]).quality.tolist() == [0]


# A running service, in this process


def started(place: Place) -> Pipeline:
    place.settle()
    pipeline = Pipeline(place.configuration, SystemClock(), lambda: loaded(place.folder))
    pipeline.start()
    return pipeline


def test_a_disk_that_refuses_changes_nothing_and_the_next_try_does(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = started(place)
    try:
        edited(place.folder, "limits.csv", ",action,10,", ",action,12,")
        with monkeypatch.context() as patch:
            refusing(patch, pipeline, landed=False)
            with pytest.raises(MonitorUnavailable, match="did not take force: no room"):
                pipeline.monitor.apply(ASKED)
        assert pipeline.configuration is place.configuration
        assert len(in_force(place.data_dir)) == 1
        assert pipeline.monitor.apply(ASKED).result == APPLIED
        assert pipeline.monitor.identity.config == pipeline.configuration.judging_hash == loaded(place.folder).judging_hash
    finally:
        pipeline.stop()
    assert wrong(place.data_dir) == {}


def test_an_entry_that_was_said_to_have_failed_and_is_there_is_followed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = started(place)
    try:
        new = edited(
            place.folder,
            "facility.yaml",
            "      - {id: cp1.temp",
            "      - {id: cp1.t2, quantity: temperature, unit: degC}\n      - {id: cp1.temp",
        )
        with monkeypatch.context() as patch:
            refusing(patch, pipeline, landed=True)
            with pytest.raises(MonitorUnavailable, match="did not take force"):
                pipeline.monitor.apply(ASKED)
        deadline = time.monotonic() + 20
        while pipeline.configuration is place.configuration and time.monotonic() < deadline:
            time.sleep(0.02)
        assert pipeline.configuration.judging_hash == new.judging_hash
        assert [point.id for point in pipeline.monitor.points()] == ["cp1.dp", "cp1.t2", "cp1.temp"]
        pipeline.intake.accept([Message("renrum/lab/cp1/cp1.t2", b'{"time": 1740901269, "value": 21}')], 0)
        assert pipeline.intake.sums.stored == 1
        assert pipeline.monitor.apply(ASKED).result == UNCHANGED
    finally:
        pipeline.stop()
    assert [body.by for _, body in in_force(place.data_dir)] == ["", "anna"]
    assert wrong(place.data_dir) == {}


def refusing(patch: pytest.MonkeyPatch, pipeline: Pipeline, *, landed: bool) -> None:
    """The journal says of the next configuration that it could not be written, though it may be."""
    append = pipeline.journal.append

    def appended(kind: str, *given: Any, **named: Any) -> Any:
        if kind == CONFIGURATION:
            if landed:
                append(kind, *given, **named)
            raise JournalUnavailable("no room")
        return append(kind, *given, **named)

    patch.setattr(pipeline.journal, "append", appended)


# A stopped service


def test_a_stopped_service_takes_it_and_the_next_start_judges_by_it(place: Place) -> None:
    place.settle()
    new = edited(place.folder, "limits.csv", ",action,10,", ",action,12,")
    assert apply_stopped(place.data_dir, new, SystemClock(), ApplyAsked("anna", "x", expect="other")).result == MOVED_ON
    found = apply_stopped(place.data_dir, new, SystemClock(), ASKED)
    assert (found.result, found.changes) == (APPLIED, (("cp1.dp action below", "10 Pa", "12 Pa"),))
    assert apply_stopped(place.data_dir, new, SystemClock(), ASKED).result == UNCHANGED
    pipeline = Pipeline(new, SystemClock())
    pipeline.start()
    pipeline.stop()
    bodies = [body for _, body in in_force(place.data_dir)]
    assert [(body.by, body.reason, body.change) for body in bodies] == [("", "", ""), ("anna", "requalified", "CR-7")]
    assert wrong(place.data_dir) == {}


def test_without_a_start_there_is_nothing_to_follow(tmp_path: Path) -> None:
    configuration = written(tmp_path / "site")
    with pytest.raises(ArchiveUnavailable, match="The first start puts in force what is there"):
        apply_stopped(configuration.settings.data_dir, configuration, SystemClock(), ASKED)
    result = run("apply", "--config", tmp_path / "site", "--reason", "x", "--yes")
    assert result.exit_code == 2
    assert "no configuration was in force yet" in result.stderr


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
        "Excursions of the last 9000d at 1 points judged otherwise: 0 → 1: 0 removed, 1 added, 0 moved",
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
