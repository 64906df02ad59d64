"""What people are told of the historian: `doctor`, `/readyz`, `renrum historian status`, and a pipeline that feeds it."""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from facility.secret import Secret
from historian.progress import FILE, Progress, Refusal
from historian.target import Target
from historian.vitals import HistorianVitals
from service.cli import main
from service.clock import SystemClock
from service.configuration.configuration import Configuration
from service.doctor.historian import historian
from service.health.health import health_of
from service.health.vitals import Vitals
from service.pipeline import Pipeline
from tests.support.archive_data import example_configuration
from tests.support.fed import target_of
from tests.support.influx import Influx, influx_server

__all__ = ["influx_server"]
NOW = 1_763_700_000 * 10**9
NOWHERE = Target("http://127.0.0.1:9", "site", "em", Secret("hush-hush"))


def test_doctor_says_whether_it_takes_lines_and_how_far_it_is(tmp_path: Path, influx_server: Influx) -> None:
    assert list(historian(None, tmp_path, NOW)) == []
    with closing(Progress(tmp_path / FILE)) as progress:
        progress.save({"cursor": 7, "at": NOW - 3600 * 10**9})
        progress.refuse([Refusal(NOW, "reading,point=p v=1 1", "no")])
    takes, behind, refused = historian(target_of(influx_server), tmp_path, NOW)
    assert (takes.verdict, behind.verdict, refused.verdict) == ("ok", "warning", "warning")
    wrong, *_ = historian(target_of(influx_server, token=Secret("hush-hush")), tmp_path, NOW)
    assert (wrong.verdict, "401" in wrong.words, "setup" in wrong.remedy) == ("problem", True, True)
    away, far, _ = historian(NOWHERE, tmp_path, NOW)
    assert (away.verdict, far.verdict) == ("problem", "ok")
    assert not any("hush-hush" in finding.words + finding.remedy for finding in (wrong, away))


@pytest.mark.parametrize(
    ("vitals", "ok"),
    [
        (HistorianVitals(alive=True), True),
        (HistorianVitals(alive=True, failure="down", lag_s=30), True),
        (HistorianVitals(alive=True, failure="down", lag_s=3600), False),
        (HistorianVitals(alive=True, failure="401", misconfigured=True), False),
    ],
)
def test_readiness_fails_when_it_needs_a_person(vitals: HistorianVitals, ok: bool) -> None:
    def check(of: Vitals) -> dict[str, bool]:
        health = health_of(of, now_ns=0, evaluate_every_ns=10**9, config="")
        return {check.name: check.ok for check in health.ready}

    assert check(replace(Vitals(), historian=vitals))["historian"] is ok
    assert "historian" not in check(Vitals())


def test_status_lists_what_was_refused_and_forgets_it_when_told(tmp_path: Path) -> None:
    example_configuration(tmp_path)
    config = tmp_path / "renrum.yaml"
    arguments = ["historian", "status", "--config", str(config)]
    without = CliRunner().invoke(main, arguments)
    assert (without.exit_code, "names no InfluxDB" in without.output) == (2, True)
    (tmp_path / "broken.yaml").write_text("historian: [1\n")
    broken = CliRunner().invoke(main, ["historian", "status", "--config", str(tmp_path / "broken.yaml")])
    assert (broken.exit_code, "broken.yaml:2: found a fault" in broken.output) == (2, True), broken.output
    with config.open("a") as file:
        file.write("historian: {influxdb: {url: http://127.0.0.1:9, org: site, bucket: em, token_file: none}}\n")
    assert "has not fed InfluxDB yet" in CliRunner().invoke(main, arguments).output
    (tmp_path / "data").mkdir()
    with closing(Progress(tmp_path / "data" / FILE)) as progress:
        progress.save({"cursor": 7, "at": NOW})
        progress.refuse([Refusal(NOW, "reading,point=p v=1 1", "time outside range")])
    said = CliRunner().invoke(main, arguments)
    assert (said.exit_code, "time outside range" in said.output) == (0, True)
    assert len(json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)["refusals"]) == 1
    assert "Forgotten" in CliRunner().invoke(main, [*arguments, "--forget"]).output
    assert json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)["refusals"] == []


def running(configuration: Configuration, target: Target) -> Pipeline:
    settings = configuration.settings
    http = replace(settings.http, port=0)
    return Pipeline(replace(configuration, settings=replace(settings, historian=target, http=http)), SystemClock())


def test_a_pipeline_feeds_it_and_stops_at_once_when_it_is_away(tmp_path: Path, influx_server: Influx) -> None:
    configuration = example_configuration(tmp_path)
    pipeline = running(configuration, target_of(influx_server))
    pipeline.start()
    try:
        deadline = time.monotonic() + 20
        while not influx_server.query('from(bucket: bucket) |> range(start: 0) |> filter(fn: (r) => r._measurement == "point")'):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        pipeline.stop()
    pipeline = running(configuration, NOWHERE)
    pipeline.start()
    vitals = pipeline._vitals().historian
    assert vitals is not None
    assert vitals.target == NOWHERE.name
    begun = time.monotonic()
    pipeline.stop()
    assert time.monotonic() - begun < 10
