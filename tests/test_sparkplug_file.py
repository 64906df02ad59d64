"""sources.yaml with sources of the kind sparkplug: what is read, what is refused, and what a metric reports."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from facility.document import parse_document
from facility.facility_file import load_facility
from facility.files import Files
from facility.sources.source import subscriptions
from facility.sources.source_file import SourcesRead, read_sources
from facility.sources.sparkplug import Metrics, SparkplugSource
from service.cli.schema import schema_of

FACILITY = """
site: {id: lab, name: Laboratory}
rooms:
  - id: cp1
    name: Cell processing 1
    points:
      - {id: cp1.temp, quantity: temperature, unit: degC}
      - {id: cp1.rh, quantity: relative_humidity, unit: "%"}
"""
SOURCES = """
sources:
  - id: plant
    kind: sparkplug
    group: Plant 1
    host_id: renrum
    metrics:
      - {node: AHU 1, device: PLC, metric: Room/Temperature, point: cp1.temp, unit: degF}
      - {node: "{room}", metric: "Env/{what}", point: "{room}.{what}"}
      - {node: "+", device: "+", metric: "EM/{point}", point: "{point}"}
"""


def read(folder: Path, text: str, table: str = "") -> SourcesRead:
    (folder / "facility.yaml").write_text(FACILITY)
    (folder / "sources.yaml").write_text(text)
    (folder / "metrics.csv").write_text(table)
    return read_sources(Files(folder), "sources.yaml", load_facility(folder / "facility.yaml"))


def one(entry: str, more: str = "", group: str = "plant") -> str:
    return f"sources:\n  - id: a\n    kind: sparkplug\n    group: {group}\n{more}    metrics:\n      - {entry}\n"


def second(group: str) -> str:
    return one("{node: n, metric: T, point: cp1.rh}", group=group).removeprefix("sources:\n").replace("id: a", "id: b")


def test_metrics_find_their_points(tmp_path: Path) -> None:
    found = read(tmp_path, SOURCES)
    assert (found.problems, found.warnings) == ((), ())
    [source] = found.sources
    assert isinstance(source, SparkplugSource)
    assert subscriptions(found.sources) == ("spBv1.0/Plant 1/#", "spBv1.0/STATE/renrum")
    assert source.points == {"cp1.temp", "cp1.rh"}
    assert (source.reorder_ns, source.rebirth_every_ns, source.birth_within_ns) == (2 * 10**9, 30 * 10**9, 30 * 10**9)
    metrics = Metrics(source.metrics)
    assert metrics.of("AHU 1", "PLC", "Room/Temperature") == ("cp1.temp", "degF")
    assert metrics.of("AHU 1", "", "Room/Temperature") is None
    assert metrics.of("cp1", "", "Env/rh") == ("cp1.rh", "")
    assert metrics.of("cp1", "", "Env/rh/raw") is None
    assert metrics.of("any", "device", "EM/cp1.rh") == ("cp1.rh", "")
    assert metrics.nodes == ("AHU 1",)
    assert metrics.knows("any")
    assert not Metrics(source.metrics[:1]).knows("any")


def test_metrics_stand_in_a_spreadsheet_too(tmp_path: Path) -> None:
    text = "sources:\n  - {id: a, kind: sparkplug, group: plant, metrics_file: metrics.csv}\n"
    found = read(tmp_path, text, "node;device;metric;point\nahu;plc;T;cp1.temp\nahu;;RH;cp1.rh\n")
    [source] = found.sources
    assert isinstance(source, SparkplugSource)
    assert [(own.device, own.metric) for own in source.metrics] == [("plc", "T"), ("", "RH")]
    found = read(tmp_path, text, "node;device;metric;point\nahu;plc;T;cp1.tmp\n")
    assert [(Path(problem.file).name, problem.line) for problem in found.problems] == [("metrics.csv", 2)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (one("{node: n, metric: T, point: cp1.tmp}"), "Did you mean cp1.temp?"),
        (one("{node: n, metric: T, point: cp1.temp, unit: Pa}"), "Pa"),
        (one('{node: "{a}", metric: T, point: "{b}.temp"}'), "{b}"),
        (one('{node: "{a}", metric: "{a}", point: "{a}.temp"}'), "each name once"),
        (one("{node: n, metrc: T, point: cp1.temp}"), "Did you mean metric?"),
        (one("{node: n, metric: T, point: cp1.temp}", group="a/b"), "without / + #"),
        (one("{node: n, metric: T, point: cp1.temp}", "    rebirth_every: 0s\n"), "above 0"),
        (one("{node: n, metric: T, point: cp1.temp}\n      - {node: n, metric: T, point: cp1.rh}"), "each metric once"),
        ("sources:\n  - {id: a, kind: sparkplug, group: plant}\n", "`metrics`"),
        (one("{node: n, metric: T, point: cp1.temp}", "    host_id: x\n") + second("other"), "the same host_id"),
        (one("{node: n, metric: T, point: cp1.temp}") + second("plant"), "overlaps"),
    ],
)  # fmt: skip
def test_mistakes_are_told(tmp_path: Path, text: str, words: str) -> None:
    found = read(tmp_path, text)
    assert any(words in str(problem) for problem in found.problems), found.problems


def test_one_point_for_many_metrics_is_a_warning(tmp_path: Path) -> None:
    found = read(tmp_path, one('{node: "+", metric: T, point: cp1.temp}'))
    assert not found.problems
    assert any("many metrics" in str(warning) for warning in found.warnings)


def test_the_schema_knows_the_kind() -> None:
    document, _ = parse_document("sources.yaml", SOURCES)
    jsonschema.validate(document.value, schema_of("sources"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"sources": [{"id": "a", "kind": "sparkplug", "grup": "x"}]}, schema_of("sources"))
