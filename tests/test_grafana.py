"""The dashboards as files: the same bytes each time, a sound grid, limits that are those enforced, names and links that exist."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft7Validator

from dashboards import trend_links
from dashboards.grafana import build, look
from dashboards.grafana.limits import labelled, limit_lines
from dashboards.grafana.target import GRAFANA_VERSION, INFLUXDB, PROMETHEUS
from facility.site import OCCUPANCIES
from historian.queries.flux import pattern, text
from historian.schema import MEASUREMENTS
from rules.plan import plan_of
from service.cli.dashboards import dashboards as command
from service.console.views import LimitsInForce
from tests.support import grafana
from tests.support.computed import View
from tests.support.metrics import documented
from tests.support.node import ask_node, needs_node
from tests.support.prometheus import needs_promtool, promtool

UIDS = sorted(grafana.dashboards())
FILES = build.files(grafana.outline(), grafana.SOURCES)


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dashboard["panels"]
    return found


def test_the_same_configuration_gives_the_same_bytes() -> None:
    again = "from tests.support import grafana; from dashboards.grafana.build import files; import hashlib, sys;"
    again += "sys.stdout.write(hashlib.sha256(repr(sorted(files(grafana.outline(), grafana.SOURCES).items())).encode()).hexdigest())"
    root = Path(__file__).parent.parent
    sums = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo", "LC_ALL": "C"}
        sums.add(
            subprocess.run([sys.executable, "-c", again], cwd=root, env=environment, capture_output=True, text=True, check=True).stdout
        )
    assert len(sums) == 1


def test_there_is_a_dashboard_for_each_question() -> None:
    named = {
        value for name, value in vars(trend_links).items() if isinstance(value, str) and value.startswith("renrum-") and name.isupper()
    }
    assert set(UIDS) == named


@pytest.mark.parametrize("uid", UIDS)
def test_panels_have_ids_of_their_own_and_lie_on_the_grid_without_overlap(uid: str) -> None:
    shown = panels(grafana.dashboards()[uid])
    ids = [panel["id"] for panel in shown]
    assert len(set(ids)) == len(ids)
    assert all(identity > 0 for identity in ids)
    places = [panel["gridPos"] for panel in shown]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 and place["h"] > 0 for place in places)
    for one, other in combinations(places, 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"], (one, other)


@pytest.mark.parametrize("uid", UIDS)
def test_queries_of_a_panel_have_names_of_their_own_and_a_title_says_what_it_shows(uid: str) -> None:
    for panel in panels(grafana.dashboards()[uid]):
        assert panel["title"]
        refs = [target["refId"] for target in panel.get("targets", ())]
        assert len(set(refs)) == len(refs)
        assert refs or panel["type"] == "row"
        rules = [rule["matcher"] for rule in panel.get("fieldConfig", {}).get("overrides", ())]
        overridden = {matcher["options"] for matcher in rules if matcher["id"] == "byFrameRefID"}
        assert overridden <= set(refs)


def test_every_data_source_is_provisioned() -> None:
    provisioned = {source["uid"]: source["type"] for source in provisioning("datasources")["datasources"]}
    assert provisioned == {INFLUXDB: "influxdb", PROMETHEUS: "prometheus"}

    def used(value: Any) -> Any:
        if isinstance(value, dict):
            if isinstance(value.get("datasource"), dict):
                yield value["datasource"]["uid"], value["datasource"]["type"]
            for inner in value.values():
                yield from used(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from used(inner)

    for dashboard in grafana.dashboards().values():
        assert set(used(dashboard)) <= set(provisioned.items())


def provisioning(kind: str) -> dict[str, Any]:
    """A provisioning file: YAML that is JSON below its first line."""
    found: dict[str, Any] = json.loads(FILES[f"provisioning/{kind}/renrum.yaml"].decode().split("\n", 1)[1])
    return found


def test_the_token_comes_from_a_file_or_the_environment_and_never_stands_inside() -> None:
    source = provisioning("datasources")["datasources"][0]
    assert source["secureJsonData"] == {"token": "$__env{RENRUM_GRAFANA_INFLUX_TOKEN}"}
    assert source["jsonData"] == {"version": "Flux", "organization": "site", "defaultBucket": "em"}
    by_file = build.Sources("http://influxdb:8086", "site", "em", "http://prometheus:9090", "/run/secrets/influx-read")
    assert (
        b'"token": "$__file{/run/secrets/influx-read}"' in build.files(grafana.outline(), by_file)["provisioning/datasources/renrum.yaml"]
    )


def test_grafana_finds_the_dashboards_where_they_are_mounted() -> None:
    (provider,) = provisioning("dashboards")["providers"]
    assert provider["options"]["path"] == "/etc/grafana/renrum/dashboards"
    assert (provider["folder"], provider["allowUiUpdates"]) == ("Renrum", False)


def test_the_queries_that_are_tested_are_those_that_stand_in_the_dashboards() -> None:
    assert {flux for dashboard in grafana.dashboards().values() for flux in grafana.texts(dashboard)} == set(grafana.queries())


def test_queries_name_only_what_the_feed_writes() -> None:
    fields = {measurement.name: set(measurement.fields) for measurement in MEASUREMENTS}
    for flux in grafana.queries():
        sources = re.split(r"from\(bucket", flux)[1:]
        for source in sources:
            measured = re.search(r'r\._measurement == (?:"(\w+)"|measurement)', source)
            assert measured, flux
            names = {measured[1]} if measured[1] else set(re.findall(r'then "(\w+)" else "(\w+)"', flux)[0])
            assert names <= set(fields), flux
            asked = set(re.findall(r'r\._field == "(\w+)"', source))
            assert asked, flux
            assert all(asked <= fields[name] for name in names), flux


def test_the_limits_drawn_are_those_enforced() -> None:
    """Against what the console says is in force, for every point, in every state."""
    made = grafana.configuration()
    numbers = {point.id: number for number, point in enumerate(made.facility.points)}
    plan = plan_of(made.facility, made.rules, made.tables, numbers)
    in_force, drawn = LimitsInForce(plan, numbers), limit_lines(plan)
    assert len(drawn) > 40
    for point in made.facility.points:
        for code, state in enumerate(OCCUPANCIES):
            enforced = {
                (limit.rule, limit.level, side, value)
                for limit in in_force.of(point.id, code)
                for side, value in (("above", limit.above), ("below", limit.below))
                if value is not None
            }
            lines = [line for line in drawn if line.point == point.id and (not line.states or state in line.states)]
            assert {(line.rule, line.level, line.side, line.value) for line in lines} == enforced


@pytest.mark.parametrize("uid", [trend_links.ROOM, trend_links.CASCADE, trend_links.PARTICLES, trend_links.CLIMATE, trend_links.STORAGE])
def test_every_trend_has_all_the_limits_of_its_points(uid: str) -> None:
    model = next(model for model in build.models(grafana.outline()) if model.uid == uid)
    checked = 0
    for panel in model.panels or ():
        queries = {target.ref: target.query for target in getattr(panel, "targets", None) or () if hasattr(target, "query")}
        if "Readings" not in queries:
            continue
        points = set(queries["Readings"].asked["series"])
        wanted = {(line.point, line.value) for line in grafana.outline().lines if line.point in points}
        lines = [query.asked["lines"] for query in queries.values() if query.name == "limit_lines"]
        assert {(point, value) for some in lines for value, held in some.values() for point in held} == wanted
        checked += len(wanted)
    assert checked


def test_particles_are_drawn_with_the_table_of_annex_1_by_state() -> None:
    lines = [line for line in grafana.outline().lines if line.point == "cp1.counter.p05"]
    by_state = {state: line.value for line in lines for state in line.states}
    assert (by_state["in_operation"], by_state["at_rest"]) == (352_000.0, 3_520.0)
    shown = labelled(lines, "particles_0_5um", "1/m3", {"cp1.counter.p05": "Cell processing 1"})
    assert any(name.startswith("Action limit above 352\u202f000 /m³ · in operation") for name in shown)


def test_metrics_exist() -> None:
    known = set(documented())
    samples = known | {f"{name}_bucket" for name in known} | {"up"}
    expressions = [target["expr"] for panel in panels(grafana.dashboards()[trend_links.PIPELINE]) for target in panel.get("targets", ())]
    named = {
        name
        for expression in expressions
        for name in re.findall(r"\b((?:renrum|process)_\w+|up)\b(?!=)", re.sub(r"\{[^}]*\}", "", expression))
    }
    assert len(named) > 25
    assert named <= samples


def test_colours_are_those_of_the_console() -> None:
    css = (Path(look.__file__).parent.parent / "console" / "static" / "console.css").read_text("utf-8").split("@media", 1)[0]
    of = dict(re.findall(r"--([\w-]+): (#\w+);", css))
    assert (of["action"], of["alert"], of["technical"]) == (look.ACTION, look.ALERT, look.TECHNICAL)
    assert (of["unsure"], of["good"], of["link"]) == (look.UNSURE, look.GOOD, look.LINE)


def test_links_lead_to_dashboards_that_exist_and_to_the_console() -> None:
    for dashboard in grafana.dashboards().values():
        written = json.dumps(dashboard)
        assert set(re.findall(r'"/d/([\w-]+)\?', written)) <= set(UIDS)
        assert any(link.get("url") == grafana.CONSOLE for link in dashboard["links"])
    assert f"{grafana.CONSOLE}/alarms/" in json.dumps(grafana.dashboards()[trend_links.EVENTS])


def test_excursions_are_marked_on_every_dashboard_of_readings() -> None:
    for uid, dashboard in grafana.dashboards().items():
        if uid == trend_links.PIPELINE:
            continue
        assert {annotation["name"] for annotation in dashboard["annotations"]["list"]} == {
            "Alert excursions", "Action excursions", "Technical excursions",
        }  # fmt: skip
        assert [variable["name"] for variable in dashboard["templating"]["list"]] == ["room", "grade", "point"]


@needs_node
def test_every_flux_text_passes_the_genuine_parser() -> None:
    view = View(0, 3600 * 10**9, 10**9, ("cp1.dp1.dp", "a/b"), ("cp1",), ("A", "none"))
    texts = [grafana.filled(flux, view, "em") for flux in grafana.queries()]
    wrong = ['from(bucket: "em") |> range(start: -1h', 'from(bucket: "em") |> rang(start: -1h)', 'a = 1 + "text"']
    answers = ask_node("flux.js", texts + wrong)
    assert [flux for flux, valid in zip(texts, answers, strict=False) if not valid] == []
    assert answers[len(texts) :] == [False] * 3


@needs_node
def test_dashboards_fit_the_types_that_grafana_publishes_for_its_version() -> None:
    published = json.loads((Path(__file__).parent / "node" / "package.json").read_text("utf-8"))["dependencies"]["@grafana/schema"]
    assert published == GRAFANA_VERSION
    check = Draft7Validator(ask_node("dashboard.js"))
    for uid, dashboard in grafana.dashboards().items():
        # The types describe the target of Grafana's own annotations only; of others they say that it is a query with a refId.
        plain = json.loads(json.dumps(dashboard))
        for annotation in plain.get("annotations", {}).get("list", ()):
            assert annotation.pop("target").keys() == {"refId", "datasource", "query"}
        assert [f"{uid} {list(error.path)}: {error.message}" for error in check.iter_errors(plain)] == []
        assert not check.is_valid(plain | {"pannels": []})


def test_a_name_in_a_query_is_what_it_says_and_nothing_more() -> None:
    assert text('a"b\\c') == '"a\\"b\\\\c"'
    assert "${" not in text("${room}")
    assert ".bucket" not in text("cp1.bucket")
    assert pattern(["a.b", "c|d"]) == r"(a\.b|c\|d)"


def test_build_writes_what_changed_and_leaves_the_rest(tmp_path: Path) -> None:
    made, folder = CliRunner(), tmp_path / "grafana"
    settings = Path(grafana.configuration().settings.folder)
    again = [str(folder), "--config", str(settings / "renrum.yaml")]
    first = made.invoke(command, ["build", *again])
    assert first.exit_code == 0, first.output
    own = folder / "dashboards" / "ours.json"
    own.write_text("{}")
    gone = folder / "dashboards" / "renrum-gone.json"
    gone.write_text("{}")
    changed = folder / "dashboards" / "renrum-room.json"
    changed.write_text("{}")
    second = made.invoke(command, ["build", *again])
    assert "1 file written, 9 as they were." in second.output
    assert json.loads(changed.read_text("utf-8"))["uid"] == "renrum-room"
    assert own.exists()
    assert not gone.exists()


def test_a_folder_that_cannot_be_written_is_said_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "grafana").mkdir()
    (tmp_path / "grafana" / "dashboards").write_text("a file")
    settings = Path(grafana.configuration().settings.folder)
    answer = CliRunner().invoke(command, ["build", str(tmp_path / "grafana"), "--config", str(settings / "renrum.yaml")])
    assert answer.exit_code == 2
    assert "cannot be written" in answer.output


@needs_promtool
def test_every_expression_is_promql(tmp_path: Path) -> None:
    shown = panels(grafana.dashboards()[trend_links.PIPELINE])
    expressions = [target["expr"].replace("$__rate_interval", "1m") for panel in shown for target in panel.get("targets", ())]
    records = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(expressions)]
    rules = tmp_path / "rules.yml"
    rules.write_text(json.dumps({"groups": [{"name": "panels", "rules": records}]}))
    promtool("check", "rules", str(rules))
