"""service/configuration/configuration.py and judging.py: all files together, and the hash of what judges."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facility.problems import ConfigurationError
from service.cli.init import example_files
from service.configuration.configuration import Configuration, judging_from_entry, load_configuration

SECRET = "hunter2-is-secret"
FILES = {
    "renrum.yaml": "environment: production\nfacility: facility.yaml\nlimits: limits.csv\nrules: [rules.yaml]\noncall: oncall.yaml\n"
    "mqtt: {url: mqtt://broker, username: u, password_file: secret}\n",
    "facility.yaml": "site: {id: s, name: Site}\nrooms:\n  - {id: cp1, name: One, grade: B, points_file: points.csv}\n",
    "points.csv": "id,quantity,unit,period\ncp1.temp,temperature,degC,30s\ncp1.p05,particles_0_5um,1/m3,60s\n",
    "limits.csv": "room,quantity,level,above,basis\ncp1,temperature,action,22,\ncp1,temperature,alert,21,\n",
    "rules.yaml": "rules:\n"
    "  - {id: t, kind: limit, select: {quantity: temperature}, levels: {alert: {above: limits}, action: {above: limits}}}\n"
    "  - {id: p, kind: limit, select: {quantity: particles_0_5um}, level: action, above: annex1, text: Look}\n",
    "oncall.yaml": "channels: {sink: {kind: local, file: pages}, hook: {kind: webhook, url_file: secret}}\n",
    "secret": SECRET,
}


def load(folder: Path, **changed: str) -> Configuration:
    for name, text in FILES.items():
        (folder / name).write_text(changed.get(name.partition(".")[0], text), encoding="utf-8")
    (folder / "secret").chmod(0o600)
    return load_configuration(folder / "renrum.yaml", {})


def changed_hash(folder: Path, name: str, old: str, new: str) -> str:
    text = next(text for file, text in FILES.items() if file.startswith(name))
    assert old in text
    return load(folder, **{name: text.replace(old, new)}).judging_hash


def test_all_files_make_a_configuration(tmp_path: Path) -> None:
    configuration = load(tmp_path)
    assert [point.id for point in configuration.facility.points] == ["cp1.temp", "cp1.p05"]
    assert [rule.id for rule in configuration.rules] == ["t.alert", "t.action", "p"]
    assert set(configuration.tables) == {"annex1", "eu_part4", "practice", "limits"}
    assert set(configuration.oncall.channels) == {"sink", "hook"}
    assert set(configuration.files) == set(FILES) - {"secret"}
    assert configuration.settings.mqtt.client_id == "renrum-s"
    assert configuration.warnings == ()
    assert SECRET not in repr(configuration)
    assert len(configuration.judging_hash) == 64


def test_a_journal_entry_judges_again_without_the_disk(tmp_path: Path) -> None:
    configuration = load(tmp_path)
    text = json.dumps(configuration.as_entry())
    assert SECRET not in text
    for file in tmp_path.iterdir():
        file.unlink()
    assert judging_from_entry(json.loads(text)) == (configuration.facility, configuration.rules, configuration.tables)


def test_an_entry_that_would_judge_otherwise_is_refused(tmp_path: Path) -> None:
    entry = load(tmp_path).as_entry()
    entry["files"]["limits.csv"] = entry["files"]["limits.csv"].replace("22", "23")
    with pytest.raises(ConfigurationError, match="in force"):
        judging_from_entry(entry)
    with pytest.raises(ConfigurationError, match="format"):
        judging_from_entry(entry | {"format": 2})
    with pytest.raises(ConfigurationError, match="kept"):
        judging_from_entry(entry | {"files": {}})


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("facility", "name: One", "name: Two"),
        ("facility", "site: {id: s, name: Site}\n", "# a note\nsite:\n  name: Sajt\n  id: s\n"),
        ("rules", "text: Look", "text: {sv: Titta}, sop: S-1"),
        ("rules", "level: action", "level: action, deadband: 0, on_delay: 0s"),
        ("limits", "22,", "22.0,SOP-3"),
        ("points", "period\n", "period\n# a note\n"),
        ("points", "30s", "0.5m"),
        ("oncall", "file: pages", "file: other"),
        ("renrum", "production", "validation"),
    ],
)
def test_the_hash_stays_when_judgement_does(tmp_path: Path, name: str, old: str, new: str) -> None:
    assert changed_hash(tmp_path, name, old, new) == load(tmp_path).judging_hash


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("facility", "grade: B", "grade: C"),
        ("facility", "grade: B", "grade: B, clean_up: 20m"),
        ("rules", "above: limits}}}", "at_or_above: limits}}}"),
        ("rules", "level: action", "level: alert"),
        ("limits", "22", "22.5"),
        ("points", "30s", "31s"),
    ],
)
def test_the_hash_changes_with_judgement(tmp_path: Path, name: str, old: str, new: str) -> None:
    assert changed_hash(tmp_path, name, old, new) != load(tmp_path).judging_hash


def test_the_problems_of_all_files_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        load(
            tmp_path,
            renrum=FILES["renrum.yaml"].replace("production", "prod"),
            facility=FILES["facility.yaml"].replace("grade: B", "grade: b"),
            points=FILES["points.csv"].replace("degC", "Pa"),
            limits=FILES["limits.csv"].replace("cp1,temperature,alert", "cp2,temperature,alert"),
            rules=FILES["rules.yaml"].replace("annex1", "annex2"),
            oncall=FILES["oncall.yaml"].replace("local", "lokal"),
        )
    assert {Path(problem.file).name for problem in error.value.problems} == set(FILES) - {"secret"}
    assert len(error.value.problems) == 6
    assert SECRET not in str(error.value)


def test_files_that_are_missing_are_named_where_they_are_named(tmp_path: Path) -> None:
    (tmp_path / "renrum.yaml").write_text(FILES["renrum.yaml"])
    with pytest.raises(ConfigurationError) as error:
        load_configuration(tmp_path / "renrum.yaml", {"RENRUM_MQTT_PASSWORD": "x"})
    assert [(Path(problem.file).name, problem.line, problem.key) for problem in error.value.problems] == [
        ("renrum.yaml", 2, "facility"), ("renrum.yaml", 3, "limits"), ("renrum.yaml", 4, "rules[0]"), ("renrum.yaml", 5, "oncall"),
    ]  # fmt: skip
    with pytest.raises(ConfigurationError, match="renrum init"):
        load_configuration(tmp_path / "none" / "renrum.yaml", {})


def test_the_example_is_a_working_configuration(tmp_path: Path) -> None:
    for name, content in example_files():
        (tmp_path / name).write_bytes(content)
    configuration = load_configuration(tmp_path / "renrum.yaml", {})
    assert configuration.warnings == ()
    assert configuration.settings.environment == "demo"
    assert configuration.settings.mqtt.embedded
    assert configuration.oncall.channels
